"""Folding records into cycles: by the mains comb, else by the record's dominant period, else into patches of fixed length.

Periods and positions are in samples. Records are centred and of RMS 1 (``reference_level.unit_records``); rows are
independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray

from vibro_plugins.compiled import compiled

PATCHES, PERIOD, MAINS = 0, 1, 2
MODES = ("patches", "period", "mains")
MAINS_SHARE = 0.2  # of the power in 20..2000 Hz that must lie on the comb
MAINS_CYCLES = 6  # a shorter record does not resolve the comb
PERIODIC = 0.3  # least autocorrelation after several periods
PAD = 2
HARMONICS = 40
SHORTEST = 8  # samples of a period
ROWS_AT_LEAST = 4


@dataclass(frozen=True)
class Lock:
    """Period and start of a cycle of every row (n,), and whether they come from the row's own signal."""

    period: NDArray[np.float64]
    start: NDArray[np.float64]
    locked: NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """How the records of a data set are folded: ``mode``, usual ``period`` in samples, number of ``rows``."""

    mode: int
    period: float
    rows: int

    def state(self) -> dict[str, NDArray[Any]]:
        """As plain arrays."""
        return {"mode": np.array(self.mode), "period": np.array(self.period), "rows": np.array(self.rows)}


def choose_fold(unit: NDArray[np.float32], fs: float, most_rows: int, columns: int) -> Fold:
    """The fold for these rows (n, T): mains where half of them show the comb, else their median period, else patches.

    ``rows`` is one less than the cycles of a record, which starts within a cycle, and at most ``most_rows``.
    """
    samples = unit.shape[1]
    sound = unit[np.abs(unit).max(axis=1) > 0]
    for nominal in (50.0, 60.0):
        if len(sound) and np.median(mains_comb(sound, fs, nominal)[1]) >= MAINS_SHARE:
            rows = int(samples * (nominal - 0.5) / fs) - 1
            return Fold(MAINS, fs / nominal, min(rows, most_rows))
    if len(sound):
        period, strength = dominant_period(sound)
        steady = strength >= PERIODIC
        if steady.mean() >= 0.5:
            usual = float(np.median(period[steady]))
            rows = min(int(samples / usual) - 1, most_rows)
            if rows >= ROWS_AT_LEAST:
                return Fold(PERIOD, usual, rows)
    rows = int(np.clip(samples // columns, min(8, samples), most_rows))
    return Fold(PATCHES, samples / rows, rows)


def lock(unit: NDArray[np.float32], fs: float, fold: Fold) -> Lock:
    """Period and start of every row (n, T); a row without the fold's kind of cycle gets the usual period from sample 0."""
    n = len(unit)
    period, start, locked = np.full(n, fold.period), np.zeros(n), np.zeros(n, bool)
    if fold.mode == PATCHES:
        return Lock(period, start, locked)
    if fold.mode == MAINS:
        frequency, share, first, second = mains_comb(unit, fs, round(fs / fold.period))
        locked = share >= MAINS_SHARE
        period = np.where(locked, fs / frequency, period)
        start = even_start(period, first, second, unit.shape[1])
    else:
        found, strength = dominant_period(unit)
        locked = strength >= PERIODIC
        period = np.where(locked, found, period)
        angle = phase_at(unit, 1 / period)
        start = (unit.shape[1] - 1) / 2 - angle / (2 * np.pi) * period
    return Lock(period, np.where(locked, start % period, 0), locked)


def cycle_map(
    unit: NDArray[np.float32], lock: Lock, rows: int, columns: int, gain: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(n, T) -> (n, rows, columns): whole cycles spread evenly over the record, by linear interpolation, times ``gain`` (n,).

    Column j is phase (j + 0.5) / columns of the cycle.
    """
    out = np.empty((len(unit), rows, columns), np.float32)
    _fold(unit, lock.period, lock.start, gain, out)
    return out


@compiled()
def _fold(unit, period, start, gain, out):
    n, rows, columns = out.shape
    last = unit.shape[1] - 1
    for r in range(n):
        cycles = max(int((last + 1 - start[r]) / period[r] + 1e-6), 1)
        for i in range(rows):
            begin = start[r] + (i * cycles // rows) * period[r] - 0.5
            for j in range(columns):
                at = min(max(begin + (j + 0.5) * period[r] / columns, 0.0), float(last))
                below = min(int(at), last - 1) if last > 0 else 0
                part = at - below
                value = unit[r, below] * (1 - part) + unit[r, min(below + 1, last)] * part
                out[r, i, j] = value * gain[r]


def mains_comb(
    unit: NDArray[np.float32], fs: float, nominal: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.complex128], NDArray[np.complex128]]:
    """The comb of a 50 or 60 Hz grid in each row: frequency within +-0.5 Hz, share of power, lines 1 and 2 (complex).

    The share is the power at up to 40 harmonics, less that half-way between them, over the power from 20 Hz to 2 kHz (or
    0.45 fs). Phases are relative to the middle of the record. A record of less than six cycles has share 0.
    """
    n, samples = unit.shape
    nothing = np.full(n, nominal), np.zeros(n), np.zeros(n, complex), np.zeros(n, complex)
    top = min(2000.0, 0.45 * fs)
    count = min(HARMONICS, int(top / (nominal + 0.5)))
    if samples * nominal < MAINS_CYCLES * fs or count < 2:
        return nothing
    length = scipy.fft.next_fast_len(PAD * samples, real=True)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(samples) + 0.5) / samples)
    z = torch.fft.rfft(torch.from_numpy(unit * window.astype(np.float32)), length).numpy()
    step = max(fs / samples / 40, 0.005)
    grid = nominal + np.arange(-ceil(0.5 / step), ceil(0.5 / step) + 1) * step
    frequency, share = np.empty(n), np.empty(n)
    line = 1.5 * length / samples  # bins of noise bandwidth of the padded Hann window
    _comb(z, grid * (length / fs), count, ceil(20 * length / fs), int(top * length / fs) + 1, line, frequency, share)
    frequency *= fs / length
    rows = np.arange(n)
    lines = []
    for h in (1, 2):
        at = h * frequency * length / fs
        below = at.astype(np.intp)
        turned = (z[rows, k] * np.exp(1j * np.pi * k * (samples - 1) / length) for k in (below, below + 1))
        lines.append(
            np.add(*(part * weight for part, weight in zip(turned, (below + 1 - at, at - below), strict=True)))
        )
    return frequency, share, *lines


@compiled(fastmath=True, nogil=True, error_model="numpy")
def _comb(z, grid, count, low, high, line, frequency, share):
    """Best fundamental on the grid (in bins) by the power at ``count`` harmonics, and the comb's share of the power."""
    n, bins = z.shape
    power, sums = np.empty(bins, np.float32), np.empty(len(grid))
    for r in range(n):
        for k in range(bins):
            power[k] = z[r, k].real ** 2 + z[r, k].imag ** 2
        for g in range(len(grid)):
            sums[g] = _line_power(power, grid[g], 1.0, count)
        best = min(max(np.argmax(sums), 1), len(grid) - 2)
        found = grid[best] + (_crest(sums, best) - best) * (grid[1] - grid[0])
        frequency[r] = min(max(found, grid[0]), grid[-1])
        band = 0.0
        for k in range(low, high):
            band += power[k]
        excess = _line_power(power, frequency[r], 1.0, count) - _line_power(power, frequency[r], 0.5, count)
        share[r] = min(max(excess * line / band, 0.0), 1.0) if band > 0 else 0.0


@compiled(fastmath=True, nogil=True)
def _line_power(power, fundamental, first, count):
    """Sum of the power, by parabolas, at ``first``, ``first`` + 1, .. times the fundamental, ``count`` of them."""
    total = 0.0
    for h in range(count):
        at = (first + h) * fundamental
        near = int(at + 0.5)
        d, left, here, right = at - near, power[near - 1], power[near], power[near + 1]
        total += here + d * (right - left) / 2 + d * d * (left + right - 2 * here) / 2
    return total


def even_start(
    period: NDArray[np.float64], first: NDArray[np.complex128], second: NDArray[np.complex128], samples: int
) -> NDArray[np.float64]:
    """Start of a cycle: a crest of line 2, of its two crests in a cycle the one where line 1 is not negative."""
    middle = (samples - 1) / 2
    start = middle - np.angle(second) / (4 * np.pi) * period
    wrong = (first * np.exp(2j * np.pi * (start - middle) / period)).real < 0
    return start + np.where(wrong, period / 2, 0)


def phase_at(unit: NDArray[np.float32], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phase of each row's component at its ``frequency`` (cycles per sample), relative to the middle of the record."""
    samples = unit.shape[1]
    t = np.arange(samples) - (samples - 1) / 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(samples) + 0.5) / samples)
    wave = np.exp(-2j * np.pi * frequency[:, None] * t)
    return np.angle(np.einsum("nt,nt->n", unit * window, wave))


def dominant_period(unit: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Period of each row from its autocorrelation, refined at multiples of it, and the autocorrelation there.

    Periods are from 8 samples to a quarter of the record; without any the autocorrelation is 0.
    """
    n, samples = unit.shape
    longest = samples // 4
    if longest <= SHORTEST:
        return np.full(n, float(samples)), np.zeros(n)
    length = scipy.fft.next_fast_len(2 * samples, real=True)
    z = scipy.fft.rfft(unit, length, axis=1)
    correlation = scipy.fft.irfft(z.real**2 + z.imag**2, length, axis=1)[:, : samples // 2 + 2].astype(np.float64)
    correlation /= np.where(correlation[:, :1] > 0, correlation[:, :1], 1)
    correlation *= samples / (samples - np.arange(correlation.shape[1]))
    return _periods(correlation, SHORTEST, longest)


@compiled()
def _periods(correlation, shortest, longest):
    n, lags = correlation.shape
    period, strength = np.full(n, float(lags)), np.zeros(n)
    for r in range(n):
        c = correlation[r]
        low = 1
        while low < longest and c[low] > 0:
            low += 1
        low = max(low, shortest)
        highest = 0.0
        for k in range(low, longest):
            highest = max(highest, c[k])
        at = 0
        for k in range(low, longest):
            if c[k] >= 0.9 * highest and c[k] >= c[k - 1] and c[k] >= c[k + 1]:
                at = k
                break
        if at == 0 or highest <= 0:
            continue
        multiple, found, left = 1, _crest(c, at), c[at]
        while 2 * multiple * found + found / 4 < lags - 1:
            multiple *= 2
            centre, reach = int(found * multiple + 0.5), max(int(found / 8), 1)
            peak = centre
            for k in range(centre - reach, centre + reach + 1):
                if c[k] > c[peak]:
                    peak = k
            left = min(left, c[peak])
            if c[peak] < 0.1:
                break
            found = _crest(c, peak) / multiple
        period[r], strength[r] = found, max(left, 0.0)
    return period, strength


@compiled()
def _crest(c, k):
    """Position of the maximum of the parabola through three neighbours."""
    curvature = c[k - 1] - 2 * c[k] + c[k + 1]
    if curvature >= 0:
        return float(k)
    return k + min(max(0.5 * (c[k - 1] - c[k + 1]) / curvature, -0.5), 0.5)
