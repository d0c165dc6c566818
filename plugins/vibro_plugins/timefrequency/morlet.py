"""Wavelet maps of a batch in the frequency domain, computed only at the instants that an image needs.

One zero-padded real FFT a record. A band's spectrum is narrow: multiplied by the wavelet's response and folded (aliased
on purpose) to L points it gives, after one short inverse FFT, exactly every (N / L)-th sample of the band's analytic
signal. N is chosen so that a whole number of samples falls into every column, at the same places; a column's mean is then
a fixed sum of neighbouring samples that integrates their interpolation.
"""

from __future__ import annotations

from math import ceil, log2, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.compiled import compiled
from vibro_plugins.timefrequency.bank import (
    CORRECTION,
    FEW,
    INDEPENDENT,
    MAIN_LOBE,
    NODES,
    RATE,
    REACH,
    SIGMA,
    Bank,
    Mean,
    _mirrored,
    averaging,
    band_groups,
    cubic,
    fill_between,
    linear,
    make_grid,
)


def log_frequencies(fs: float, samples: int, f_min: float = 25.0, per_octave: int = 12) -> NDArray[np.float64]:
    """Centre frequencies in Hz, falling from 0.45 fs, ``per_octave`` an octave, down to ``f_min``.

    Where ``f_min`` would leave less than four octaves (slow sampling) the map goes down four octaves, and it never goes
    below two cycles a record.
    """
    top = 0.45 * fs
    lowest = min(max(min(f_min, top / 16), 2 * fs / samples), top / 2)
    count = 1 + int(log2(top / lowest) * per_octave + 1e-9)
    return top * 2.0 ** (-np.arange(count) / per_octave)


def row_edges(frequencies: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """(rows + 1,) in Hz, falling: where the rows of a map of these bands end that is area-resized to so many."""
    band = np.linspace(-0.5, len(frequencies) - 0.5, rows + 1)
    step = frequencies[0] / frequencies[1] if len(frequencies) > 1 else 2.0
    return np.asarray(frequencies[0] * step**-band)


def morlet_bank(samples: int, columns: int, frequencies: NDArray[np.float64]) -> Bank:
    """Bank of the complex Morlet ``cmor1.5-1.0`` at centre ``frequencies`` (cycles a sample).

    A sine of RMS 1 at a band's centre gives power 1, but for the factor sinc(f)^2 of ``pywt.cwt``, which averages the
    wavelet over each sample interval. Near fs / 2 the sampled wavelet's response goes on beyond it, as it must: cutting
    it there would ring.
    """
    grid = make_grid(samples, columns, min(REACH / (2 * pi * SIGMA * frequencies.min()), samples))
    computed, between, beside, share = spared(frequencies, grid.column)
    first, taps = [], []
    for f in frequencies[computed]:
        half = MAIN_LOBE * SIGMA * f
        bins = np.arange(max(ceil((f - half) * grid.length), 1), int(min(f + half, 1) * grid.length))
        nu = bins / grid.length
        response = np.exp(-0.5 * ((nu - f) / (SIGMA * f)) ** 2) * np.sinc(nu)
        first.append(int(bins[0]))
        taps.append(sqrt(2) / grid.length * response)
    rate = np.maximum(RATE * SIGMA * frequencies[computed] * grid.column, NODES)
    groups = band_groups(grid, rate, first, taps, computed)
    low = np.array([grid.lead - 0.5])
    means = []
    for group in groups:
        start, straight = averaging(low, low + grid.column, grid.column / group.per_column, group.per_column, linear)
        fine = averaging(low, low + grid.column, grid.column / group.per_column, group.per_column, cubic)[1]
        means.append(Mean(start, straight[:, 0], fine[:, 0]))
    last = max(at + len(t) for at, t in zip(first, taps, strict=True))
    return Bank(grid, last, len(frequencies), groups, tuple(means), between, beside, share)


def spared(frequencies: NDArray[np.float64], column: float):
    """The bands to compute, and for those between them the four nearest and their weights.

    Responses are 18 % wide and lie 6 % apart at 12 an octave. Where a column averages over many independent values of a
    band, its power varies so little from band to band that every second one can be had by cubic interpolation of the
    logarithm, in which the flank of a strong line is a parabola. Bands farther apart are all computed.
    """
    count = len(frequencies)
    smooth_ones = int((SIGMA * frequencies * column >= INDEPENDENT).sum())
    close = count > 1 and frequencies[0] / frequencies[1] < 1.07
    between = np.arange(1, min(smooth_ones, count - 3), 2) if close else np.arange(0)
    computed = np.setdiff1d(np.arange(count), between)
    at = np.clip(np.searchsorted(computed, between) - 2, 0, max(len(computed) - 4, 0))
    nearest = computed[at[:, None] + np.arange(4)] if len(between) else np.zeros((0, 4), np.int64)
    beside = np.unique(nearest)
    share = np.zeros((len(between), len(beside)), np.float32)
    for i in range(4):
        others = nearest[:, [j for j in range(4) if j != i]]
        weight = np.prod((between[:, None] - others) / (nearest[:, i, None] - others), axis=1)
        share[np.arange(len(between)), np.searchsorted(beside, nearest[:, i])] = weight
    return computed, between, beside, share


def pooled_power(bank: Bank, x: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """Mean power of every band in every column: (n, samples) -> (n, bands, columns)."""
    if device != "cpu":
        from vibro_plugins.timefrequency.device import power_on

        return power_on(device, bank, x)
    spectrum = _mirrored(bank.grid.spectrum(x), bank.grid.length, bank.bins)
    out = np.empty((len(x), bank.height, bank.grid.columns), np.float32)
    for group, mean in zip(bank.groups, bank.means, strict=True):
        for part, wave in group.signals(spectrum):
            rows = group.rows[part]
            _pool_power(wave.view(np.float32), group.per_column, mean.start, mean.straight, mean.cubic, rows, out)
    fill_between(bank, out)
    return out


@compiled(fastmath=True, nogil=True, error_model="numpy")
def _pool_power(wave, per_column, start, straight, cubic, rows, out):
    """Column means of the power by linear interpolation, corrected towards cubic by a bounded share."""
    n, bands, width = wave.shape
    count = len(straight)
    flat = wave.reshape(-1)
    power = np.empty(len(flat) // 2, np.float32)
    for i in range(len(power)):
        power[i] = flat[2 * i] * flat[2 * i] + flat[2 * i + 1] * flat[2 * i + 1]
    columns, points = out.shape[2], width // 2
    parts = np.empty((per_column, points // per_column), np.float32)
    mean, finer = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for r in range(n):
        for b in range(bands):
            at = (r * bands + b) * points
            if per_column <= FEW:
                for s in range(per_column):
                    for j in range(points // per_column):
                        parts[s, j] = power[at + s + j * per_column]
                mean[:] = 0
                finer[:] = 0
                for i in range(count):
                    first = (start + i) // per_column
                    line = parts[(start + i) % per_column, first : first + columns]
                    for j in range(columns):
                        mean[j] += straight[i] * line[j]
                        finer[j] += cubic[i] * line[j]
            else:
                for j in range(columns):
                    line = power[at + start + j * per_column : at + start + j * per_column + count]
                    one = np.float32(0)
                    two = np.float32(0)
                    for i in range(count):
                        one += line[i] * straight[i]
                        two += line[i] * cubic[i]
                    mean[j] = one
                    finer[j] = two
            row = out[r, rows[b]]
            for j in range(columns):
                limit = CORRECTION * mean[j]
                row[j] = mean[j] + min(max(finer[j] - mean[j], -limit), limit)
