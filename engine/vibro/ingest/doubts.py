"""What the records of a sensor say about one another: repeated blocks, clocks, sampling rate, scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ConfigError
from vibro.ingest.comb import RATES
from vibro.ingest.index import Index
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions
from vibro.io.files import iso_time
from vibro.scoring.regression import sensor_rows
from vibro.words import counted

LEVELS = 16  # distinct values from which on equal records are no chance
PURE = 1e-6  # share of the power outside a few lines below which a record is a computed tone, which repeats by right
SCALE = (700.0, 1430.0)  # a factor of 1,000 with the spread of levels
ALIKE = 0.1  # difference of autocorrelations up to which two records are one signal at two scales
FEW = 8  # records of a sensor from which on it has a usual level
OVERLAP = 10.0  # times the step from record to record that a record cannot last
SLOW, FAST = 200.0, 1e6  # Hz; outside, kHz and Hz may have been mixed up
LONG = 256  # samples of a record that are many at a few Hz
EPOCH = np.datetime64("1971-01-01", "ns")  # a clock that was never set counts from 1970
Rows = NDArray[np.intp]


def same_samples(index: Index, alive: NDArray[np.bool_], samples: SampleFile) -> Iterator[Rows]:
    """Groups of records of one sensor with equal samples at different times, the earliest first."""
    rows = np.flatnonzero(alive & ~np.isnat(index.time) & (index.samples > 0) & (index.level > 0))
    order = rows[np.lexsort((index.time[rows], index.check[rows], index.sensor[rows]))]
    starts = np.diff(index.sensor[order]).astype(bool) | np.diff(index.check[order].astype(np.int64)).astype(bool)
    for group in np.split(order, np.flatnonzero(starts) + 1):
        if len(group) < 2:
            continue
        size = int(index.samples[group[0]] * index.channels[group[0]])
        first = samples.look(int(index.start[group[0]]), size)
        if len(np.unique(first)) < LEVELS or _is_tone(first[: int(index.samples[group[0]])]):
            continue
        same = [i for i in group if np.array_equal(samples.look(int(index.start[i]), size), first)]
        apart = [i for i in same[1:] if (index.source[i], index.row[i]) != (index.source[same[0]], index.row[same[0]])]
        if apart:
            yield np.array([same[0], *apart])


def _is_tone(x: NDArray[np.float32]) -> bool:
    """Whether a record is computed from a few sines: measured ones hold noise, and never repeat."""
    wide = x.astype(np.float64) - x.mean(dtype=np.float64)
    power = np.abs(np.fft.rfft(wide * np.blackman(len(x)))) ** 2
    whole = power.sum()
    for _ in range(8):
        at = int(np.argmax(power))
        power[max(0, at - 4) : at + 5] = 0.0
    return bool(power.sum() < PURE * whole)


def clock_doubts(index: Index, alive: NDArray[np.bool_]) -> Iterator[tuple[str, str]]:
    """Files in which the time of a sensor goes back within a recording, or counts from 1970, with words."""
    rows = np.flatnonzero(alive & ~np.isnat(index.time))
    table = np.stack([index.start, index.recording, index.sensor, index.source])[:, rows]
    order = rows[np.lexsort(table)]
    same = (np.diff(table[1:, np.lexsort(table)]) == 0).all(axis=0)
    back = np.flatnonzero(same & (np.diff(index.time[order]) < np.timedelta64(0, "ns")))
    for source in np.unique(index.source[order[back]]):
        places = back[index.source[order[back]] == source]
        before, after = order[places[0]], order[places[0] + 1]
        times = f"{iso_time(index.time[before])} to {iso_time(index.time[after])}"
        sensor = index.name("sensor", int(after)) or "-"
        yield (
            index.names["source"][source],
            f"the clock of sensor {sensor} goes back from {times} at row {index.row[after]}, {len(places)} times in all",
        )
    unset = rows[index.time[rows] < EPOCH]
    for source in np.unique(index.source[unset]):
        count = int(np.count_nonzero(index.source[unset] == source))
        who = counted(count, "record has", "records have")
        yield index.names["source"][source], f"{who} a time in 1970 or before: the clock was not set"


def rate_doubts(
    index: Index, alive: NDArray[np.bool_], fs: float, samples: int, options: IngestOptions
) -> Iterator[str]:
    """Words about a sampling rate that cannot be, or that looks like Hz and kHz mixed up.

    ConfigError where the command gave the rate and the times of the records contradict it.
    """
    if fs <= 0 or SLOW <= fs <= FAST or samples < LONG:
        return
    meant = fs * 1000 if fs < SLOW else fs / 1000
    known = next((rate for rate in RATES if abs(rate / meant - 1) < 1e-3), None)
    lasts, step = samples / fs, _usual_step(index, alive)
    if fs < SLOW and step is not None and lasts > OVERLAP * step:
        words = (
            f"records of {samples} samples at {fs:g} Hz last {lasts:.4g} s, but follow each other every {step:.4g} s"
        )
        if options.fs and options.need_fs:
            hint = f"--fs {known:g}" if known else "give --fs in Hz"
            raise ConfigError(words, hint=f"{hint}; or --time-from none if the times mean nothing")
        yield f"{words}: check fs"
    elif known is not None and fs != 1:
        yield f"{samples} samples at {fs:g} Hz last {lasts:.4g} s: if {known:g} Hz is meant, --fs {known:g}"


def _usual_step(index: Index, alive: NDArray[np.bool_]) -> float | None:
    """Median seconds from one record of a sensor to its next, of those that are no windows of one recording."""
    rows = np.flatnonzero(alive & ~np.isnat(index.time))
    order = rows[np.lexsort((index.time[rows], index.sensor[rows]))]
    apart = (np.diff(index.source[order]) != 0) | (np.diff(index.row[order]) != 0)
    steps = np.diff(index.time[order]).astype(np.int64)[(np.diff(index.sensor[order]) == 0) & apart] / 1e9
    return float(np.median(steps)) if len(steps) else None


def scale_doubts(index: Index, alive: NDArray[np.bool_], samples: SampleFile) -> Iterator[tuple[int, str]]:
    """Records at about 1,000 times, or a thousandth of, their sensor's usual level that look like its others otherwise."""
    rows = np.flatnonzero(alive & (index.level > 0) & (index.samples > 2))
    for own in (rows[place] for place in sensor_rows(index.sensor[rows]) if len(place) >= FEW):
        usual = float(np.median(index.level[own]))
        ratio = index.level[own] / usual
        odd = own[((ratio > SCALE[0]) & (ratio < SCALE[1])) | ((ratio * SCALE[0] < 1) & (ratio * SCALE[1] > 1))]
        if not len(odd):
            continue
        near = own[np.argsort(np.abs(index.level[own] - usual), kind="stable")[:FEW]]
        look = {int(i): _shape(samples.look(int(index.start[i]), int(index.samples[i]))) for i in (*near, *odd)}
        middle = np.median([look[int(i)] for i in near], axis=0)
        for i in map(int, odd):
            if np.all(np.abs(look[i] - middle) < ALIKE):
                yield i, f"{index.level[i] / usual:.4g} times the usual level of its sensor"


def _shape(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Autocorrelation of a record one and two samples on: the same at any scale."""
    wide = x.astype(np.float64) - x.mean(dtype=np.float64)
    power = float(wide @ wide) or 1.0
    return np.array([wide[1:] @ wide[:-1], wide[2:] @ wide[:-2]]) / power
