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
from vibro.ingest.files import Found, Listing, find_files
from vibro.ingest.index import IndexBuilder
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions
from vibro.ingest.quality import signal_quality
from vibro.ingest.remember import Memory, key_of, recall
from vibro.ingest.sift import Sift, check_options
from vibro.io.files import digest

SIGNALS = "signals.npy"
Prepare = Callable[[Record], Iterable[Record | Rejected]]
_TELL = 500  # records between two progress events
_MANY = 20  # files from which on they are one task


class NothingAccepted(DataError):
    """No record was accepted; ``accounting`` says what became of those that were read."""

    def __init__(self, message: str, accounting: Accounting, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.accounting = accounting


@dataclass(frozen=True)
class Ingested:
    """The batch, the books, where fs comes from, and what was read.

    ``mains_hz`` 0 = no clear comb of the mains; ``sources`` holds source, sha256, bytes and accepted records of every
    file; ``ignored`` files that no reader takes, with the reason; ``root`` the folder that sources are relative to.
    """

    batch: SignalBatch
    accounting: Accounting
    fs_source: str
    mains_hz: float
    sources: list[dict[str, Any]]
    warnings: list[str]
    ignored: list[tuple[str, str]] = field(default_factory=list)
    root: Path = Path()


def ingest(
    paths: Sequence[Path],
    readers: Sequence[Component],
    options: IngestOptions,
    workdir: Path,
    emit: Callable[[Event], None],
    prepare: Prepare | None = None,
    cache: Cache | None = None,
) -> Ingested:
    """Reads every file under the paths into ``workdir/signals.npy``; memory grows with the index alone.

    ``prepare`` turns every record of a reader into the records that count: cut, resampled, refused. ``cache`` keeps what
    readers that parse have made of a file; a file of the same content is then not parsed again, with the same result.

    The batch is sorted by source and row, its samples are a read-only memory map. DataError where no record is
    accepted, ConfigError where options cannot be or the sampling rate stays unknown, PluginError if a reader fails.
    """
    check_options(options)
    workdir.mkdir(parents=True, exist_ok=True)
    listing = find_files(paths, [_configured(reader, options) for reader in readers if isinstance(reader, Reader)])
    with SampleFile(workdir / SIGNALS) as samples:
        intake = _Intake(Accounting(workdir), samples, emit, prepare, cache if prepare is None else None)
        _take_all(intake, listing)
        sift = Sift(intake.index.freeze(), intake.books, samples, options)
        for span in intake.withdrawn:
            sift.withdraw(*span)
        rate = sift.rate()
        shape = sift.length()
        sift.duplicates()
        sift.quality(intake.words)
        unit = sift.unit()
        keep = np.flatnonzero(sift.alive)
        if not len(keep):
            raise _nothing(listing, intake.books, options)
        x = samples.finish(sift.index.start[keep], shape)
    mains = sift.mains(x, keep, rate.fs)
    batch = sift.index.batch(keep, x, rate.fs, unit)
    accepted: Counter[str] = Counter()
    for code, valid in zip(batch.source, batch.valid, strict=True):
        intake.books.accept(batch.sources[code], invalid=not valid)
        accepted[batch.sources[code]] += 1
    sources = [{**entry, "records": accepted[entry["source"]]} for entry in intake.sources]
    warnings = [*_grouped(intake.notes), *_defaults(batch), *sift.warnings]
    if sift.taken:
        warnings.append(f"the data state none, so the model's is taken: {', '.join(sift.taken)}")
    return Ingested(batch, intake.books, rate.origin, mains, sources, warnings, listing.ignored, listing.root)


def _take_all(intake: _Intake, listing: Listing) -> None:
    """Every file in the order of its name; each is a task, or all of them are one where there are many."""
    entries = sorted(_entries(listing), key=lambda entry: entry[0])
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
        prepare: Prepare | None,
        cache: Cache | None,
    ) -> None:
        self.books = books
        self.samples = samples
        self.emit = emit
        self.prepare = prepare
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

    def _read(self, found: Found, items: Iterator[Record | Rejected]) -> None:
        first, last_row, size = len(self.index), -1, found.path.stat().st_size
        for count, item in enumerate(items, 1):
            if count % _TELL == 0 and 0 <= item.offset <= size:
                self.emit(TaskProgress("ingest", found.source, item.offset, size))
            if isinstance(item, Rejected):
                self.books.reject(found.source, item)
                if item.row < 0 and len(self.index) > first:
                    self.withdrawn.append((first, len(self.index), item.code, item.detail))
                continue
            _check(item, found, last_row)
            last_row = item.row
            for part in (item,) if self.prepare is None else self.prepare(item):
                if isinstance(part, Rejected):
                    self.books.reject(found.source, part)
                else:
                    self._add(part, found.source)

    def _add(self, record: Record, source: str) -> None:
        bits, words = signal_quality(record.signal)
        if words:
            self.words[len(self.index)] = words
        self.index.add(record, source, self.samples.append(record.signal), bits)


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
    if signal.size and not (np.isfinite(signal.min()) and np.isfinite(signal.max())):
        raise ContractError(f"reader {name}: row {item.row} of {found.source} is not finite", plugin=name)
    if item.row <= last_row:
        raise ContractError(f"reader {name}: row {item.row} of {found.source} follows row {last_row}", plugin=name)


