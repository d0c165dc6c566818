"""The kernel lock of a run directory: the kernel frees it when its process ends, so there are no stale locks."""

from __future__ import annotations

import json
import os
import socket
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vibro.errors import LockedError, ResourceError
from vibro.io import files

LOCK = ".vibro.lock"
LOCK_INFO = ".vibro.lock.json"
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "lustre", "beegfs"}


@dataclass
class Lock:
    """An acquired lock on one folder."""

    folder: Path
    _lock: Any
    _inode: int

    @classmethod
    def acquire(cls, folder: Path) -> Lock:
        """Locks the folder at once or raises LockedError with pid, host and start of the holder.

        filelock falls back to a soft lock (the mere existence of a file) where the file system knows no ``flock``; such
        a lock outlives a killed process, hence it is refused.
        """
        from filelock import FileLock, SoftFileLock, Timeout

        path = folder / LOCK
        lock = FileLock(path, timeout=0, thread_local=False)
        with files.disk_errors(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                lock.acquire()
            except Timeout:
                raise LockedError(
                    f"{folder} is in use by {holder(folder)}", hint="wait for it, or choose another -o"
                ) from None
            except NotImplementedError:
                raise _no_kernel_lock(folder) from None
        if isinstance(lock, SoftFileLock):
            lock.release()
            raise _no_kernel_lock(folder)
        try:
            acquired = cls(folder, lock, path.stat().st_ino)
        except FileNotFoundError:
            lock.release()
            raise LockedError(f"another run has just given up {folder}", hint="start again") from None
        started = datetime.now(UTC).isoformat(timespec="seconds")
        info = {"pid": os.getpid(), "host": socket.gethostname(), "started": started}
        try:
            files.write_text(folder / LOCK_INFO, files.to_json(info))
        except ResourceError:
            acquired.release(folder)
            raise
        return acquired

    def check(self) -> None:
        """LockedError if the lock file was removed or replaced meanwhile."""
        try:
            same = (self.folder / LOCK).stat().st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            raise LockedError(
                f"{self.folder / LOCK} was removed while this run worked", hint="start again and leave that file alone"
            )

    def release(self, folder: Path) -> None:
        """Releases the lock; ``folder`` is where its files are now."""
        with suppress(OSError):  # the side file is information only
            (folder / LOCK_INFO).unlink(missing_ok=True)
        self._lock.release(force=True)


def holder(folder: Path) -> str:
    """Who holds the lock, by the side file, in words."""
    try:
        info = json.loads((folder / LOCK_INFO).read_text("utf-8"))
        return f"process {int(info['pid'])} on {info['host']} since {info['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def in_use(folder: Path) -> bool:
    """Whether a living process holds the lock of a folder."""
    from filelock import FileLock, Timeout

    path = folder / LOCK
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


def network_file_system(folder: Path) -> str:
    """Type of the file system if it is a network one, whose kernel locks are unreliable; else empty. Linux only."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return ""
    real = folder.resolve()
    inside = [(len(m[1]), m[2]) for m in mounts if len(m) > 2 and real.is_relative_to(m[1].replace("\\040", " "))]
    kind = max(inside, default=(0, ""))[1]
    return kind if kind in _NETWORK else ""


def _no_kernel_lock(folder: Path) -> LockedError:
    return LockedError(
        f"the file system of {folder} knows no kernel locks, so two runs could not be kept apart",
        hint="choose an -o on a local disk",
    )
