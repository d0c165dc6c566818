"""The functions of ``digits`` as machine code that is kept on disk: a process that finds it there does without numba.

numba takes more than half a second of a processor to load what it has compiled; this code is there in a tenth of that. It
lies beside this module or in the user's cache, under the sources that it was made from, the processor and the version of
LLVM. What is damaged or missing is made anew.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from vibro_plugins.readers.text.faults import UNSURE

BLOCK = 64  # characters in which commas are looked for together
LONGEST = 1 << 31  # characters that places of 32 bits can tell apart
_HERE = Path(__file__).parent
_SOURCES = ("digits.py", "faults.py", "lanes.py", "machine.py")
_SHAPES = {
    "parse": ((0, 5, 7), 8),
    "lines": ((0,), 5),
    "column": ((0, 6, 8), 9),
}  # which arguments are pointers, of how many
_HASH = 32  # bytes in front of the code
Function = Callable[..., int]


def parse(text: NDArray[np.uint8], start: int, stop: int, as_json: bool, out: NDArray[np.float32]) -> int:
    """Comma-separated numbers of ``text[start:stop]`` into ``out``; returns how many there are.

    UNSURE where anything is not plain, FULL where ``out`` is too short; ``out`` then means nothing. ``start`` is at least
    ``faults.PADDING``, and ``stop`` lies inside the text. ``as_json`` keeps to the numbers of JSON (no ``+``, no ``01``).
    Blanks may follow a comma.
    """
    if stop >= LONGEST:
        return UNSURE
    place, cuts = _memory.of(text), _memory.cuts(len(out))
    return _code()["parse"](place, len(text), start, stop, as_json, _at(out), len(out), cuts)


def lines(text: NDArray[np.uint8], start: int, stop: int, width: int) -> int:
    """How many lines ``text[start:stop]`` (writable) has; their ends become commas.

    UNSURE where a line has another number of cells, parted by commas, than ``width``; the last line needs no end.
    """
    return _code()["lines"](_memory.of(text), len(text), start, stop, width)


def column(text: NDArray[np.uint8], start: int, stop: int, width: int, place: int, out: NDArray[np.float64]) -> int:
    """Every ``width``-th number of ``text[start:stop]`` from ``place`` on, exact in float64, into ``out``; else as ``parse``."""
    if stop >= LONGEST:
        return UNSURE
    where, cuts = _memory.of(text), _memory.cuts(width * len(out))
    return _code()["column"](where, len(text), start, stop, width, place, _at(out), len(out), cuts)


class _Memory(threading.local):
    """Where things lie in memory, for one call after the other of a thread."""

    def __init__(self) -> None:
        self._text = self._cuts = np.empty(0, np.int32)
        self._at_text = self._at_cuts = 0

    def of(self, text: NDArray[np.uint8]) -> int:
        """A text, which mostly is the one of the call before."""
        if text is not self._text:
            self._text, self._at_text = text, text.ctypes.data
        return self._at_text

    def cuts(self, count: int) -> int:
        """Room for the places of so many tokens."""
        if len(self._cuts) <= count + BLOCK:
            self._cuts = np.empty(count + 1 + BLOCK, np.int32)
            self._at_cuts = self._cuts.ctypes.data
        return self._at_cuts


_memory = _Memory()


def _at(out: NDArray[Any]) -> int:
    """Where a writable array lies in memory, in a third of the time of ``out.ctypes.data``."""
    return ctypes.addressof(ctypes.c_char.from_buffer(out)) if len(out) else 0


def is_kept() -> bool:
    """Whether the code is there already, so that it need not be compiled."""
    return any(file.is_file() for file in _files())


@cache
def _code() -> dict[str, Function]:
    """The functions by name, from the first file that holds them, or compiled and kept in the first one that can be written."""
    target = _target()
    code = next(filter(None, map(_kept, _files())), b"")
    if not code:
        code = _compiled(target)
        _keep(code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return {name: _function(engine, name, *shape) for name, shape in _SHAPES.items()}


def _function(engine: Any, name: str, pointers: tuple[int, ...], count: int) -> Function:
    """A function that numba compiled: it is handed the place of its result, that of an exception, and its arguments."""
    kinds = [ctypes.c_void_p if i in pointers else ctypes.c_int64 for i in range(count)]
    native = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *kinds)(
        engine.get_function_address(f"vibro_{name}")
    )

    def call(*args: int) -> int:
        found = ctypes.c_int64()
        if native(ctypes.addressof(found), None, *args):
            raise AssertionError(f"{name} of the compiled parser has failed")
        return found.value

    native.engine = engine  # it holds the code, and lives as long as the function
    return call


def _target() -> Any:
    """The processor at hand."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    host = {"cpu": llvm.get_host_cpu_name(), "features": llvm.get_host_cpu_features().flatten()}
    return llvm.Target.from_default_triple().create_target_machine(**host, opt=3, codemodel="jitdefault", jit=True)


def _compiled(target: Any) -> bytes:
    """The code of all functions, by numba."""
    from vibro_plugins.readers.text import digits

    whole = llvm.parse_assembly("")
    for function, signature in digits.SIGNATURES.items():
        function.compile(signature)
        (found,) = function.overloads.values()
        text = function.inspect_llvm(found.signature.args)
        whole.link_in(llvm.parse_assembly(text.replace(found.fndesc.llvm_func_name, f"vibro_{function.__name__}")))
    code: bytes = target.emit_object(whole)
    return code


@cache
def _files() -> tuple[Path, ...]:
    """Where the code may lie."""
    from platformdirs import user_cache_path

    about = (llvmlite.__version__, llvm.get_process_triple(), llvm.get_host_cpu_name())
    hashed = sha256(repr((*about, llvm.get_host_cpu_features().flatten())).encode())
    for source in _SOURCES:
        hashed.update((_HERE / source).read_bytes())
    name = f"digits-{hashed.hexdigest()[:32]}.o"
    return _HERE / "__pycache__" / name, user_cache_path("vibro", appauthor=False) / "code" / name


def _kept(file: Path) -> bytes:
    """The code in a file; empty where there is none or it is damaged."""
    try:
        data = file.read_bytes()
    except OSError:
        return b""
    return data[_HASH:] if sha256(data[_HASH:]).digest() == data[:_HASH] else b""


def _keep(code: bytes) -> None:
    for file in _files():
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(sha256(code).digest() + code)
            temporary.replace(file)
        except OSError:
            continue
        return
