"""The decisions that need all records at once: sampling rate, length, unit, duplicates, quality, mains."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vibro.data import Quality, record_id
from vibro.errors import ConfigError
from vibro.ingest import comb
from vibro.ingest.accounting import INVALID, QUARANTINED, WARNING, Accounting, Finding
from vibro.ingest.doubts import clock_doubts, rate_doubts, same_samples, scale_doubts
from vibro.ingest.index import Index
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions
from vibro.ingest.units import factor, scaled, unit_named
from vibro.ingest.ways import window_for
from vibro.io.files import iso_time

PROBES = 64  # records that are looked at for the comb of the mains
FS_TOLERANCE = 1e-6  # relative
LOW_MAINS = 0.5  # autocorrelation at whole mains periods below which a record is not mains vibration
CODES = {  # the first that fits names a record's level
    Quality.ZERO: "Q015",
    Quality.CONSTANT: "Q014",
    Quality.CLIPPED: "Q016",
    Quality.DROPOUT: "Q022",
    Quality.STALE: "Q021",
}
REMARKS = {Quality.SPIKES: "Q023", Quality.SCALE: "Q024", Quality.STILL: "Q014", Quality.REPAIRED: "Q007"}
_SAID = {
    "Q023": "hold lone spikes of the converter",
    "Q024": "stand at about 1,000 times the level of their sensor, or a thousandth",
    "Q014": "hardly move beside their mean",
    "Q007": "had gaps that were interpolated",
}
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Rate:
    """The sampling rate of a batch and where it comes from: ``data``, ``option``, ``model``, ``estimated``, ``unknown`` (0)."""

    fs: float
    origin: str


class Sift:
    """Which candidates are accepted. Every step examines those that are left and records a finding for each it removes."""

    def __init__(self, index: Index, books: Accounting, samples: SampleFile, options: IngestOptions) -> None:
        self.index = index
        self.books = books
        self.samples = samples
        self.options = options
        self.alive = np.ones(len(index), bool)
        self.warnings: list[str] = []
        self.taken: list[str] = []  # what the data do not state and the model does

    # --- steps, in their order ----------------------------------------------------------------------------------------

    def withdraw(self, first: int, last: int, code: str, why: str) -> None:
        """Records of a file that turned out damaged as a whole."""
        for i in range(first, last):
            self._out(i, code, f"withdrawn with its file: {why}")

    def rate(self) -> Rate:
        """The sampling rate of the batch; records that declare another one are Q013."""
        declared = np.where(self.alive, self.index.fs, 0.0)
        given = declared > 0
        wanted = self.options.resample or self.options.fs
        if wanted is None:
            if not given.any() and self.options.prefer_fs:
                self.taken.append(f"sampling rate {self.options.prefer_fs:g} Hz")
                return Rate(self.options.prefer_fs, "model")
            if not given.any():
                return self._estimated()
            wanted = _most_frequent(declared[given])
        for i in np.flatnonzero(given & (np.abs(declared - wanted) > FS_TOLERANCE * wanted)):
            says = f"--fs says {wanted:g} Hz" if self.options.fs else f"most records {wanted:g} Hz"
            self._out(int(i), "Q013", f"the record declares {declared[i]:g} Hz, {says}")
        return Rate(float(wanted), "data" if self.options.fs is None else "option")

    def length(self) -> tuple[int, int]:
        """Channels and samples of the batch: the most frequent shape, the longer one of two; others are Q008."""
        channels, samples = self.index.channels, self.index.samples
        wanted, preferred = self.options.length, self.options.prefer_length
        if wanted is None and preferred in samples[self.alive]:
            wanted = preferred
        shapes = Counter(zip(channels[self.alive].tolist(), samples[self.alive].tolist(), strict=True))
        if wanted is not None:
            shapes = Counter({shape: n for shape, n in shapes.items() if shape[1] == wanted})
        shapes = Counter({shape: n for shape, n in shapes.items() if shape[1] > 0})
        best = max(shapes, key=lambda shape: (shapes[shape], shape[1], shape[0]), default=(1, wanted or 1))
        if len({shape[1] for shape in shapes}) > 1 and self.options.window is None:
            low, high = min(shape[1] for shape in shapes), max(shape[1] for shape in shapes)
            self.warnings.append(
                f"the records have {low} to {high} samples, and those of {best[1]} stay:"
                f" --window {window_for(low)} cuts them all into records of one length"
            )
        for i in np.flatnonzero(self.alive & ((channels != best[0]) | (samples != best[1]))):
            several = best[0] > 1 or channels[i] > 1
            got = f"{channels[i]} x {samples[i]}" if several else f"{samples[i]}"
            want = f"{best[0]} x {best[1]}" if several else f"{best[1]}"
            self._out(int(i), "Q008", f"{got} samples, wanted {want}")
        return best

    def standing_clocks(self) -> None:
        """Times that all files of a sensor share are a clock that stands, not instants: they are left out, and told."""
        index = self.index
        rows = np.flatnonzero(self.alive & index.waveform & ~np.isnat(index.time))
        stood = []
        for code in np.unique(index.sensor[rows]):
            own = rows[index.sensor[rows] == code]
            several = len(np.unique(index.source[own])) == len(own) > 1
            if several and (index.time[own] == index.time[own[0]]).all():
                stood.append(f"{index.names['sensor'][code]} ({iso_time(index.time[own[0]])})")
                index.time[own] = np.datetime64("NaT", "ns")
                for i in own:
                    self._identify(int(i))
        if stood:
            more = f" and {len(stood) - 1} more sensors" if len(stood) > 1 else ""
            self.warnings.append(f"all files of {stood[0]}{more} state one and the same time, which is left out")

    def duplicates(self) -> None:
        """Of equal records the first stays (Q012); records of one sensor and time that differ all go (Q011)."""
        rows = np.flatnonzero(self.alive)
        _, first, inverse = np.unique(self.index.ident[rows], return_index=True, return_inverse=True)
        for k in np.flatnonzero(first[inverse] != np.arange(len(rows))):
            self._out(int(rows[k]), "Q012", f"the same record as {self._name(int(rows[first[inverse[k]]]))}")
        rows = np.flatnonzero(self.alive & ~np.isnat(self.index.time))
        order = rows[np.lexsort((self.index.time[rows], self.index.sensor[rows]))]
        same = (np.diff(self.index.sensor[order]) == 0) & (np.diff(self.index.time[order]) == np.timedelta64(0))
        for k in np.flatnonzero(same):  # every record of a group meets a neighbour of it
            for i, other in ((order[k], order[k + 1]), (order[k + 1], order[k])):
                if self.alive[i]:
                    self._out(int(i), "Q011", f"other samples of the same sensor and time in {self._name(int(other))}")

    def unit(self) -> str:
        """The unit of the batch: ``--unit``, else the most frequent. Records of another are converted, or Q018 if none can.

        With ``--unit unknown`` nothing is converted, and the records that declare the most frequent text stay.
        """
        texts, codes = self.index.names["unit"], self.index.unit
        used = Counter(codes[self.alive].tolist())
        units = [unit_named(text) for text in texts]
        target = unit_named(self.options.unit) if self.options.unit else None
        if target == "unknown":
            keep = max(sorted(used), key=lambda code: (used[code], -code), default=0)
            for i in np.flatnonzero(self.alive & (codes != keep)):
                self._out(int(i), "Q018", f"the unit is {texts[codes[i]]!r}, most records say {texts[keep]!r}")
            return target
        if target is None:
            tally: Counter[str] = Counter()
            for code, n in used.items():
                tally[units[code] or "unknown"] += n
            tally.pop("unknown", None)
            target = max(sorted(tally), key=lambda name: tally[name], default="unknown")
            preferred = self.options.prefer_unit or "unknown"
            if target == "unknown" != preferred:
                self.taken.append(f"unit {preferred}")
            if target == "unknown" or factor(target, preferred) is not None:
                target = preferred
        for code in sorted(used):
            own, rows = units[code], np.flatnonzero(self.alive & (codes == code))
            if own in (target, "unknown"):
                continue
            times = None if own is None else factor(own, target)
            if own is None or times is None:
                why = "is not known" if own is None else f"cannot be converted to {target}"
                for i in rows:
                    self._out(int(i), "Q018", f"the unit {texts[code][:40]!r} {why}")
                continue
            for i in rows:
                self._convert(int(i), times)
            self.warnings.append(f"{len(rows)} records in {own} were converted to {target}: times {times:.6g}")
        return target

    def repeats(self, words: dict[int, str]) -> None:
        """Records with the samples of an earlier one of their sensor under another time: ``invalid`` (Q021)."""
        for rows in same_samples(self.index, self.alive, self.samples):
            for i in rows[1:]:
                self.index.quality[i] |= int(Quality.STALE)
                words.setdefault(int(i), f"the samples of {self._name(int(rows[0]))} under another time")
            sensor = self.index.name("sensor", int(rows[0]))
            self.warnings.append(f"{len(rows)} records of sensor {sensor or '-'} hold the same samples (Q021)")

    def quality(self, words: dict[int, str]) -> None:
        """Bad samples: level ``invalid``, or quarantined with ``--strict-quality``; doubtful ones are remarked on."""
        bits = self.index.quality
        for i in np.flatnonzero(self.alive & (bits > 0)):
            text = words.get(int(i), "")
            for bit, code in REMARKS.items():
                if bits[i] & bit:
                    self.books.decide(self._finding(int(i), code, WARNING, text))
            code = next((code for bit, code in CODES.items() if bits[i] & bit), "")
            if code and self.options.strict_quality:
                self._out(int(i), code, text)
            elif code:
                self.books.decide(self._finding(int(i), code, INVALID, text))
        for bit, code in REMARKS.items():
            if count := int(np.count_nonzero(self.alive & (bits & int(bit) > 0))):
                self.warnings.append(f"{count} records {_SAID[code]} ({code})")

    def doubts(self, fs: float, samples: int, words: dict[int, str]) -> None:
        """What cannot be decided, only asked: the sampling rate, clocks, records at another scale."""
        self.warnings += rate_doubts(self.index, self.alive, fs, samples, self.options)
        for source, text in clock_doubts(self.index, self.alive):
            self.warnings.append(f"{source}: {text} (Q025)")
            self.books.decide(Finding(source, -1, -1, "", -1, "", "", "", "Q025", WARNING, text, ""))
        for i, text in scale_doubts(self.index, self.alive, self.samples):
            self.index.quality[i] |= int(Quality.SCALE)
            words.setdefault(i, text)

    def mains(self, x: NDArray[np.float32], rows: Rows, fs: float) -> float:
        """The mains frequency in Hz of the accepted samples (n, C, T), 0 = no clear comb; Q017 and the check of fs."""
        if fs <= 0 or not len(rows):
            return 0.0
        probes = _spread(x)
        mains = comb.mains_frequency(probes, fs)
        if mains:
            self._low_mains(x, rows, fs, mains)
            return mains
        rates = comb.rates_of_comb(probes)
        if len(rates) == 1 and abs(rates[0] / fs - 1) > comb.EXACT:
            self.index.quality[rows] |= int(Quality.FS_COMB)
            words = f"the lines of the records are those of the mains at {rates[0]:g} Hz, not at {fs:g} Hz"
            self.warnings.append(f"{words} (Q013): check fs")
            for code in np.unique(self.index.source[rows]):
                source = self.index.names["source"][code]
                self.books.decide(Finding(source, -1, -1, "", -1, "", "", "", "Q013", WARNING, words, ""))
        return 0.0

    # --- parts --------------------------------------------------------------------------------------------------------

    def _estimated(self) -> Rate:
        probes = self._probes()
        rates = comb.rates_of_comb(probes) if len(probes) else []
        if len(rates) == 1:
            self.warnings.append(
                f"fs was estimated from the comb of the mains as {rates[0]:g} Hz; give --fs to be sure"
            )
            return Rate(rates[0], "estimated")
        if self.options.need_fs and self.alive.any():
            fits = f" (the lines fit {' or '.join(f'{rate:g}' for rate in rates)} Hz)" if rates else ""
            raise ConfigError(f"the data do not give a sampling rate{fits}", hint="give it: --fs HZ")
        return Rate(0.0, "unknown")

    def _probes(self) -> NDArray[np.float32]:
        """First channels of some candidates of the most frequent length."""
        rows = np.flatnonzero(self.alive & (self.index.samples > 0))
        if not len(rows):
            return np.zeros((0, 0), np.float32)
        length = int(_most_frequent(self.index.samples[rows]))
        rows = rows[self.index.samples[rows] == length]
        chosen = rows[np.linspace(0, len(rows) - 1, min(PROBES, len(rows))).astype(int)]
        return np.stack([self.samples.look(int(self.index.start[i]), length) for i in chosen])

    def _low_mains(self, x: NDArray[np.float32], rows: Rows, fs: float, mains: float) -> None:
        low = 0
        step = max(1, (8 << 20) // max(1, x[0].nbytes))
        for start in range(0, len(rows), step):
            share = comb.mains_share(x[start : start + step, 0], fs, mains)
            for k in np.flatnonzero(share < LOW_MAINS):
                i = int(rows[start + k])
                if not self.index.quality[i] & int(Quality.INVALID):
                    self._mark(i, Quality.LOW_MAINS, "Q017", f"share of the mains {max(share[k], 0):.2f}")
                    low += 1
        if low:
            self.warnings.append(f"{low} records hold little of the mains and its harmonics (Q017)")

    def _out(self, i: int, code: str, detail: str) -> None:
        if self.alive[i]:
            self.alive[i] = False
            self.books.decide(self._finding(i, code, QUARANTINED, detail))

    def _convert(self, i: int, times: float) -> None:
        """A record times a factor, with the id of its new samples."""
        index = self.index
        start, shape = int(index.start[i]), (int(index.channels[i]), int(index.samples[i]))
        block = scaled(self.samples.look(start, shape[0] * shape[1]), times).reshape(shape)
        self.samples.put(start, block)
        index.check[i] = crc32(block.data)
        index.level[i] *= times
        self._identify(i)

    def _identify(self, i: int) -> None:
        """The id of a record anew."""
        index = self.index
        signal = self.samples.look(int(index.start[i]), int(index.channels[i] * index.samples[i]))
        index.ident[i] = int(record_id(index.name("sensor", i), index.time[i], signal), 16)

    def _mark(self, i: int, bit: Quality, code: str, detail: str) -> None:
        self.index.quality[i] |= int(bit)
        self.books.decide(self._finding(i, code, WARNING, detail))

    def _finding(self, i: int, code: str, disposition: str, detail: str) -> Finding:
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

    def _name(self, i: int) -> str:
        return f"{self.index.name('source', i)}:{self.index.row[i]}"


def _most_frequent(values: NDArray[np.generic]) -> float:
    """The most frequent value, the larger one of two."""
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[len(counts) - 1 - int(np.argmax(counts[::-1]))])


def _spread(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """First channels of some records, evenly spread."""
    return np.asarray(x[np.unique(np.linspace(0, len(x) - 1, min(PROBES, len(x))).astype(int)), 0])
