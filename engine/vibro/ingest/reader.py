"""``ingest``: files to one batch of records on disk, with every item accounted for."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from vibro.api import Component, Reader
from vibro.core.views import Cache
from vibro.data import Record, Rejected, SignalBatch
from vibro.errors import ContractError, DataError, PluginError, VibroError
from vibro.events import Event, TaskFinished, TaskProgress, TaskStarted
from vibro.ingest.accounting import REASONS, Accounting
from vibro.ingest.files import UNTAKEN, Found, Listing, check_paths, find_files, natural
from vibro.ingest.index import IndexBuilder
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions, check_options, columns_named
from vibro.ingest.preview import first_of_kinds, unread
from vibro.ingest.remember import Memory, key_of, recall
from vibro.ingest.settings import with_settings
from vibro.ingest.shaping import Shaper
from vibro.ingest.sift import Sift
from vibro.ingest.ways import way_out
from vibro.io.files import digest

SIGNALS = "signals.npy"
_TELL = 500  # records between two progress events
_MANY = 20  # files from which on they are one task


class NothingAccepted(DataError):
    """No record was accepted; ``accounting`` says what became of those that were read, the rest is as in ``Ingested``."""

    def __init__(
        self,
        message: str,
        accounting: Accounting,
        *,
        hint: str | None = None,
        preview: Sequence[dict[str, Any]] = (),
        ignored: Sequence[tuple[str, str]] = (),
        shortest: int = 0,
    ) -> None:
        super().__init__(message, hint=hint)
        self.accounting = accounting
        self.preview = list(preview)
        self.ignored = list(ignored)
        self.shortest = shortest


@dataclass(frozen=True)
class Ingested:
    """The batch, the books, where fs comes from, and what was read.

    ``mains_hz`` 0 = no clear comb of the mains; ``sources`` holds source, sha256, bytes and accepted records of every
    file; ``ignored`` files that no reader takes, with the reason; ``root`` the folder that sources are relative to;
    ``options`` those of the command with those of a ``vibro.toml`` beside the data; ``preview`` tells how the first file of
    every kind was understood; ``shortest`` is the least number of samples that a record had before any was refused.
    """

    batch: SignalBatch
    accounting: Accounting
    fs_source: str
    mains_hz: float
    sources: list[dict[str, Any]]
    warnings: list[str]
    ignored: list[tuple[str, str]] = field(default_factory=list)
    root: Path = Path()
    options: IngestOptions = field(default_factory=IngestOptions)
    preview: list[dict[str, Any]] = field(default_factory=list)
    shortest: int = 0


def ingest(
    paths: Sequence[Path],
    readers: Sequence[Component],
    options: IngestOptions,
    workdir: Path,
    emit: Callable[[Event], None],
    cache: Cache | None = None,
) -> Ingested:
    """Reads every file under the paths into ``workdir/signals.npy``; memory grows with the index alone.

    ``cache`` keeps what readers that parse have made of a file; a file of the same content is then not parsed again, with
    the same result. A ``vibro.toml`` beside the data adds to the options.

    The batch is sorted by source and row, its samples are a read-only memory map. DataError where no record is
    accepted, ConfigError where options cannot be or the sampling rate stays unknown, PluginError if a reader fails.
    """
    check_paths(paths)
    options, told = with_settings(paths, options)
    check_options(options)
    workdir.mkdir(parents=True, exist_ok=True)
    listing = find_files(paths, configured(readers, options))
    with SampleFile(workdir / SIGNALS) as samples:
        shaper = Shaper(options, listing.root.name)
        intake = _Intake(Accounting(workdir), samples, emit, shaper, None if shaper.changes_samples else cache)
        _take_all(intake, listing)
        sift = Sift(intake.index.freeze(), intake.books, samples, options)
        preview = first_of_kinds(listing.files, sift.index)
        shortest = int(sift.index.samples.min()) if len(sift.index) else 0
        for span in intake.withdrawn:
            sift.withdraw(*span)
        rate = sift.rate()
        shape = sift.length()
        unit = sift.unit()
        sift.standing_clocks()
        sift.duplicates()
        sift.repeats(intake.words)
        sift.doubts(rate.fs, shape[1], intake.words)
        sift.quality(intake.words)
        keep = np.flatnonzero(sift.alive)
        if not len(keep):
            raise _nothing(listing, intake.books, preview, shortest, options)
        x = samples.finish(sift.index.start[keep], shape)
    mains = sift.mains(x, keep, rate.fs)
    batch = sift.index.batch(keep, x, rate.fs, unit)
    accepted: Counter[str] = Counter()
    for code, valid in zip(batch.source, batch.valid, strict=True):
        intake.books.accept(batch.sources[code], invalid=not valid)
        accepted[batch.sources[code]] += 1
    sources = [{**entry, "records": accepted[entry["source"]]} for entry in intake.sources]
    warnings = [*([told] if told else []), *_grouped(intake.notes), *shaper.told(), *_defaults(batch), *sift.warnings]
    return Ingested(
        batch,
        intake.books,
        rate.origin,
        mains,
        sources,
        warnings,
        ignored=listing.ignored,
        root=listing.root,
        options=options,
        preview=preview,
        shortest=shortest,
    )


def _take_all(intake: _Intake, listing: Listing) -> None:
    """Every file in the order of its name; each is a task, or all of them are one where there are many."""
    entries = sorted(_entries(listing), key=lambda entry: natural(entry[0]))
    together = f"{len(entries)} files" if len(entries) > _MANY else ""
    clock = time.perf_counter()
    for done, (source, item) in enumerate(entries):
        if not (together and done):
            intake.emit(TaskStarted("ingest", together or source))
        intake.take(source, item)
        if together and done % _MANY == 0:
            intake.emit(TaskProgress("ingest", together, done, len(entries)))
        if not together or done == len(entries) - 1:
            intake.emit(TaskFinished("ingest", together or source, time.perf_counter() - clock))
            clock = time.perf_counter()


class _Intake:
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

    def take(self, source: str, item: Found | str) -> None:
        """A file to read, or why there is none."""
        self.books.open_file(source)
        if isinstance(item, str):
            self.books.reject(source, Rejected("Q020", item))
            return
        try:
            before = item.path.stat()
            if self.cache is not None and type(item.reader).parses:
                sha256, size = digest(item.path)
                notes = self._read_once(item, sha256, before, self.cache)
            else:
                self._read(item, _guarded(item))
                notes = list(item.reader.notes())
                sha256, size = digest(item.path)
            after = item.path.stat()
        except OSError as error:
            self.books.reject(source, Rejected("Q020", f"cannot be read: {error.strerror or error}"))
            return
        if _state(before) != _state(after):
            self.notes.append((source, "the file changed while it was read"))
        self.notes += [(source, note) for note in notes]
        self.sources.append({"source": source, "sha256": sha256, "bytes": size})

    def _read_once(self, found: Found, sha256: str, before: os.stat_result, cache: Cache) -> list[str]:
        """Reads a file of this content, or recalls what was read of it; returns what the reader says of it.

        ``before`` was taken ahead of the hash: a file that has changed since is not kept under it.
        """
        key = key_of(found, sha256)
        kept = cache.get(key) if key else None
        if kept is not None:
            items, notes = recall(kept)
            self._read(found, items)
            return notes
        first, memory = self.samples.end, Memory()
        self._read(found, memory.listen(_guarded(found)))
        notes = list(found.reader.notes())
        if key and _state(before) == _state(found.path.stat()):
            memory.keep(cache, key, self.samples.since(first), notes)
        return notes

    def _read(self, found: Found, items: Iterable[Record | Rejected]) -> None:
        first = len(self.index)
        for item in self.shaper.shape(self._sound(found, items), found.source):
            if isinstance(item, Rejected):
                self.books.reject(found.source, item)
                if item.row < 0 and len(self.index) > first:
                    self.withdrawn.append((first, len(self.index), item.code, item.detail))
                continue
            record, bits, words = item
            if words:
                self.words[len(self.index)] = words
            self.index.add(record, found.source, self.samples.append(record.signal), bits)
        self.notes += [(found.source, note) for note in self.shaper.notes]

    def _sound(self, found: Found, items: Iterable[Record | Rejected]) -> Iterator[Record | Rejected]:
        """The items, each held against the contract, with events on the way."""
        last_row, size = -1, found.path.stat().st_size
        for count, item in enumerate(items, 1):
            if count % _TELL == 0 and 0 <= item.offset <= size:
                self.emit(TaskProgress("ingest", found.source, item.offset, size))
            if not isinstance(item, Rejected):
                _check(item, found, last_row)
                last_row = item.row
            yield item


def _state(status: os.stat_result) -> tuple[int, int, int]:
    """What changes with the content of a file."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _guarded(found: Found) -> Iterator[Record | Rejected]:
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


