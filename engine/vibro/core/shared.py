"""Arrays as files that other processes open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import numpy as np
from numpy.typing import NDArray

from vibro.core.task import ArrayRef
from vibro.errors import ContractError


class SharedArrays:
    """Files of arrays, each in a folder of its own below ``folder``, until they are cleared."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._places: list[Path] = []

    def ref(self, x: NDArray[np.float32]) -> ArrayRef:
        """A file of this array; one that lies in a file already is linked where that is possible."""
        if self._folder is None:
            raise ContractError("workers need a folder for their arrays")
        self._folder.mkdir(parents=True, exist_ok=True)
        path = Path(mkdtemp(prefix="shared-", dir=self._folder)) / "array.npy"
        self._places.append(path.parent)
        if isinstance(x, np.memmap) and x.filename is not None:
            with suppress(OSError):  # another file system, or gone: the map still holds it
                if np.load(x.filename, mmap_mode="r", allow_pickle=False).shape == x.shape:
                    os.link(x.filename, path)  # the cache may drop its entry before a worker opens it
        if not path.exists():
            np.save(path, x, allow_pickle=False)
        return ArrayRef(path=path)

    def clear(self) -> None:
        """Removes the folders and all that lies in them."""
        for place in self._places:
            rmtree(place, ignore_errors=True)
