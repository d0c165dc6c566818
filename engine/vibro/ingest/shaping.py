"""From what a reader gives to the records that count: named, mended, cut, and judged one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple
from zlib import crc32

import numpy as np

from vibro.data import Quality, Record, Rejected, record_id
from vibro.ingest.cutting import Cutter
from vibro.ingest.naming import Namer
from vibro.ingest.options import IngestOptions
from vibro.ingest.quality import Judged, judged
from vibro.ingest.repair import filled, refusal
from vibro.ingest.units import factor, scaled, unit_named
from vibro.words import counted


class Shaped(NamedTuple):
    """A record that counts, the verdict on its samples, its id as a number, and a checksum of its samples."""

    record: Record
    verdict: Judged
    ident: int
    check: int


class Shaper:
    """Shapes the items of one file after the other; ``notes`` collects what deserves to be said of the file.

    What it makes of a file depends on nothing but the file, its source and the options.
    """

    def __init__(self, options: IngestOptions, root: str) -> None:
        self._options = options
        self._namer = Namer(options, root)
        self._cutter = None if options.window is None and options.resample is None else Cutter(options)
        self.notes: list[str] = []

    @property
    def changes_samples(self) -> bool:
        """Whether a record may hold other samples than its reader gave."""
        return self._cutter is not None or self._options.repair > 0

    @property
    def by_rule(self) -> bool:
        """Whether a sensor of the last file was named after its path."""
        return self._namer.by_rule

    def saw(self, source: str) -> None:
        """A file that this process or another one has shaped and whose sensors were named after its path."""
        self._namer.saw(source)

    def told(self) -> list[str]:
        """What deserves to be said of all files together."""
        return list(self._namer.told())

    def shape(self, items: Iterable[Record | Rejected], source: str) -> Iterator[Shaped | Rejected]:
        """Records with the verdict on their samples; refused items as they come."""
        self.notes = []
        for item in self._namer.named(items, source):
            if isinstance(item, str):
                self.notes.append(item)
            elif isinstance(item, Rejected):
                yield item
            else:
                yield from self._parts(item)

    def _parts(self, record: Record) -> Iterator[Shaped | Rejected]:
        mended = filled(record, self._options.repair)
        for part, before in zip(self._cut(mended), self._cut(record), strict=True):
            if isinstance(part, Rejected):
                yield part
            elif (refused := refusal(part)) is not None:
                yield refused
            else:
                found = judged(part.signal)
                if isinstance(before, Record) and before.signal is not part.signal:
                    gaps = int(np.count_nonzero(~np.isfinite(before.signal)))
                    if gaps:
                        words = found.words or f"{counted(gaps, 'sample was', 'samples were')} interpolated"
                        found = replace(found, bits=found.bits | Quality.REPAIRED, words=words)
                yield _shaped(part, found)

    def _cut(self, record: Record) -> Iterable[Record | Rejected]:
        return (record,) if self._cutter is None else self._cutter(record)


def _shaped(record: Record, verdict: Judged) -> Shaped:
    signal = np.ascontiguousarray(record.signal, dtype="<f4")
    return Shaped(record, verdict, int(record_id(record.sensor, record.time, signal), 16), crc32(signal.data))


def in_unit(record: Record, unit: str) -> Record:
    """The record in the unit of its batch; as it is where no factor is known, as ingest refuses those."""
    own = unit_named(record.unit)
    times = factor(own, unit) if own else None
    return record if times is None or times == 1 else replace(record, signal=scaled(record.signal, times), unit=unit)
