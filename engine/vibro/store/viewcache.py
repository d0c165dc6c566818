"""A cache of views between runs, keyed by content: the records, the view with its settings, and the code."""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.data import let_go
from vibro.errors import ResourceError, StateError
from vibro.io.files import digest, sync_tree
from vibro.io.tensors import load_tensors, save_tensors

LIMIT = 20 << 30  # bytes; above it the least recently used entries are removed
SPARE = 1 << 30  # bytes of the disk that stay free
ABANDONED = 86_400.0  # seconds after which an unfinished entry counts as abandoned
_STEP = 8 << 20  # bytes written at a time
ARRAY, STATE, SEAL, SECRET = "view.npy", "state.safetensors", "seal", ".secret"


class ViewCache:
    """A folder of entries, each a folder with the array, the extractor's state and a seal of both.

    An entry appears whole or not at all, so runs side by side may share the folder. One that is torn, damaged, put there by
    somebody else or under another key is removed and counts as missing. A full disk disables the cache and never fails
    the run.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._room = 0  # bytes to write until the folder, which may hold thousands of entries, is looked through again

    def get(self, key: str) -> tuple[NDArray[np.float32], State] | None:
        """The array as a read-only memory map, and the state; None if there is no sound entry."""
        entry = self.folder / key
        try:
            if not hmac.compare_digest((entry / SEAL).read_text("ascii"), self._seal(key, entry)):
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
            (building / SEAL).write_text(self._seal(key, building), "ascii")
            sync_tree(building)
            building.rename(self.folder / key)
            self._room -= _size(self.folder / key)
            if self._room <= 0:
                self._shrink()
        except (OSError, ResourceError, StateError):  # full, read-only, or another run has made the entry meanwhile
            pass
        finally:
            shutil.rmtree(building, ignore_errors=True)  # already renamed to the entry

    def _seal(self, key: str, entry: Path) -> str:
        """What vouches for an entry: HMAC-SHA256 of its key and files, by a secret that only this user can read."""
        told = f"{key} {digest(entry / ARRAY)[0]} {digest(entry / STATE)[0]}"
        return hmac.new(self._secret(), told.encode(), "sha256").hexdigest()

    def _secret(self) -> bytes:
        """The secret beside this folder, made when it is first needed; StateError for one that others could have made or read."""
        path = self.folder.with_name(SECRET)
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-") as made:  # readable for its owner alone
                made.write(secrets.token_bytes(32))
                made.flush()
                with suppress(FileExistsError):
                    os.link(made.name, path)
        status = path.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077):
            raise StateError(f"{path} is not the user's own")
        return path.read_bytes()

    def _shrink(self) -> None:
        """Removes entries above the limit, and unfinished ones that killed runs left."""
        for torn in self.folder.glob(".tmp-*"):
            if time.time() - torn.stat().st_mtime > ABANDONED:
                shutil.rmtree(torn, ignore_errors=True)
        entries = [(e.stat().st_mtime, e, _size(e)) for e in self.folder.iterdir() if not e.name.startswith(".")]
        total = sum(size for _, _, size in entries)
        for _, entry, size in sorted(entries, key=lambda item: item[0]):
            if total <= self.limit:
                break
            shutil.rmtree(entry, ignore_errors=True)
            total -= size
        self._room = (self.limit - total) // 2  # other runs may write there too


def _write(path: Path, array: NDArray[np.float32]) -> None:
    """``np.save`` in steps, so that a memory map is never in memory as a whole."""
    step = max(1, _STEP // max(1, array[:1].nbytes))
    with path.open("wb") as out:
        np.lib.format.write_array_header_2_0(out, np.lib.format.header_data_from_array_1_0(array))
        for start in range(0, len(array), step):
            out.write(np.ascontiguousarray(array[start : start + step]).data)
            let_go(array)


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.iterdir())
