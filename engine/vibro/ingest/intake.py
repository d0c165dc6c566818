"""Files one by one: rejected items to the books, samples to disk, the rest to the index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any

from vibro.api import Component, Reader
from vibro.core.views import Cache
from vibro.data import Record, Rejected
from vibro.errors import PluginError, VibroError
from vibro.events import Event, TaskFinished, TaskProgress, TaskStarted
from vibro.ingest.accounting import Accounting
from vibro.ingest.contract import checked
from vibro.ingest.files import Found, Listing, natural
from vibro.ingest.index import IndexBuilder
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions, columns_named
from vibro.ingest.remember import SMALL, keep, key_of, recall, said
from vibro.ingest.shaping import Shaped, Shaper
from vibro.ingest.worker import Memory, Read, state_of
from vibro.io.files import digest

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
            yield f"--{name} has no effect: files of this kind ({', '.join(sorted(used))}) do not take it"


def _given(options: IngestOptions) -> dict[str, Any]:
    """The options that readers take as settings of the same name."""
    columns = {**columns_named(options), **options.columns}
    return {"channels": options.channels, "columns": columns, "encoding": options.encoding}


def take_all(intake: Intake, listing: Listing, ahead: Iterator[tuple[str, Read | None]]) -> None:
    """Every file in the order of its name; each is a task, or all of them are one where there are many."""
    entries = sorted(_entries(listing), key=lambda entry: natural(entry[0]))
    together = f"{len(entries)} files" if len(entries) > _MANY else ""
    clock, before = time.perf_counter(), len(intake.index)
    following, read = next(ahead, ("", None))
    for done, (source, item) in enumerate(entries):
        if not (together and done):
            intake.emit(TaskStarted("ingest", together or source))
        if source == following:
            intake.take(source, item, read)
            following, read = next(ahead, ("", None))
        else:
            intake.take(source, item)
        if together and done % _MANY == 0:
            intake.emit(TaskProgress("ingest", together, done, len(entries)))
        if not together or done == len(entries) - 1:
            taken = len(intake.index) - before
            intake.emit(TaskFinished("ingest", together or source, time.perf_counter() - clock, taken))
            clock, before = time.perf_counter(), len(intake.index)


class Intake:
    """Takes files one by one: rejected items to the books, samples to disk, the rest to the index."""

    def __init__(
        self,
        books: Accounting,
        samples: SampleFile,
        emit: Callable[[Event], None],
        shaper: Shaper,
        cache: Cache | None,
    ) -> None:
        self.books = books
        self.samples = samples
        self.emit = emit
        self.shaper = shaper
        self.cache = cache
        self.index = IndexBuilder()
        self.words: dict[int, str] = {}  # candidate -> what is wrong with its samples
        self.withdrawn: list[tuple[int, int, str, str]] = []  # first and last + 1 candidate, code, why
        self.sources: list[dict[str, Any]] = []
        self.notes: list[tuple[str, str]] = []

    def take(self, source: str, item: Found | str, read: Read | None = None) -> None:
        """A file to read, or why there is none; ``read`` is what a worker has read of it."""
        self.books.open_file(source)
        if isinstance(item, str):
            self.books.reject(source, Rejected("Q020", item))
            return
        if read is not None:
            self._keep(item, read.items)
            self._finish(item, read)
            return
        try:
            before = state_of(item.path)
            sha256, size, notes = self._read_here(item, before)
            after = state_of(item.path)
        except OSError as error:
            self.books.reject(source, Rejected("Q020", f"cannot be read: {error.strerror or error}"))
            return
        self._finish(item, Read(sha256, size, before, after, (), self.shaper.by_rule, self.shaper.notes, notes))

    def _finish(self, found: Found, read: Read) -> None:
        """What is told of a file that was read."""
        self.notes += [(found.source, note) for note in read.said]
        if read.before != read.after:
            self.notes.append((found.source, "the file changed while it was read"))
        self.notes += [(found.source, note) for note in read.notes]
        if read.by_rule:
            self.shaper.saw(found.source)
        self.sources.append({"source": found.source, "sha256": read.sha256, "bytes": read.size})

    def _read_here(self, found: Found, before: tuple[int, int, int]) -> tuple[str, int, list[str]]:
        """Reads a file, or recalls what was read of this content; its hash and size, and what the reader says of it.

        ``before`` was taken ahead of the hash: a file that has changed since is not kept under it.
        """
        if self.cache is None or not type(found.reader).parses or found.size < SMALL:
            self._read(found, guarded(found))
            return *digest(found.path), list(found.reader.notes())
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
        first = len(self.index)
        for item in items:
            if isinstance(item, Rejected):
                self.books.reject(found.source, item)
                if item.row < 0 and len(self.index) > first:
                    self.withdrawn.append((first, len(self.index), item.code, item.detail))
                continue
            if item.verdict.words:
                self.words[len(self.index)] = item.verdict.words
            self.index.add(item, found.source, self.samples.append(item.record.signal))

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


def _entries(listing: Listing) -> Iterator[tuple[str, Found | str]]:
    yield from ((found.source, found) for found in listing.files)
    yield from listing.problems
