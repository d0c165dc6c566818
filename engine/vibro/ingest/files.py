"""From paths on the command line to the files that will be read, in a fixed order; nothing is opened that could hang."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from vibro.api import Reader
from vibro.errors import ConfigError

SETTINGS = "vibro.toml"
UNTAKEN = "no reader takes it"
HEAD = 512  # bytes of a file that a reader may look at to decide


@dataclass(frozen=True)
class Found:
    """A file to read; ``source`` is its path relative to the data root."""

    path: Path
    source: str
    reader: Reader
    size: int = 0


@dataclass
class Listing:
    """What lies under the paths: files to read, files that no reader takes, and paths that cannot be read (Q020)."""

    root: Path
    readers: Sequence[Reader] = ()
    files: list[Found] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def check_paths(paths: Sequence[Path]) -> None:
    """ConfigError for a path that is not there."""
    for path in paths:
        if not os.path.lexists(path):
            near = path.parent if path.parent.is_dir() else Path()
            known = get_close_matches(path.name, [inner.name for inner in near.iterdir()], 1) if near.is_dir() else []
            hint = f"{near / known[0]}?" if known else f"{near.resolve()} holds nothing of that name"
            raise ConfigError(f"no such file or folder: {path}", hint=hint)


def choose(path: Path, classes: Sequence[type[Reader]]) -> int | str | None:
    """The number of the first reader that takes a file, None, or why it cannot be opened."""
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD)
    except OSError as error:
        return why(error)
    return next((i for i, cls in enumerate(classes) if cls.accepts(path, head)), None)


def why(error: OSError) -> str:
    """What the system says of a file that cannot be opened."""
    return (error.strerror or type(error).__name__).lower()


def find_files(
    paths: Sequence[Path],
    readers: Sequence[Reader],
    met_all: Callable[[list[int]], None] | None = None,
    root: Path | None = None,
) -> Listing:
    """Every file under the paths, in a natural order; folders are searched to their end, links inside are not followed.

    ``met_all`` is told the sizes of the files before their readers are chosen. Sources are named below ``root``, an absolute
    path, by default the folder that all paths have in common.
    """
    named = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  (a link keeps its own name)
    tops = [path if path.is_dir() else path.parent for path in named]
    listing = Listing(root or (Path(os.path.commonpath(tops)) if tops else Path.cwd()), readers)
    met: list[_Met] = []
    for path in named:
        _look(path, listing, met, named=True)
    if met_all is not None:
        met_all([file.status.st_size for file in met])
    classes = [type(reader) for reader in readers]
    seen: set[tuple[int, int]] = set()
    for file in met:
        _sort_in(file, choose(file.path, classes), listing, seen)
    listing.files.sort(key=lambda found: natural(found.source))
    listing.ignored.sort()
    listing.problems.sort()
    return listing


@dataclass(frozen=True)
class _Met:
    """A file on the way, before a reader is chosen."""

    path: Path
    source: str
    status: os.stat_result
    named: bool


def _look(path: Path, listing: Listing, met: list[_Met], *, named: bool) -> None:
    source = source_name(path, listing.root)
    try:
        status = path.stat() if named else path.lstat()
    except OSError as error:
        listing.problems.append((source, why(error)))
        return
    if stat.S_ISDIR(status.st_mode):
        for inner in _inside(path, source, listing):
            _look(inner, listing, met, named=False)
    elif stat.S_ISLNK(status.st_mode):
        listing.ignored.append((source, "a link"))
    elif stat.S_ISREG(status.st_mode):
        met.append(_Met(path, source, status, named))
    elif named or any(type(reader).accepts(path, b"") for reader in listing.readers):
        listing.problems.append((source, f"{_kind(status.st_mode)}, not a file"))
    else:
        listing.ignored.append((source, _kind(status.st_mode)))


def _sort_in(file: _Met, choice: int | str | None, listing: Listing, seen: set[tuple[int, int]]) -> None:
    """A file to those that are read, to those that are ignored, or to the problems."""
    inode = (file.status.st_dev, file.status.st_ino)
    if inode in seen:
        listing.ignored.append((file.source, "the same file as another one"))
        return
    if isinstance(choice, str):
        listing.problems.append((file.source, choice))
        return
    reader = None if choice is None else listing.readers[choice]
    if reader is None and file.named:  # what the user names is read, so that the reader can say what is wrong with it
        reader = next((r for r in listing.readers if file.path.name.lower().endswith(r.extensions)), None)
    if reader is not None:
        seen.add(inode)
        listing.files.append(Found(file.path, file.source, reader, file.status.st_size))
    elif file.path.name == SETTINGS:
        listing.ignored.append((file.source, "settings of reading"))
    elif file.named:
        known = ", ".join(sorted({ending for reader in listing.readers for ending in reader.extensions}))
        listing.problems.append((file.source, f"no reader takes this file (known: {known})"))
    else:
        listing.ignored.append((file.source, UNTAKEN))


def _inside(folder: Path, source: str, listing: Listing) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        listing.problems.append((source, why(error)))
        return
    for name in names:
        yield folder / name


def source_name(path: Path, root: Path) -> str:
    """The path below the root with ``/``, and what is no UTF-8 in it as escapes."""
    name = os.path.relpath(path, root).replace(os.sep, "/")
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def natural(source: str) -> tuple[tuple[int, str, int], ...]:
    """Key of an order in which ``2.csv`` comes before ``10.csv``; names that differ never have the same key."""
    parts = re.split(r"(\d+)", source)
    key = [(0, part, 0) if i % 2 == 0 else (1, "", int(part)) for i, part in enumerate(parts)]
    return (*key, (2, source, 0))


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISCHR, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "something else")
