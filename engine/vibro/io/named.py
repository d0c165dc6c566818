"""Files that a user names: plain ones only, since a pipe or a device may never end."""

from __future__ import annotations

import stat
from pathlib import Path

from vibro.errors import ConfigError


def check_plain(path: Path, what: str) -> None:
    """ConfigError for a file named by the user that is missing or no plain file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ConfigError(f"{what}: no such file: {path}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{what}: {_why(error)}: {path}") from None
    if not stat.S_ISREG(mode):
        raise ConfigError(
            f"{what}: {path} is {'a folder' if stat.S_ISDIR(mode) else 'no plain file'}", hint="name a file"
        )


def read_small(path: Path, what: str, limit: int = 16 << 20) -> bytes:
    """The content of a plain file that the user names; ConfigError as ``check_plain``, and for one larger than ``limit``."""
    check_plain(path, what)
    try:
        with path.open("rb") as handle:
            content = handle.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{what}: {_why(error)}: {path}") from None
    if len(content) > limit:
        raise ConfigError(f"{what}: {path} is larger than {limit >> 20} MiB", hint="name another file")
    return content


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
