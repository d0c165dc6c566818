"""Values on their way between two processes: a tree of JSON with arrays beside it in .npy files, never a pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vibro.api import Extent
from vibro.data import Record, Rejected
from vibro.errors import ContractError

_RECORDS = {"record": Record, "rejected": Rejected, "extent": Extent}
_KINDS = "biufUM"  # of arrays: numbers, bool, text, times
MOST_DEEP = 16


def encode(value: Any, folder: Path, depth: int = 0, numbers: Iterator[int] | None = None) -> Any:
    """The value as plain JSON; arrays are written to the folder. ContractError for anything else."""
    numbers = count() if numbers is None else numbers
    if depth > MOST_DEEP:
        raise ContractError("a value is nested too deeply to be handed over")
    if isinstance(value, np.generic) and value.dtype.kind in "biufU":
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.memmap) and value.base is not None and _whole_file(value):
        return {"file": str(Path(str(value.filename)).resolve())}
    if isinstance(value, np.ndarray | np.datetime64):
        array = np.asarray(value)
        if array.dtype.kind not in _KINDS:
            raise ContractError(f"an array of type {array.dtype} cannot be handed over")
        name = f"{next(numbers)}.npy"
        np.save(folder / name, array, allow_pickle=False)
        return {"array": name}
    if isinstance(value, list | tuple):
        return {"list": [encode(item, folder, depth + 1, numbers) for item in value]}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ContractError("the keys of a table are text")
        return {"table": {key: encode(item, folder, depth + 1, numbers) for key, item in value.items()}}
    if isinstance(value, Path):
        return {"path": str(value)}
    for kind, cls in _RECORDS.items():
        if isinstance(value, cls):
            return {kind: {f.name: encode(getattr(value, f.name), folder, depth + 1, numbers) for f in fields(cls)}}
    raise ContractError(f"{type(value).__name__} cannot be handed over; arrays, numbers, text, lists and tables can")


def decode(tree: Any, folder: Path, *, files: bool = False) -> Any:
    """What ``encode`` was given; ContractError if it is broken.

    Arrays are read into memory; with ``files`` memory maps are mapped again and paths are paths, else both are refused.
    """
    if not isinstance(tree, dict):
        return tree
    if len(tree) != 1:
        raise ContractError("a value was handed over in an unknown form")
    (kind, value), *_ = tree.items()
    if files and kind == "file":
        return np.load(value, mmap_mode="r", allow_pickle=False)
    if files and kind == "path":
        return Path(value)
    if kind == "array":
        return _load(folder, value)
    if kind == "list":
        return [decode(item, folder, files=files) for item in value]
    if kind == "table":
        return {str(key): decode(item, folder, files=files) for key, item in value.items()}
    if kind in _RECORDS:
        parts = {name: decode(item, folder, files=files) for name, item in value.items()}
        if "time" in parts and kind == "record":
            parts["time"] = np.datetime64(parts["time"][()], "ns")
        return _RECORDS[kind](**parts)
    raise ContractError(f"a value was handed over in an unknown form {kind!r}")


def _load(folder: Path, name: object) -> Any:
    if not isinstance(name, str) or not name.removesuffix(".npy").isdigit():
        raise ContractError(f"an array was handed over under the name {name!r}")
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ContractError(f"an array that was handed over cannot be read: {error}") from None
    if array.dtype.kind not in _KINDS:
        raise ContractError(f"an array of type {array.dtype} was handed over")
    return array


def _whole_file(array: np.memmap[Any, Any]) -> bool:
    """Whether a memory map shows all of a ``.npy`` file as it lies there, so that its path says everything."""
    path = Path(str(array.filename)) if array.filename is not None else None
    if path is None or path.suffix != ".npy" or not array.flags.c_contiguous:
        return False
    try:
        there = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return False
    return bool(there.shape == array.shape and there.dtype == array.dtype and there.offset == array.offset)
