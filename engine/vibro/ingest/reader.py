"""``ingest``: files to one batch of records on disk, with every item accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vibro.api import Component
from vibro.core.views import Cache
from vibro.data import SignalBatch
from vibro.events import Event
from vibro.ingest.accounting import Accounting
from vibro.ingest.ahead import ReadAhead
from vibro.ingest.files import check_paths, find_files
from vibro.ingest.intake import Intake, configured, entries_of, take_all, without_effect
from vibro.ingest.mains import mains_of
from vibro.ingest.matrix import SampleFile
from vibro.ingest.nothing import nothing_accepted
from vibro.ingest.options import IngestOptions, check_options
from vibro.ingest.preview import first_of_kinds
from vibro.ingest.settings import with_settings
from vibro.ingest.shaping import Shaper
from vibro.ingest.sift import Sift
from vibro.io.files import disk_errors

SIGNALS = "signals.npy"


@dataclass(frozen=True)
class Ingested:
    """The batch, the books, where fs comes from, and what was read.

    ``mains_hz`` 0 = no clear comb of the mains; ``sources`` holds source, sha256, bytes and accepted records of every
    file; ``ignored`` files that no reader takes, with the reason; ``root`` the folder that sources are relative to;
    ``options`` those of the command with those of a ``vibro.toml`` beside the data; ``preview`` tells how the first file of
    every kind was understood; ``window`` is one that all recordings could be cut into; ``unnamed`` says whether there are records
    whose machine nothing names, so that their sensor stands for it.
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
    window: int = 0
    unnamed: bool = False


def ingest(
    paths: Sequence[Path],
    readers: Sequence[Component],
    options: IngestOptions,
    workdir: Path,
    emit: Callable[[Event], None],
    cache: Cache | None = None,
    *,
    side_by_side: bool = False,
    hashed: bool = True,
    root: Path | None = None,
) -> Ingested:
    """Reads every file under the paths into ``workdir/signals.npy``; memory grows with the index alone.

    ``cache`` keeps what readers that parse have made of a file; a file of the same content is then not parsed again.
    ``side_by_side`` reads many small files of text in worker processes, where it pays. Neither changes the result.
    Without ``hashed`` the sha256 of sources may be empty: who reads the data once does not need to know their bytes again.
    A ``vibro.toml`` beside the data adds to the options. ``root``: the folder of all data, where the paths are only some of
    its files; sources are named below it, and its ``vibro.toml`` counts.

    The batch is sorted by source and row, its samples are a read-only memory map. DataError where no record is
    accepted, ConfigError where options cannot be or the sampling rate stays unknown, PluginError if a reader fails.
    """
    check_paths(paths)
    options, told = with_settings(paths if root is None else [root], options)
    check_options(options)
    with disk_errors(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        ahead = ReadAhead(configured(readers, options), workdir, stack, side_by_side)
        listing = find_files(paths, ahead.readers, ahead.start, root)
        samples = stack.enter_context(SampleFile(workdir / SIGNALS))
        shaper = Shaper(options, listing.root.name)
        books = Accounting(workdir)
        intake = Intake(books, samples, emit, shaper, None if shaper.changes_samples else cache, hashed=hashed)
        entries = entries_of(listing)
        take_all(intake, entries, ahead.reading(entries, options, listing.root.name))
        taken = intake.taken
        for source in taken.by_rule:
            shaper.saw(source)
        sift = Sift(taken.index.freeze(), books, samples, options)
        preview = first_of_kinds(listing.files, sift.index)
        for span in taken.withdrawn:
            sift.withdraw(*span)
        rate = sift.rate()
        window = sift.window()
        shape = sift.length()
        unit = sift.unit()
        sift.standing_clocks()
        sift.duplicates()
        sift.repeats(taken.words)
        sift.doubts(rate.fs, shape[1], taken.words)
        sift.quality(taken.words)
        keep = np.flatnonzero(sift.alive)
        if not len(keep):
            raise nothing_accepted(listing, books, preview, window, options)
        x = samples.finish(sift.index.start[keep], shape)
    mains = mains_of(sift, x, keep, rate.fs)
    batch = sift.index.batch(keep, x, rate.fs, unit)
    accepted: Counter[str] = Counter()
    for code, valid in zip(batch.source, batch.valid, strict=True):
        books.accept(batch.sources[code], invalid=not valid)
        accepted[batch.sources[code]] += 1
    sources = [{**entry, "records": accepted[entry["source"]]} for entry in taken.sources]
    warnings = [
        *([told] if told else []),
        *without_effect(listing, options),
        *_grouped(taken.notes),
        *shaper.told(),
        *ahead.told(),
        *sift.warnings,
    ]
    if sift.taken:
        warnings.append(f"the data state none, so the model's is taken: {', '.join(sift.taken)}")
    return Ingested(
        batch,
        books,
        rate.origin,
        mains,
        sources,
        warnings,
        ignored=listing.ignored,
        root=listing.root,
        options=options,
        preview=preview,
        window=window,
        unnamed=bool(sift.index.unnamed(keep).any()),
    )


def _grouped(notes: Sequence[tuple[str, str]]) -> Iterator[str]:
    """One sentence per distinct note, with the number of files it is about."""
    by_note: dict[str, list[str]] = {}
    for source, note in notes:
        by_note.setdefault(note, []).append(source)
    for note, sources in by_note.items():
        yield f"{sources[0]}: {note}" if len(sources) == 1 else f"{note} ({len(sources)} files, {sources[0]} first)"
