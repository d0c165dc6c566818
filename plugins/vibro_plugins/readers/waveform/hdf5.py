"""The arrays, values and attributes of an HDF5 file as a tree; those of MATLAB 7.3 among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.tree import Tree

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_BYTES = 4 << 30  # of all data sets together
_DEPTH = 16


def tree(path: Path, mark: str) -> Tree:
    """All of a file. Links to other files are not followed, and data sets that keep their samples in one are refused.

    Data sets of object references are lists (cells and arrays of structs of MATLAB). MATLAB writes its matrices with the
    last index first, so samples lie along the longer side here as well.
    """
    import h5py

    found = Tree(mark)
    with path.open("rb") as stream:
        try:
            with h5py.File(stream, "r") as file:
                _Walk(file, found).group(file, "", _DEPTH)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            if isinstance(error, BadField) or (isinstance(error, OSError) and error.errno):
                raise
            why = " ".join(str(error).split())
            raise BadField("Q001", "", f"no HDF5 file that can be read ({why}); copy it again") from None
    return found


class _Walk:
    """Goes through one file; counts bytes, so that none is loaded beyond the cap."""

    def __init__(self, file: Any, found: Tree) -> None:
        self._file = file
        self._found = found
        self._bytes = 0

    def group(self, group: Any, path: str, depth: int) -> None:
        """A group, a struct of MATLAB among them."""
        import h5py

        for name, value in group.attrs.items():
            if not name.startswith("MATLAB"):
                self._found.add(self._join(path, name), _scalar(value))
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink) or (not path and name.startswith("#")) or not depth:
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                self.group(item, self._join(path, name), depth - 1)
            elif isinstance(item, h5py.Dataset):
                self._dataset(item, self._join(path, name), depth)

    def _join(self, path: str, name: str) -> str:
        return f"{path}{self._found.mark}{name}" if path else name

    def _dataset(self, item: Any, path: str, depth: int) -> None:
        import h5py

        if item.external or item.is_virtual:
            raise BadField("Q019", path, f"{path} keeps its samples in another file; copy them into this one")
        if h5py.check_ref_dtype(item.dtype) is not None:
            self._references(item, path, depth)
            return
        if item.dtype.kind not in "fiuSO" or item.shape is None:
            return
        self._bytes += item.size * item.dtype.itemsize
        if self._bytes > MAX_BYTES:
            raise BadField("Q019", path, f"the data sets take more than {MAX_BYTES >> 30} GiB")
        if item.attrs.get("MATLAB_class") == b"char":
            self._found.add(path, _text(item[()]))
            return
        if item.attrs.get("MATLAB_empty", 0):
            return
        value = item[()]
        self._found.add(path, value if isinstance(value, np.ndarray) and value.size > 1 else _scalar(value))
        about = {name: str(_scalar(value)) for name, value in item.attrs.items() if not name.startswith("MATLAB")}
        self._found.about[path] = about

    def _references(self, item: Any, path: str, depth: int) -> None:
        """A list of references: a cell, or one field of an array of structs, whose elements ``Name`` calls by name."""
        import h5py

        if not depth or item.size > 10_000:
            return
        parent, _, field = path.rpartition(self._found.mark)
        siblings = item.parent
        labels: list[str] = []
        key = next((name for name in siblings if name.lower() == "name"), None)
        if parent and key and isinstance(siblings[key], h5py.Dataset) and siblings[key].shape == item.shape:
            labels = [_text(self._file[ref][()]) for ref in siblings[key][()].reshape(-1)]
        for i, ref in enumerate(item[()].reshape(-1)):
            if not ref:
                continue
            label = (labels[i] if labels else "") or str(i)
            inner = f"{parent}[{label}]{self._found.mark}{field}" if parent else f"{path}[{i}]"
            inner = path if item.size == 1 else inner
            target = self._file[ref]
            if isinstance(target, h5py.Group):
                self.group(target, inner, depth - 1)
            else:
                self._dataset(target, inner, depth - 1)


def _scalar(value: Any) -> Any:
    """A number or a text of what h5py gives for one value."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value


def _text(codes: Any) -> str:
    """A text that MATLAB keeps as numbers of characters."""
    array = np.asarray(codes)
    return "".join(map(chr, array.reshape(-1))) if array.dtype.kind == "u" else ""
