"""The records that may still be accepted, and the finding for each one that is put out or remarked on."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from vibro.data import Quality, record_id
from vibro.ingest.accounting import QUARANTINED, WARNING, Accounting, Finding
from vibro.ingest.index import Index
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions
from vibro.ingest.units import scaled
from vibro.io.files import iso_time


class Candidates:
    """Candidates of one ingest by their rows in the index; ``alive`` marks those that are left."""

    def __init__(self, index: Index, books: Accounting, samples: SampleFile, options: IngestOptions) -> None:
        self.index = index
        self.books = books
        self.samples = samples
        self.options = options
        self.alive = np.ones(len(index), bool)
        self.warnings: list[str] = []
        self.taken: list[str] = []  # what the data do not state and the model does

    def out(self, i: int, code: str, detail: str) -> None:
        """Quarantines a record that is left."""
        if self.alive[i]:
            self.alive[i] = False
            self.books.decide(self.finding(i, code, QUARANTINED, detail))

    def convert(self, i: int, times: float) -> None:
        """A record times a factor, with the id of its new samples."""
        index = self.index
        start, shape = int(index.start[i]), (int(index.channels[i]), int(index.samples[i]))
        block = scaled(self.samples.look(start, shape[0] * shape[1]), times).reshape(shape)
        self.samples.put(start, block)
        index.check[i] = crc32(block.data)
        index.level[i] *= times
        self.identify(i)

    def identify(self, i: int) -> None:
        """The id of a record anew."""
        index = self.index
        signal = self.samples.look(int(index.start[i]), int(index.channels[i] * index.samples[i]))
        index.ident[i] = int(record_id(index.name("sensor", i), index.time[i], signal), 16)

    def mark(self, i: int, bit: Quality, code: str, detail: str) -> None:
        """Remarks on a record with a warning."""
        self.index.quality[i] |= int(bit)
        self.books.decide(self.finding(i, code, WARNING, detail))

    def finding(self, i: int, code: str, disposition: str, detail: str) -> Finding:
        """What ``quarantine.csv`` says of a record."""
        index = self.index
        return Finding(
            source=index.name("source", i),
            row=int(index.row[i]),
            line=int(index.line[i]),
            pointer="",
            byte_offset=int(index.offset[i]),
            record_id=index.record_id(i),
            sensor_id=index.name("sensor", i),
            data_time=iso_time(index.time[i]),
            code=code,
            disposition=disposition,
            detail=detail,
            excerpt=self._excerpt(i) if disposition == QUARANTINED else "",
        )

    def _excerpt(self, i: int) -> str:
        count = min(6, int(self.index.samples[i]))
        shown = ",".join(f"{value:.6g}" for value in self.samples.look(int(self.index.start[i]), count))
        return shown + ("..." if count < self.index.samples[i] else "")

    def name(self, i: int) -> str:
        """How a message names a record."""
        return f"{self.index.name('source', i)}:{self.index.row[i]}"
