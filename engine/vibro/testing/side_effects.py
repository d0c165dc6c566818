"""Side effects that a component must not have: on random state, threads, warnings, environment, files, output."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ASPECTS = {
    "numpy_random_state": "numpy's global random state is left alone",
    "python_random_state": "the global state of `random` is left alone",
    "torch_random_state": "torch's global random state is put back",
    "torch_defaults": "torch's default dtype, threads, gradient mode and determinism are put back",
    "thread_pools": "the sizes of the BLAS and OpenMP pools are put back",
    "warning_filters": "the filters of `warnings` are put back",
    "numpy_settings": "numpy's error and print settings are put back",
    "numpy_functions": "no function of numpy is replaced",
    "environment": "environment variables, working directory, umask and sys.path are put back",
    "signal_handlers": "signal handlers are put back",
    "open_files": "no file stays open",
    "files_left": "no file is left in the working directory",
    "processes": "no process and no thread stays behind",
    "output": "nothing is printed",
}
_MODULES = (np, np.linalg, np.random, np.fft, np.lib)


@contextlib.contextmanager
def observed() -> Iterator[dict[str, str]]:
    """Runs the body in an empty folder; afterwards the yielded table holds {aspect: what changed}, and all is restored."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="vibro-kit-") as folder, contextlib.chdir(folder), restored():
        before = _snapshot() | _traces()
        with _captured() as read:
            yield found
        gc.collect()
        for aspect, value in (_snapshot() | _traces()).items():
            if aspect in before and value[0] != before[aspect][0]:
                found[aspect] = _difference(before[aspect][0], value[0])
        if text := read():
            found["output"] = f"printed {text[:200]!r}"


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Restores what the body changes, so that one check cannot hide a change from the next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = _snapshot()
        try:
            yield
        finally:
            for aspect, value in _snapshot().items():
                if aspect in before and value[0] != before[aspect][0]:
                    before[aspect][1]()


Snapshot = dict[str, tuple[Any, Callable[[], Any]]]  # aspect -> (comparable value, how to put it back)


def _snapshot() -> Snapshot:
    legacy: Any = np.random.get_state()
    python = random.getstate()
    environ, cwd, path = dict(os.environ), Path.cwd(), list(sys.path)
    umask = os.umask(0o022)
    os.umask(umask)
    filters = list(warnings.filters)
    errors, printing = np.geterr(), np.get_printoptions()
    functions = {(m.__name__, k): v for m in _MODULES for k, v in vars(m).items() if callable(v)}
    handlers = {s: signal.getsignal(s) for s in signal.valid_signals()}

    def restore_environment() -> None:
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(cwd)
        os.umask(umask)
        sys.path[:] = path

    def restore_filters() -> None:
        warnings.filters[:] = filters  # type: ignore[index]

    def restore_settings() -> None:
        np.seterr(**errors)
        np.set_printoptions(**printing)

    def restore_functions() -> None:
        for module in _MODULES:
            for name in list(vars(module)):
                if (module.__name__, name) in functions:
                    setattr(module, name, functions[module.__name__, name])

    def restore_handlers() -> None:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    parts: Snapshot = {
        "numpy_random_state": (_hash(repr((legacy[1].tobytes(), legacy[2:]))), lambda: np.random.set_state(legacy)),
        "python_random_state": (_hash(repr(python)), lambda: random.setstate(python)),
        "warning_filters": (filters, restore_filters),
        "numpy_settings": ((errors, printing), restore_settings),
        "numpy_functions": ({k: id(v) for k, v in functions.items()}, restore_functions),
        "environment": ((environ, str(cwd), umask, path), restore_environment),
        "signal_handlers": (dict(handlers), restore_handlers),
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "random"):
        parts |= _torch_snapshot(torch)
    return parts


def _traces() -> Snapshot:
    """What can be observed but not restored."""
    return {
        "thread_pools": (_pools(), lambda: None),
        "open_files": (_descriptors(), lambda: None),
        "files_left": (sorted(path.name for path in Path.cwd().iterdir()), lambda: None),
        "processes": (_processes(), lambda: None),
    }


def _torch_snapshot(torch: Any) -> Snapshot:
    state = torch.random.get_rng_state()
    settings = {
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }

    def restore() -> None:
        torch.set_default_dtype(settings["default dtype"])
        torch.set_num_threads(settings["threads"])
        torch.set_grad_enabled(settings["gradients"])
        if torch.are_deterministic_algorithms_enabled() != settings["deterministic"]:
            torch.use_deterministic_algorithms(settings["deterministic"])

    return {
        "torch_random_state": (_hash(repr(state.numpy().tobytes())), lambda: torch.random.set_rng_state(state)),
        "torch_defaults": (settings, restore),
    }


def _difference(before: Any, after: Any) -> str:
    if isinstance(before, dict):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return "changed: " + ", ".join(f"{k}: {before.get(k)!r} -> {after.get(k)!r}" for k in keys[:3])[:300]
    if isinstance(before, tuple):
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        return "; ".join(_difference(a, b) for a, b in pairs)[:300]
    if isinstance(before, list):
        new = [item for item in after if item not in before]
        return f"changed: {new[:2] or 'order or missing entries'}"[:300]
    return f"changed: {before} -> {after}"[:300]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _pools() -> dict[str, int]:
    from threadpoolctl import threadpool_info

    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def _processes() -> tuple[list[str], list[str]]:
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return sorted(pid for pids in children for pid in pids), sorted(t.name for t in threading.enumerate())


@contextlib.contextmanager
def _captured() -> Iterator[Callable[[], str]]:
    """Catches what is written to standard output and error, from Python and from below it."""
    with tempfile.TemporaryFile() as sink:
        streams = sys.stdout, sys.stderr
        for stream in streams:
            stream.flush()
        saved = os.dup(1), os.dup(2)
        text: list[str] = []
        writer = open(os.dup(sink.fileno()), "w", encoding="utf-8", errors="replace")  # noqa: PTH123, SIM115
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            sys.stdout = sys.stderr = writer
            yield lambda: text[0]
        finally:
            sys.stdout, sys.stderr = streams
            writer.close()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            sink.seek(0)
            text.append(sink.read(4096).decode("utf-8", "replace"))
