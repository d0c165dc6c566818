"""Plain numeric arrays in one safetensors file: no pickle, the same bytes for the same arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ContractError, StateError
from vibro.io.files import write_bytes

_TYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"} | {
    "float16",
    "float32",
    "float64",
}
MAX_TENSORS = 100_000


def dump_tensors(state: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of a safetensors file, in the order of their names; ContractError for anything but numbers.

    Shapes are kept, 0-d and empty ones too; the byte order is little-endian.
    """
    from safetensors.numpy import save

    arrays = {}
    for name in sorted(state):
        array = np.asarray(state[name], order="C")
        if array.dtype.name not in _TYPES:
            raise ContractError(f"state {name!r} has type {array.dtype}; only numbers and bool can be stored")
        arrays[name] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return save(arrays)


def parse_tensors(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, read-only; StateError, naming ``where``, for anything else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        state = load(content)
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise StateError(f"{where} is not a tensor file: {error}") from None
    if len(state) > MAX_TENSORS:
        raise StateError(f"{where} holds {len(state)} tensors; at most {MAX_TENSORS} are allowed")
    for array in state.values():
        array.flags.writeable = False
    return dict(sorted(state.items()))


def save_tensors(path: Path, state: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays to a file, atomically."""
    write_bytes(path, dump_tensors(state))


def load_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Reads the arrays of a file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from None
    return parse_tensors(content, path.name)


def pick_tensors(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Reads some arrays of a file, and not the others."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise StateError(f"{path.name} is not a tensor file: {error}") from None


def encode_text(text: Sequence[str] | NDArray[np.str_]) -> NDArray[np.uint8]:
    """Texts as uint8 (n, width): UTF-8, filled up with zero bytes; a text must not hold NUL."""
    encoded = [str(item).encode("utf-8", "backslashreplace") for item in text]
    width = max((len(item) for item in encoded), default=0)
    if any(b"\0" in item for item in encoded):
        raise ContractError("a text with a NUL character cannot be stored")
    return np.frombuffer(b"".join(item.ljust(width, b"\0") for item in encoded), np.uint8).reshape(len(encoded), width)


def decode_text(array: NDArray[np.uint8]) -> NDArray[np.str_]:
    """The texts of ``encode_text``."""
    return np.array([row.tobytes().rstrip(b"\0").decode("utf-8") for row in array], dtype=np.str_)
