"""What a process does that reads files for another: chooses readers, reads, shapes, and packs what it has got.

It imports little, so that such a process starts quickly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vibro.api import Reader
from vibro.context import Context
from vibro.data import Quality, Record, Rejected
from vibro.ingest.contract import checked
from vibro.ingest.options import IngestOptions
from vibro.ingest.quality import Judged
from vibro.ingest.shaping import Shaped, Shaper
from vibro.io.files import digest

MOST = 64 << 20  # bytes that the items of a file may take without their samples
HEAD = 512  # bytes of a file that a reader may look at to decide
FIELDS = tuple(f.name for f in fields(Record) if f.name not in ("signal", "time"))
Item = tuple[tuple[int, ...] | None, int | None, Sequence[Any]]
_PLAIN = (str, int, float, bool)
_SOUND = Quality(0)
FileState = tuple[int, int, int]  # what changes with the content of a file
Files = Sequence[tuple[Path, str, int]]  # files with their sources and the numbers of their readers


class Job(NamedTuple):
    """How all files of an ingest are read: the classes and settings of the readers, the options, the name of the root."""

    readers: tuple[tuple[type[Reader], Any], ...]
    options: IngestOptions
    root: str


class Read(NamedTuple):
    """What a file holds: its hash and size, its state before and after, its items, notes of shaper and reader.

    ``by_rule``: a sensor was named after the path.
    """

    sha256: str
    size: int
    before: FileState
    after: FileState
    items: Sequence[Shaped | Rejected]
    by_rule: bool
    said: list[str]
    notes: list[str]


class Packed(NamedTuple):
    """A file without its items; these without their samples, and the place of these in the file of the task."""

    read: Read
    items: list[tuple[Item, Sequence[Any]]]
    start: int
    stop: int


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


def rebuilt(samples: NDArray[np.float32], items: Iterable[Item]) -> Iterator[Record | Rejected]:
    """Items from what ``plain`` has made of them, and the samples of all of them."""
    start = 0
    for shape, time, values in items:
        if shape is None:
            yield Rejected(*values)
            continue
        signal = samples[start : start + shape[0] * shape[1]].reshape(shape)
        start += signal.size
        yield Record(signal, time=np.datetime64(time, "ns"), **dict(zip(FIELDS, values, strict=True)))


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


def state_of(path: Path) -> FileState:
    """What changes with the content of a file."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def choose_all(classes: Sequence[type[Reader]], paths: Sequence[Path]) -> list[int | str | None]:
    """``choose`` for each of these files."""
    return [choose(path, classes) for path in paths]


def read_file(path: Path, source: str, reader: Reader, shaper: Shaper) -> Read:
    """A file read and shaped as a whole."""
    before = state_of(path)
    items = list(shaper.shape(checked(reader.read(path), reader, source), source))
    sha256, size = digest(path)
    return Read(sha256, size, before, state_of(path), items, shaper.by_rule, shaper.notes, list(reader.notes()))


def read_all(job: Job, files: Files, into: Path) -> list[Packed | None]:
    """What these files hold, packed; None for one that the caller has to read, so that it meets whatever is wrong with it.

    The samples go into a file: through a pipe they would wait for the caller at every step.
    """
    readers, shaper = _tools(job)
    found: list[Packed | None] = []
    with into.open("r+b" if into.exists() else "wb") as out:  # an old one is written over: it has its place on disk
        for path, source, i in files:
            try:
                found.append(packed(read_file(path, source, readers[i], shaper), out))
            except Exception:  # the caller reads the file again and says what is wrong
                found.append(None)
    return found


_TOOLS: dict[str, tuple[list[Reader], Shaper]] = {}  # of this process


def _tools(job: Job) -> tuple[list[Reader], Shaper]:
    """The readers and the shaper, which live on: readers may become quicker the more they have read."""
    key = repr(job)
    if key not in _TOOLS:
        _TOOLS[key] = [cls(params, Context()) for cls, params in job.readers], Shaper(job.options, job.root)
    return _TOOLS[key]


def packed(read: Read, out: BinaryIO) -> Packed:
    """A file with its samples appended to ``out``; TypeError as ``plain``."""
    start = out.tell() // 4
    items: list[tuple[Item, Sequence[Any]]] = []
    for item in read.items:
        if isinstance(item, Rejected):
            items.append((plain(item), ()))
            continue
        record, verdict, ident, check = item
        items.append((plain(record), (int(verdict.bits), verdict.words, verdict.level, ident, check)))
        out.write(np.ascontiguousarray(record.signal).data)
    return Packed(read._replace(items=()), items, start, out.tell() // 4)


def unpacked(packed: Packed, samples: NDArray[np.float32]) -> Read:
    """The file as it was read; ``samples`` are those of its task."""
    items: list[Shaped | Rejected] = []
    plain_items = (item for item, _ in packed.items)
    for item, (_, verdict) in zip(rebuilt(samples[packed.start : packed.stop], plain_items), packed.items, strict=True):
        if isinstance(item, Rejected):
            items.append(item)
        else:
            bits, words, level, ident, check = verdict
            items.append(Shaped(item, Judged(Quality(bits) if bits else _SOUND, words, level), ident, check))
    return packed.read._replace(items=items)
