"""Files one by one: rejected items to the books, samples to disk, the rest to the index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vibro.api import Component, Reader
from vibro.data import Record, Rejected
from vibro.errors import PluginError, VibroError
from vibro.events import Event, TaskFinished, TaskProgress, TaskStarted
from vibro.ingest.contract import checked
from vibro.ingest.files import Found, Listing, natural
from vibro.ingest.index import IndexBuilder
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions, columns_named
from vibro.ingest.remember import SMALL, Memory, keep, key_of, recall, said
from vibro.ingest.shaping import Shaped, Shaper
from vibro.io.files import digest

if TYPE_CHECKING:
    from vibro.core.views import Cache

_TELL = 500  # records between two progress events
_MANY = 20  # files from which on they are one task


def configured(readers: Iterable[Component], options: IngestOptions) -> list[Reader]:
    """The readers, each with those of its settings that are options of every command."""
    given = {**_given(options), "gaps": options.repair > 0 or options.window is not None}
    found = []
    for reader in readers:
        if isinstance(reader, Reader):
            own = {f.name: given[f.name] for f in fields(reader.params) if given.get(f.name)}
            found.append(type(reader).make(own, reader.ctx) if own else reader)
    return found


def without_effect(listing: Listing, options: IngestOptions) -> Iterator[str]:
    """Options that no reader of these files takes, in words."""
    used = {type(found.reader).name: {f.name for f in fields(found.reader.params)} for found in listing.files}
    for name, value in _given(options).items():
        if value and used and not any(name in own for own in used.values()):
            typed = [f"--{name}"] if getattr(options, name) else []
            typed += [f"--{role}-from" for role in columns_named(options)] if name == "columns" else []
            yield f"{' and '.join(typed)} has no effect: files of this kind ({', '.join(sorted(used))}) do not take it"


def _given(options: IngestOptions) -> dict[str, Any]:
    """The options that readers take as settings of the same name."""
    columns = {**columns_named(options), **options.columns}
    return {"channels": options.channels, "columns": columns, "encoding": options.encoding}


def take_all(
    intake: Intake, entries: Sequence[tuple[str, Found | str]], ahead: Iterator[tuple[int, Part, Path]]
) -> None:
    """Every entry; each is a task, or all of them are one where there are many.

    ``ahead`` gives parts that worker processes have taken: the entry that each begins with, and where its samples lie.
    """
    together = f"{len(entries)} files" if len(entries) > _MANY else ""
    clock, before, covered = time.perf_counter(), len(intake.taken.index), 0
    begin, part, samples = next(ahead, _NO_PART)
    for done, (source, item) in enumerate(entries):
        if not (together and done):
            intake.emit(TaskStarted("ingest", together or source))
        if done == begin:
            intake.join(part, samples)
            covered = done + len(part.sources)
            begin, part, samples = next(ahead, _NO_PART)
        if done >= covered:
            intake.take(source, item)
        if together and done % _MANY == 0:
            intake.emit(TaskProgress("ingest", together, done, len(entries)))
        if not together or done == len(entries) - 1:
            taken = len(intake.taken.index) - before
            intake.emit(TaskFinished("ingest", together or source, time.perf_counter() - clock, taken))
            clock, before = time.perf_counter(), len(intake.taken.index)


@dataclass
class Taken:
    """What files hold besides their samples, and what deserves to be said of them.

    ``words`` say what is wrong with the samples of a candidate; ``withdrawn``: first and last + 1 candidate, code, why;
    ``by_rule``: files whose sensors were named after their paths.
    """

    index: IndexBuilder = field(default_factory=IndexBuilder)
    words: dict[int, str] = field(default_factory=dict)
    withdrawn: list[tuple[int, int, str, str]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    by_rule: list[str] = field(default_factory=list)

    def join(self, other: Taken, start: int) -> None:
        """What other files hold, whose samples begin at a place."""
        first = len(self.index)
        self.index.join(other.index, start)
        self.words |= {first + i: words for i, words in other.words.items()}
        self.withdrawn += [(first + a, first + b, code, why) for a, b, code, why in other.withdrawn]
        self.sources += other.sources
        self.notes += other.notes
        self.by_rule += other.by_rule


class Part(NamedTuple):
    """Files that a worker process has taken: their sources, what they hold, what was refused of them."""

    sources: Sequence[str]
    taken: Taken
    refused: Sequence[tuple[str, Rejected]]


_NO_PART = -1, Part((), Taken(), ()), Path()


class Books(Protocol):
    """What counts and lists the items that are refused."""

    def open_file(self, source: str) -> object:
        """A file that follows those that were opened before."""

    def reject(self, source: str, item: Rejected) -> None:
        """An item that its reader refused."""


class Intake:
    """Takes files one by one: rejected items to the books, samples to disk, the rest to the index."""

    def __init__(
        self,
        books: Books,
        samples: SampleFile,
        emit: Callable[[Event], None],
        shaper: Shaper,
        cache: Cache | None = None,
        *,
        hashed: bool = True,
    ) -> None:
        self.books = books
        self.samples = samples
        self.emit = emit
        self.shaper = shaper
        self.cache = cache
        self.hashed = hashed
        self.taken = Taken()

    def join(self, part: Part, samples: Path) -> None:
        """Files that another process has taken, and their samples."""
        for source in part.sources:
            self.books.open_file(source)
        for source, item in part.refused:
            self.books.reject(source, item)
        self.taken.join(part.taken, self.samples.join(samples))

    def take(self, source: str, item: Found | str) -> None:
        """A file to read, or why there is none."""
        self.books.open_file(source)
        if isinstance(item, str):
            self.books.reject(source, Rejected("Q020", item))
            return
        try:
            before = state_of(item.path)
            sha256, size, notes = self._read_here(item, before)
            changed = before != state_of(item.path)
        except OSError as error:
            self.books.reject(source, Rejected("Q020", f"cannot be read: {error.strerror or error}"))
            return
        told = [*self.shaper.notes, *(["the file changed while it was read"] if changed else []), *notes]
        self.taken.notes += [(source, note) for note in told]
        if self.shaper.by_rule:
            self.taken.by_rule.append(source)
        self.taken.sources.append({"source": source, "sha256": sha256, "bytes": size})

    def _read_here(self, found: Found, before: tuple[int, int, int]) -> tuple[str, int, list[str]]:
        """Reads a file, or recalls what was read of this content; its hash, where wanted, its size, and what the reader says.

        ``before`` was taken ahead of the hash: a file that has changed since is not kept under it.
        """
        if self.cache is None or not type(found.reader).parses or found.size < SMALL:
            self._read(found, guarded(found))
            sha256, size = digest(found.path) if self.hashed else ("", found.size)
            return sha256, size, list(found.reader.notes())
        sha256, size = digest(found.path)
        key = key_of(found, sha256)
        kept = self.cache.get(key) if key else None
        if kept is not None:
            self._read(found, recall(kept))
            return sha256, size, said(kept)
        first, memory = self.samples.end, Memory()
        self._read(found, memory.listen(guarded(found)))
        notes = list(found.reader.notes())
        if key and before == state_of(found.path):
            keep(memory, self.cache, key, self.samples.since(first), notes)
        return sha256, size, notes

    def _read(self, found: Found, items: Iterable[Record | Rejected]) -> None:
        sound = checked(self._telling(found, items), found.reader, found.source)
        self._keep(found, self.shaper.shape(sound, found.source))

    def _keep(self, found: Found, items: Iterable[Shaped | Rejected]) -> None:
        index = self.taken.index
        first = len(index)
        for item in items:
            if isinstance(item, Rejected):
                self.books.reject(found.source, item)
                if item.row < 0 and len(index) > first:
                    self.taken.withdrawn.append((first, len(index), item.code, item.detail))
                continue
            if item.verdict.words:
                self.taken.words[len(index)] = item.verdict.words
            index.add(item, found.source, self.samples.append(item.record.signal))

    def _telling(self, found: Found, items: Iterable[Record | Rejected]) -> Iterator[Record | Rejected]:
        """The items, with events on the way."""
        for count, item in enumerate(items, 1):
            if count % _TELL == 0 and 0 <= getattr(item, "offset", -1) <= found.size:
                self.emit(TaskProgress("ingest", found.source, item.offset, found.size))
            yield item


def guarded(found: Found) -> Iterator[Record | Rejected]:
    """The reader's items; what it raises becomes an error that names it."""
    try:
        yield from found.reader.read(found.path)
    except (VibroError, OSError, MemoryError):
        raise
    except Exception as error:
        name = type(found.reader).name
        raise PluginError(
            f"reader {name} failed on {found.source}: {type(error).__name__}: {error}", plugin=name
        ) from error


def entries_of(listing: Listing) -> list[tuple[str, Found | str]]:
    """Files to read, and paths with why they cannot be, in the order of their names."""
    found: list[tuple[str, Found | str]] = [(found.source, found) for found in listing.files]
    return sorted([*found, *listing.problems], key=lambda entry: natural(entry[0]))


def state_of(path: Path) -> tuple[int, int, int]:
    """What changes with the content of a file."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
