"""A cache of views between runs, keyed by content: the records, the view with its settings, and the code."""

from __future__ import annotations

import os
import shutil
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.core.views import let_go
from vibro.errors import ResourceError, StateError
from vibro.io.files import digest, sync_tree
from vibro.io.tensors import load_tensors, save_tensors

LIMIT = 20 << 30  # bytes; above it the least recently used entries are removed
SPARE = 1 << 30  # bytes of the disk that stay free
ABANDONED = 86_400.0  # seconds after which an unfinished entry counts as abandoned
_STEP = 8 << 20  # bytes written at a time
_BLOCKS, _BLOCK = 16, 1 << 13  # of words of 64 bits that are checked at a time: 1 MiB
ARRAY, STATE, SEAL = "view.npy", "state.safetensors", "sha256"


class ViewCache:
    """A folder of entries, each a folder with the array, the extractor's state and a checksum of both.

    An entry appears whole or not at all, so runs side by side may share the folder. One that is torn or damaged is
    removed and counts as missing. A full disk disables the cache and never fails the run.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit

    def get(self, key: str) -> tuple[NDArray[np.float32], State] | None:
        """The array as a read-only memory map, and the state; None if there is no sound entry."""
        entry = self.folder / key
        try:
            if (entry / SEAL).read_text("ascii") != _seal(entry):
                raise StateError(f"{entry} is damaged")
            array = np.load(entry / ARRAY, mmap_mode="r", allow_pickle=False)
            state = load_tensors(entry / STATE)
            os.utime(entry)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, StateError):
            shutil.rmtree(entry, ignore_errors=True)
            return None
        return array, state

    def put(self, key: str, array: NDArray[np.float32], state: State) -> None:
        """Stores an array and a state; the least recently used entries are removed to make room."""
        if array.nbytes > self.limit // 2:
            return
        parent = next(p for p in (self.folder, *self.folder.parents) if p.is_dir())
        if shutil.disk_usage(parent).free < 2 * array.nbytes + SPARE:
            return
        building = self.folder / f".tmp-{os.getpid()}-{key}"
        try:
            building.mkdir(parents=True)
            _write(building / ARRAY, array)
            save_tensors(building / STATE, state)
            (building / SEAL).write_text(_seal(building), "ascii")
            sync_tree(building)
            building.rename(self.folder / key)
            self._shrink()
        except (OSError, ResourceError):  # full, read-only, or another run has made the entry meanwhile
            pass
        finally:
            shutil.rmtree(building, ignore_errors=True)  # already renamed to the entry

    def _shrink(self) -> None:
        """Removes entries above the limit, and unfinished ones that killed runs left."""
        for torn in self.folder.glob(".tmp-*"):
            if time.time() - torn.stat().st_mtime > ABANDONED:
                shutil.rmtree(torn, ignore_errors=True)
        entries = [(e.stat().st_mtime, e, _size(e)) for e in self.folder.iterdir() if not e.name.startswith(".")]
        total = sum(size for _, _, size in entries)
        for _, entry, size in sorted(entries, key=lambda item: item[0]):
            if total <= self.limit:
                return
            shutil.rmtree(entry, ignore_errors=True)
            total -= size


def _write(path: Path, array: NDArray[np.float32]) -> None:
    """``np.save`` in steps, so that a memory map is never in memory as a whole."""
    step = max(1, _STEP // max(1, array[:1].nbytes))
    with path.open("wb") as out:
        np.lib.format.write_array_header_2_0(out, np.lib.format.header_data_from_array_1_0(array))
        for start in range(0, len(array), step):
            out.write(np.ascontiguousarray(array[start : start + step]).data)
            let_go(array)


def _seal(entry: Path) -> str:
    return f"{_checksum(entry / ARRAY)} {digest(entry / STATE)[0]}"


def _checksum(path: Path) -> str:
    """Checksum of a large file at the speed of memory, against torn and damaged bytes, not against forgery.

    Words of 64 bits are summed with odd weights in blocks, so that no change within one word can pass; the sums and the
    size of the file are hashed.
    """
    words = np.zeros((_BLOCKS, _BLOCK), np.uint64)
    weights = np.arange(1, 2 * _BLOCK, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sums, buffer = sha256(), words.data.cast("B")
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            buffer[count:] = bytes(len(buffer) - count)
            sums.update(np.einsum("ij,j->i", words, weights).tobytes() + count.to_bytes(8, "little"))
    return sums.hexdigest()


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.iterdir())
