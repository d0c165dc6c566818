"""The decisions that need all records at once: sampling rate, length, unit, clocks, duplicates, quality."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.data import Quality
from vibro.errors import ConfigError
from vibro.ingest.accounting import INVALID, WARNING, Finding
from vibro.ingest.candidates import Candidates
from vibro.ingest.doubts import clock_doubts, rate_doubts, same_samples, scale_doubts
from vibro.ingest.mains import most_frequent, rates_of
from vibro.ingest.units import factor, unit_named
from vibro.io.files import iso_time
from vibro.scoring.regression import sensor_rows
from vibro.words import counted

FS_TOLERANCE = 1e-6  # relative
CODES = {  # the first that fits names a record's level
    Quality.ZERO: "Q015",
    Quality.CONSTANT: "Q014",
    Quality.CLIPPED: "Q016",
    Quality.DROPOUT: "Q022",
    Quality.STALE: "Q021",
}
REMARKS = {Quality.SPIKES: "Q023", Quality.SCALE: "Q024", Quality.STILL: "Q014", Quality.REPAIRED: "Q007"}
_SAID = {
    "Q023": ("record holds lone spikes of the converter", "records hold lone spikes of the converter"),
    "Q024": (
        "record stands at about 1,000 times the level of its sensor, or a thousandth",
        "records stand at about 1,000 times the level of their sensor, or a thousandth",
    ),
    "Q014": ("record hardly moves beside its mean", "records hardly move beside their mean"),
    "Q007": ("record had gaps that were interpolated", "records had gaps that were interpolated"),
}
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Rate:
    """The sampling rate of a batch and where it comes from: ``data``, ``option``, ``model``, ``estimated``, ``unknown`` (0)."""

    fs: float
    origin: str


class Sift(Candidates):
    """Which candidates are accepted. Every step examines those that are left and records a finding for each it removes."""

    def withdraw(self, first: int, last: int, code: str, why: str) -> None:
        """Records of a file that turned out damaged as a whole."""
        for i in range(first, last):
            self.out(i, code, f"withdrawn with its file: {why}")

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
            wanted = most_frequent(declared[given])
        for i in np.flatnonzero(given & (np.abs(declared - wanted) > FS_TOLERANCE * wanted)):
            says = f"--fs says {wanted:g} Hz" if self.options.fs else f"most records {wanted:g} Hz"
            self.out(int(i), "Q013", f"the record declares {declared[i]:g} Hz, {says}")
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
        if any(shape[0] == self.options.prefer_channels for shape in shapes):
            shapes = Counter({shape: n for shape, n in shapes.items() if shape[0] == self.options.prefer_channels})
        best = max(shapes, key=lambda shape: (shapes[shape], shape[1], shape[0]), default=(1, wanted or 1))
        if len({shape[1] for shape in shapes}) > 1 and self.options.window is None:
            low, high = min(shape[1] for shape in shapes), max(shape[1] for shape in shapes)
            self.warnings.append(
                f"the records have {low} to {high} samples, and those of {best[1]} stay:"
                f" --window {self.window()} cuts them all into records of one length"
            )
        for i in np.flatnonzero(self.alive & ((channels != best[0]) | (samples != best[1]))):
            several = best[0] > 1 or channels[i] > 1
            got = f"{channels[i]} x {samples[i]}" if several else f"{samples[i]}"
            want = f"{best[0]} x {best[1]}" if several else f"{best[1]}"
            self.out(int(i), "Q008", f"{got} samples, wanted {want}")
        return best

    def window(self) -> int:
        """A window that all recordings could be cut into: the length of a model, else a power of two up to 8,192 samples."""
        shortest = int(self.index.samples[self.alive].min()) if self.alive.any() else 0
        preferred = self.options.prefer_length or 0
        return preferred if 0 < preferred <= shortest else 1 << max(0, min(13, shortest.bit_length() - 1))

    def standing_clocks(self) -> None:
        """Times that all files of a sensor share are a clock that stands, not instants: they are left out, and told."""
        index = self.index
        rows = np.flatnonzero(self.alive & index.waveform & ~np.isnat(index.time))
        stood = []
        for code, place in enumerate(sensor_rows(index.sensor[rows])):
            own = rows[place]
            several = len(np.unique(index.source[own])) == len(own) > 1
            if several and (index.time[own] == index.time[own[0]]).all():
                stood.append(f"{index.names['sensor'][code]} ({iso_time(index.time[own[0]])})")
                index.time[own] = np.datetime64("NaT", "ns")
                for i in own:
                    self.identify(int(i))
        if stood:
            more = f" and {len(stood) - 1} more sensors" if len(stood) > 1 else ""
            self.warnings.append(f"all files of {stood[0]}{more} state one and the same time, which is left out")

    def duplicates(self) -> None:
        """Of equal records the first stays (Q012); records of one sensor and time that differ all go (Q011)."""
        rows = np.flatnonzero(self.alive)
        _, first, inverse = np.unique(self.index.ident[rows], return_index=True, return_inverse=True)
        for k in np.flatnonzero(first[inverse] != np.arange(len(rows))):
            self.out(int(rows[k]), "Q012", f"the same record as {self.name(int(rows[first[inverse[k]]]))}")
        rows = np.flatnonzero(self.alive & ~np.isnat(self.index.time))
        order = rows[np.lexsort((self.index.time[rows], self.index.sensor[rows]))]
        same = (np.diff(self.index.sensor[order]) == 0) & (np.diff(self.index.time[order]) == np.timedelta64(0))
        for k in np.flatnonzero(same):  # every record of a group meets a neighbour of it
            for i, other in ((order[k], order[k + 1]), (order[k + 1], order[k])):
                if self.alive[i]:
                    self.out(int(i), "Q011", f"other samples of the same sensor and time in {self.name(int(other))}")

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
                self.out(int(i), "Q018", f"the unit is {texts[codes[i]]!r}, most records say {texts[keep]!r}")
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
                    self.out(int(i), "Q018", f"the unit {texts[code][:40]!r} {why}")
                continue
            for i in rows:
                self.convert(int(i), times)
            who = f"{counted(len(rows), 'record')} in {own} {'was' if len(rows) == 1 else 'were'}"
            self.warnings.append(f"{who} converted to {target}: times {times:.6g}")
        return target

    def repeats(self, words: dict[int, str]) -> None:
        """Records with the samples of an earlier one of their sensor under another time: ``invalid`` (Q021)."""
        for rows in same_samples(self.index, self.alive, self.samples):
            for i in rows[1:]:
                self.index.quality[i] |= int(Quality.STALE)
                words.setdefault(int(i), f"the samples of {self.name(int(rows[0]))} under another time")
            sensor = self.index.name("sensor", int(rows[0]))
            self.warnings.append(f"{len(rows)} records of sensor {sensor or '-'} hold the same samples (Q021)")

    def quality(self, words: dict[int, str]) -> None:
        """Bad samples: level ``invalid``, or quarantined with ``--strict-quality``; doubtful ones are remarked on."""
        bits = self.index.quality
        for i in np.flatnonzero(self.alive & (bits > 0)):
            text = words.get(int(i), "")
            for bit, code in REMARKS.items():
                if bits[i] & bit:
                    self.books.decide(self.finding(int(i), code, WARNING, text))
            code = next((code for bit, code in CODES.items() if bits[i] & bit), "")
            if code and self.options.strict_quality:
                self.out(int(i), code, text)
            elif code:
                self.books.decide(self.finding(int(i), code, INVALID, text))
        for bit, code in REMARKS.items():
            if count := int(np.count_nonzero(self.alive & (bits & int(bit) > 0))):
                self.warnings.append(f"{counted(count, *_SAID[code])} ({code})")

    def doubts(self, fs: float, samples: int, words: dict[int, str]) -> None:
        """What cannot be decided, only asked: the sampling rate, clocks, records at another scale."""
        self.warnings += rate_doubts(self.index, self.alive, fs, samples, self.options)
        for source, text in clock_doubts(self.index, self.alive):
            self.warnings.append(f"{source}: {text} (Q025)")
            self.books.decide(Finding(source, -1, -1, "", -1, "", "", "", "Q025", WARNING, text, ""))
        for i, text in scale_doubts(self.index, self.alive, self.samples):
            self.index.quality[i] |= int(Quality.SCALE)
            words.setdefault(i, text)

    def _estimated(self) -> Rate:
        """The rate that the comb of the mains shows; ConfigError where it must be known and is not."""
        rates = rates_of(self)
        if len(rates) == 1:
            self.warnings.append(
                f"fs was estimated from the comb of the mains as {rates[0]:g} Hz; give --fs to be sure"
            )
            return Rate(rates[0], "estimated")
        if self.options.need_fs and self.alive.any():
            fits = f" (the lines fit {' or '.join(f'{rate:g}' for rate in rates)} Hz)" if rates else ""
            raise ConfigError(f"the data do not give a sampling rate{fits}", hint="give it: --fs HZ")
        return Rate(0.0, "unknown")
