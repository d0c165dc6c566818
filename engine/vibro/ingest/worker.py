"""What a process does that reads files for another: chooses readers, reads, and packs what it has got.

It imports little, so that such a process starts quickly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from vibro.api import Reader
from vibro.context import Context
from vibro.data import Record, Rejected
from vibro.io.files import digest

MOST = 64 << 20  # bytes that the items of a file may take without their samples
HEAD = 512  # bytes of a file that a reader may look at to decide
FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("signal", "time"))
Item = tuple[tuple[int, ...] | None, int | None, Sequence[Any]]
_PLAIN = (str, int, float, bool)
Made = tuple[type[Reader], Any]  # a reader's class and settings
_READERS: dict[tuple[type[Reader], str], Reader] = {}  # of this process


class Packed(NamedTuple):
    """What a file holds: its hash and size, its state before and after, its items, where its samples lie, notes."""

    sha256: str
    size: int
    before: tuple[int, int, int]
    after: tuple[int, int, int]
    items: list[Item]
    start: int  # samples ahead of its own in the file of the task
    samples: int
    notes: list[str]


class Memory:
    """Records the items of one file while they are read, to be cached with their samples; stops above MOST bytes."""

    def __init__(self) -> None:
        self._lines = bytearray()
        self._plain = True

    def listen(self, items: Iterator[Record | Rejected]) -> Iterator[Record | Rejected]:
        """Yields the same items; an item is recorded when the next one is requested, that is, after its check has passed."""
        for item in items:
            yield item
            if self._plain and len(self._lines) <= MOST:
                try:
                    self._lines += json.dumps(plain(item)).encode() + b"\n"
                except TypeError:  # a value of a type that JSON has not: such a file is read anew
                    self._plain = False

    @property
    def lines(self) -> bytes | None:
        """The items as lines of JSON; None where they are too many, or hold what JSON has not."""
        return bytes(self._lines) if self._plain and len(self._lines) <= MOST else None


def plain(item: Record | Rejected) -> Item:
    """Shape, time and all other fields of a record; the fields of a rejected item behind two nothings.

    TypeError for a value that is neither text nor a number.
    """
    if isinstance(item, Rejected):
        return None, None, astuple(item)
    time = int(item.time.astype("datetime64[ns]").astype(np.int64))
    return item.signal.shape, time, [_value(getattr(item, name)) for name in FIELDS]


def _value(value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {str(name): _value(inner) for name, inner in value.items()}
    raise TypeError(f"{type(value).__name__} is no text or number")


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


def state_of(path: Path) -> tuple[int, int, int]:
    """What changes with the content of a file."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def choose_all(classes: Sequence[type[Reader]], paths: Sequence[Path]) -> list[int | str | None]:
    """``choose`` for each of these files."""
    return [choose(path, classes) for path in paths]


def read_all(made: Sequence[Made], files: Sequence[tuple[Path, int]], into: Path) -> list[Packed | None]:
    """What these files hold, each read by the reader of this number; None for one that the caller has to read itself.

    The samples go into a file: through a pipe they would wait for the caller at every step. The readers of this process
    live on, for they may become quicker the more they have read.
    """
    found: list[Packed | None] = []
    with into.open("r+b" if into.exists() else "wb") as out:  # an old one is written over: it has its place on disk
        for path, i in files:
            cls, params = made[i]
            key = cls, repr(params)
            if key not in _READERS:
                _READERS[key] = cls(params, Context())
            try:
                found.append(packed(path, _READERS[key], out))
            except Exception:  # the caller reads the file again and says what is wrong
                found.append(None)
    return found


def packed(path: Path, reader: Reader, out: BinaryIO) -> Packed | None:
    """A file read as a whole, its samples appended to ``out``; None where a signal is none, TypeError as ``plain``."""
    before, start, count = state_of(path), out.tell() // 4, 0
    items: list[Item] = []
    for item in reader.read(path):
        if isinstance(item, Record):
            if item.signal.dtype != np.float32 or item.signal.ndim != 2:
                return None
            out.write(np.ascontiguousarray(item.signal).data)
            count += item.signal.size
        items.append(plain(item))
    sha256, size = digest(path)
    return Packed(sha256, size, before, state_of(path), items, start, count, list(reader.notes()))
