"""Reader ``mat``: the arrays of a MATLAB file of any version as channels."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers import mat5
from vibro_plugins.readers.text.choice import ChannelParams
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform import hdf5
from vibro_plugins.readers.waveform.reader import WaveReader, needed
from vibro_plugins.readers.waveform.tree import Tree, recording
from vibro_plugins.readers.waveform.waves import records

MAX_BYTES = 4 << 30  # of all variables together
LARGE = 32 << 20  # bytes of a variable that is read part by part
_DEPTH = 16  # structs in structs


class Mat(WaveReader):
    """Vectors and matrices, also inside structs, cells and arrays of structs, of which each line is a channel.

    An array that rises evenly is the time axis of those of its length; numbers named ``fs``, ``sr`` and the like give the
    sampling rate, ``rpm`` the covariate ``speed``. An element of an array of structs is called by its field ``Name``.
    """

    name = "mat"
    summary = "arrays of a MATLAB file as channels"
    extensions = (".mat",)
    Params = ChannelParams
    requires = ("scipy",)

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        with path.open("rb") as stream:
            head = stream.read(128)
        if hdf5.MAGIC in head or head.startswith(b"MATLAB 7.3"):
            needed("h5py", "MATLAB 7.3 files")
            tree = hdf5.tree(path, mark=".")
        else:
            tree = _tree(path)
        got = recording(tree, self.params.channels)
        self._notes += got.notes
        yield from records(got.waves, got.covariates, gaps=self.params.gaps)


def _tree(path: Path) -> Tree:
    """The variables of a file up to version 7.2."""
    from scipy.io import loadmat, whosmat

    try:
        content, large = mat5.split(path, LARGE, MAX_BYTES)
        mat5.check(content, MAX_BYTES)
        size = sum(8 * int(np.prod(shape, dtype=np.float64)) for _, shape, _ in whosmat(BytesIO(content)))
        if size > MAX_BYTES:
            raise BadField("Q019", "", f"the variables take more than {MAX_BYTES >> 30} GiB")
        found = loadmat(BytesIO(content), squeeze_me=False, struct_as_record=True) | large
    except Exception as error:  # a damaged stream brings up every kind of error inside the parser
        if isinstance(error, BadField | MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadField("Q001", "", f"no MATLAB file that can be read: {why}; save it again with -v7") from None
    tree = Tree()
    for name in sorted(found):
        if not name.startswith("__"):
            _add(tree, name, found[name], _DEPTH)
    return tree


def _add(tree: Tree, path: str, value: Any, depth: int) -> None:
    """A variable and all that is inside it."""
    if not isinstance(value, np.ndarray) or not depth:
        return
    if value.dtype.names:
        for i, item in enumerate(value.reshape(-1)):
            inner = path if value.size == 1 else f"{path}[{_name(item) or i}]"
            for field in value.dtype.names:
                _add(tree, f"{inner}.{field}", item[field], depth - 1)
    elif value.dtype.kind == "O":
        for i, item in enumerate(value.reshape(-1)):
            _add(tree, path if value.size == 1 else f"{path}[{i}]", item, depth - 1)
    else:
        tree.add(path, value)


def _name(item: Any) -> str:
    """What the field ``Name`` of a struct says, if it has one."""
    for field in item.dtype.names:
        if field.lower() == "name" and isinstance(item[field], np.ndarray) and item[field].dtype.kind == "U":
            return "".join(item[field].reshape(-1)[:1]).strip()
    return ""


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Mat)