def _check(item: object, found: Found, last_row: int) -> None:
    """ContractError unless a reader's item keeps the contract."""
    name = type(found.reader).name
    if not isinstance(item, Record):
        raise ContractError(f"reader {name} gave a {type(item).__name__}, not a Record or Rejected", plugin=name)
    signal = item.signal
    if signal.dtype != np.float32 or signal.ndim != 2 or not signal.shape[0]:
        raise ContractError(
            f"reader {name}: a signal is {signal.dtype} {signal.shape}, not float32 (C, T)", plugin=name
        )
    if item.row <= last_row:
        raise ContractError(f"reader {name}: row {item.row} of {found.source} follows row {last_row}", plugin=name)


def configured(readers: Iterable[Component], options: IngestOptions) -> list[Reader]:
    """The readers, each with those of its settings that are options of every command."""
    columns = {**columns_named(options), **options.columns}
    given = {"channels": options.channels, "columns": columns, "encoding": options.encoding, "tz": options.tz}
    found = []
    for reader in readers:
        if isinstance(reader, Reader):
            own = {f.name: given[f.name] for f in fields(reader.params) if given.get(f.name)}
            found.append(type(reader).make(own, reader.ctx) if own else reader)
    return found


def _entries(listing: Listing) -> Iterator[tuple[str, Found | str]]:
    yield from ((found.source, found) for found in listing.files)
    yield from listing.problems