def _configured(reader: Reader, options: IngestOptions) -> Reader:
    """The reader with those of its settings that are options of every command."""
    if options.mat_key is None or "mat_key" not in {f.name for f in fields(reader.params)}:
        return reader
    return type(reader).make({"mat_key": options.mat_key}, reader.ctx)


def _entries(listing: Listing) -> Iterator[tuple[str, Found | str]]:
    yield from ((found.source, found) for found in listing.files)
    yield from listing.problems


def _grouped(notes: Sequence[tuple[str, str]]) -> Iterator[str]:
    """One sentence per distinct note, with the number of files it is about."""
    by_note: dict[str, list[str]] = {}
    for source, note in notes:
        by_note.setdefault(note, []).append(source)
    for note, sources in by_note.items():
        yield f"{sources[0]}: {note}" if len(sources) == 1 else f"{note} ({len(sources)} files, {sources[0]} first)"


def _defaults(batch: SignalBatch) -> Iterator[str]:
    if batch.machines == batch.sensors and np.array_equal(batch.machine, batch.sensor) and len(batch.sensors) > 1:
        yield "no machine_id: every sensor counts as a machine of its own"


def _nothing(listing: Listing, books: Accounting, options: IngestOptions) -> NothingAccepted:
    """The error for an input without a single accepted record: what was found, and what to do."""
    total = books.total
    if not listing.files and not listing.problems:
        found = f"{len(listing.ignored)} files, but none that a reader takes" if listing.ignored else "no file"
        return NothingAccepted(f"nothing to read under {listing.root}: {found}", books, hint="vibro data check --help")
    if not total.read:
        return NothingAccepted(f"no record in {', '.join(list(books.files)[:3])}", books)
    first = next(books.findings())
    if set(books.by_code) == {"Q020"}:
        more = f" (and {total.read - 1} more)" if total.read > 1 else ""
        return NothingAccepted(f"nothing can be read: {first.source}: {first.detail}{more}", books)
    place = f"{first.source}" + (
        f" line {first.line}" if first.line > 0 else f" row {first.row}" if first.row >= 0 else ""
    )
    reasons = ", ".join(f"{code} {REASONS[code]} x {n}" for code, n in books.by_code.items())
    hint = "vibro data check shows every reason with its place"
    if set(books.by_code) == {"Q013"} and options.fs:
        hint = "leave out --fs: the data say their sampling rate themselves"
    elif set(books.by_code) == {"Q008"} and options.length:
        hint = "leave out --length, or cut the records with vibro data convert --window"
    message = f"no record was accepted of {total.read} read: {reasons}; the first: {place}: {first.detail}"
    return NothingAccepted(message, books, hint=hint)
