"""Durable files: written to a temporary name, synced and renamed; disk errors become one clear message."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np

from vibro.errors import ConfigError, ResourceError

_NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def human_bytes(count: float) -> str:
    """1536 -> ``1.5 KiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


@contextmanager
def disk_errors(path: Path, need: int = 0) -> Iterator[None]:
    """Turns an OSError of the body into a ResourceError that names the path and, where it is known, the need in bytes.

    ConfigError for a path that cannot be.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_PATH:
            raise ConfigError(
                f"cannot write {path}: {(error.strerror or '').lower()}", hint="choose another name"
            ) from error
        wanted = f"; {human_bytes(need)} are needed" if need else ""
        hint = "free space on that disk or choose another folder" if error.errno in _FULL else "check that disk"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "choose a folder you may write to"
        raise ResourceError(f"cannot write {path}: {error.strerror or error}{wanted}", hint=hint) from error


def check_space(folder: Path, need: int, margin: float = 1.2) -> None:
    """ResourceError unless ``need`` bytes times the margin are free where the folder lies."""
    with disk_errors(folder):
        free = shutil.disk_usage(folder).free
    if free < need * margin:
        raise ResourceError(
            f"{folder} has {human_bytes(free)} free, but {human_bytes(need * margin)} are needed",
            hint="free space on that disk or choose another folder",
        )


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Makes everything below a folder durable."""
    for root, _, names in os.walk(folder):
        for name in names:
            sync_folder(Path(root, name))  # a file is synced the same way
        sync_folder(Path(root))


@contextmanager
def atomic(path: Path, *, need: int = 0) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` when the body ends well, and is removed if it does not."""
    temporary = _unfinished(path)
    with disk_errors(path, need):
        _sweep(path)
        try:
            with temporary.open("wb") as handle:
                _claim(handle.fileno())
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):  # the error that ended the body is the one to report
                temporary.unlink(missing_ok=True)
            raise


@contextmanager
def new_folder(path: Path, *, need: int = 0, replace: bool = False) -> Iterator[Path]:
    """A folder that appears as ``path`` when the body ends well, and is removed if it does not.

    It takes the place of nothing, of an empty folder, or with ``replace`` of whatever folder is there. ConfigError for a
    mount point.
    """
    refuse_mount(path)
    path = path.absolute()  # "." has no name, but a place
    building = _unfinished(path)
    with disk_errors(path, need):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        handle = os.open(building, os.O_RDONLY)
        try:
            _claim(handle)
            yield building
            sync_tree(building)
            if replace and path.exists():
                swap_folders(building, path)
            else:
                building.rename(path)
                sync_folder(path.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)
            os.close(handle)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that goes when the body ends; ResourceError where none can be made."""
    with disk_errors(Path(tempfile.gettempdir())):
        made = tempfile.TemporaryDirectory(prefix="vibro-", ignore_cleanup_errors=True)
    with made as folder:
        yield Path(folder)


def refuse_mount(path: Path) -> None:
    """ConfigError for a mount point, which no other folder can take the place of."""
    if os.path.ismount(path):
        raise ConfigError(
            f"{path} is a mount point and cannot be replaced in one step", hint="choose a folder inside it"
        )


def _unfinished(path: Path) -> Path:
    """Where this process builds what is to become ``path``."""
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


def _claim(handle: int) -> None:
    """Says that a living process works on an unfinished file or folder, as far as the file system can keep that."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep(path: Path) -> None:
    """Removes what killed processes left unfinished of this file or folder."""
    for old in path.parent.glob(f".tmp-*-{glob.escape(path.name)}"):
        with suppress(OSError):
            handle = os.open(old, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its process lives
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            finally:
                os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file by these bytes, atomically."""
    with atomic(path, need=len(content)) as handle:
        handle.write(content)


def write_text(path: Path, text: str) -> None:
    """Replaces a file by this text in UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_page(path: Path, text: str, run: Path | None = None) -> None:
    """Writes a page, over another one if need be; ConfigError where another kind of file is, such as a table of a run.

    So is a place inside a run other than ``run``, whose page it is: that run's manifest does not know of it.
    """
    if path.is_file() and path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{path} is there already", hint="choose another -o")
    folder = path.absolute().parent
    if (folder / "manifest.json").is_file() and (run is None or folder != run.absolute()):
        raise ConfigError(f"{folder} is a run, and this page is none of its own", hint="choose another -o")
    write_text(path, text)


def plain(value: Any) -> Any:
    """The value in terms of JSON: numpy scalars and arrays become plain ones, times ISO 8601, NaN and infinities null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.datetime64):
        return iso_time(value) or None
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value] if value.ndim else plain(value[()])
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def to_json(value: Any) -> str:
    """The one JSON text of a value: indented, readable, strict."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def iso_time(time: np.datetime64) -> str:
    """ISO 8601 in UTC without trailing zeros of the fraction; NaT is empty."""
    if np.isnat(time):
        return ""
    text = str(np.datetime_as_string(time.astype("datetime64[ns]"), unit="ns"))
    return text.rstrip("0").rstrip(".") + "Z"


def digest(path: Path) -> tuple[str, int]:
    """sha256 in hex and size in bytes of a file."""
    hasher, size = sha256(), 0
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            hasher.update(block)
            size += len(block)
    return hasher.hexdigest(), size


def swap_folders(new: Path, old: Path) -> None:
    """Puts the folder ``new`` in the place of ``old``, which then lies at ``new``; at once where the kernel can.

    Linux exchanges both names in one step (renameat2 with RENAME_EXCHANGE). Elsewhere two renames are used, with
    ``old`` parked at ``parked(old)``, from where ``recover`` takes it back after a crash in between.
    """
    with disk_errors(old):
        if not _exchange(new, old):
            aside = parked(old)
            old.rename(aside)
            new.rename(old)
            aside.rename(new)
        sync_folder(old.parent)


def parked(folder: Path) -> Path:
    """Where ``swap_folders`` parks a folder."""
    return folder.with_name(f".{folder.name}.vibro-old")


def recover(folder: Path) -> None:
    """Ends what a crash inside ``swap_folders`` left undone."""
    aside = parked(folder)
    if not aside.is_dir():
        return
    with disk_errors(folder):
        if folder.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(folder)


def _exchange(new: Path, old: Path) -> bool:
    """Exchanges two names in one step; False where kernel, library or file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(old))