def _grouped(notes: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A sentence a note, however many files it is about."""
    by_note: dict[str, list[str]] = {}
    for source, note in notes:
        by_note.setdefault(note, []).append(source)
    for note, sources in by_note.items():
        yield f"{sources[0]}: {note}" if len(sources) == 1 else f"{note} ({len(sources)} files, {sources[0]} first)"


def _defaults(batch: SignalBatch) -> Iterator[str]:
    if batch.machines == batch.sensors and np.array_equal(batch.machine, batch.sensor) and len(batch.sensors) > 1:
        yield "no machine_id: every sensor counts as a machine of its own"


def _nothing(
    listing: Listing, books: Accounting, preview: Sequence[dict[str, Any]], shortest: int, options: IngestOptions
) -> NothingAccepted:
    """The error for an input without a single accepted record: what was found, and what to do."""

    def error(message: str, hint: str | None = None) -> NothingAccepted:
        return NothingAccepted(message, books, hint=hint, preview=preview, ignored=listing.ignored, shortest=shortest)

    total = books.total
    if not listing.files and not listing.problems:
        if not listing.ignored:
            return error(f"nothing to read under {listing.root}: no file")
        foreign = [item for item in listing.ignored if item[1] == UNTAKEN] or listing.ignored
        known = sorted({end for reader in listing.readers for end in reader.extensions})
        taken = any(source.lower().endswith(tuple(known)) for source, _ in foreign)
        return error(
            f"nothing to read under {listing.root}: {len(listing.ignored)} files that no reader takes: {unread(foreign)}",
            "--columns time=NAME,signal=NAME says which columns of a table hold samples"
            if taken
            else f"export them as one of {', '.join(known)}, or write a reader:"
            " vibro plugins new my_format --kind reader",
        )
    if not total.read:
        return error(f"no record in {', '.join(list(books.files)[:3])}")
    first = next(books.findings())
    if set(books.by_code) == {"Q020"}:
        more = f" (and {total.read - 1} more)" if total.read > 1 else ""
        return error(f"nothing can be read: {first.source}: {first.detail}{more}")
    place = f"{first.source}" + (
        f" line {first.line}" if first.line > 0 else f" row {first.row}" if first.row >= 0 else ""
    )
    reasons = ", ".join(f"{code} {REASONS[code]} x {n}" for code, n in books.by_code.items())
    most = max(books.by_code, key=lambda code: books.by_code[code])
    hint = way_out(most, shortest) or None
    if most == "Q013" and options.fs:
        hint = "leave out --fs: the data say their sampling rate themselves"
    elif most == "Q008" and options.length:
        hint = f"leave out --length, or cut the recordings with --window {options.length}"
    return error(f"no record was accepted of {total.read} read: {reasons}; the first: {place}: {first.detail}", hint)
