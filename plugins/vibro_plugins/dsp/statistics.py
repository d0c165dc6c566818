"""Scale-free statistics of the waveform, shared by the vector features."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibro_plugins.dsp.kernels import differences, moments, recurrences, runs
from vibro_plugins.dsp.spectrum import Rows, log10, ratio

SHAPE = (
    "log_crest",
    "log_kurtosis",
    "skewness",
    "log_clearance",
    "log_waveform",
    "zero_cross_rate",
    "log_mobility",
    "log_complexity",
    "asymmetry",
    "log_block_variation",
    "log_block_crest",
)


def shape_statistics(y: Rows) -> Rows:
    """The statistics of ``SHAPE`` (rows, 11) of centred rows (rows, samples); a row of zeros gives finite constants.

    Mobility and complexity are Hjorth's (Electroencephalography and Clinical Neurophysiology 29, 1970). Blocks are up to 16
    equal parts of at least 32 samples; their variation is that of the RMS of the blocks about its mean.
    """
    power, cube, fourth, size, root, crossings, high, low = moments_of(y)
    slope, curvature = np.sqrt(_filled(differences, y, 2))
    rms, peak = np.sqrt(power), np.maximum(high, -low)
    mobility = ratio(slope, rms, 1.0)
    blocks = block_rms(y)
    middle = blocks.mean(axis=1)
    return np.stack(
        [
            log10(ratio(peak, rms, 1.0)),
            log10(ratio(fourth, power**2, 1.0)),
            ratio(cube, rms**3),
            log10(ratio(peak, root**2, 1.0)),
            log10(ratio(rms, size, 1.0)),
            crossings,
            log10(mobility),
            log10(ratio(curvature, slope * mobility, 1.0)),
            ratio(high + low, high - low),
            log10(ratio(blocks.std(axis=1), middle) + 1e-3),
            log10(ratio(blocks.max(axis=1), middle, 1.0)),
        ],
        axis=1,
    )


def moments_of(y: Rows) -> Rows:
    """Means of y^2, y^3, y^4, abs(y), sqrt(abs(y)); changes of sign a step; largest and smallest y: (8, rows)."""
    return np.stack([*_filled(moments, y, 6), y.max(axis=1), y.min(axis=1)])


def block_rms(y: Rows) -> Rows:
    """RMS of up to 16 equal parts of at least 32 samples (rows, parts); what is left over at the end is not in any."""
    rows, samples = y.shape
    parts = min(max(samples // 32, 1), 16)
    each = samples // parts
    return np.sqrt(np.square(y[:, : parts * each]).reshape(rows, parts, each).mean(axis=2))


def cycle_statistics(y: Rows, period: float) -> tuple[Rows, Rows]:
    """(variation of the largest abs(y) of a cycle, mean kurtosis of a cycle), (rows,) each; ``period`` in samples.

    Variation is the standard deviation over the mean of all whole cycles.
    """
    starts = np.round(np.arange(0, y.shape[1] + 1, period)).astype(np.intp)
    samples = np.diff(starts)
    cycles = y[:, : starts[-1]]
    peaks = np.maximum.reduceat(np.abs(cycles), starts[:-1], axis=1)
    square = cycles * cycles
    second = np.add.reduceat(square, starts[:-1], axis=1) / samples
    fourth = np.add.reduceat(square * square, starts[:-1], axis=1) / samples
    return ratio(peaks.std(axis=1), peaks.mean(axis=1)), ratio(fourth, second**2, 1.0).mean(axis=1)


def autocorrelation(power: Rows, length: int) -> Rows:
    """Circular autocorrelation (rows, length), 1 at lag 0, of records with this power spectrum; 0 for no power."""
    from scipy.fft import irfft

    half = power.copy()
    half[:, 1 : (length + 1) // 2] /= 2
    r = irfft(half, n=length, axis=1)
    return ratio(r, r[:, :1])


def periodicity(power: Rows, length: int) -> Rows:
    """Highest autocorrelation (rows,) after its first fall below zero, up to half the record; 0 if it never falls."""
    r = autocorrelation(power, length)[:, : length // 2 + 1]
    fallen = np.minimum.accumulate(r, axis=1) < 0
    return np.maximum(np.where(fallen, r, 0.0).max(axis=1), 0.0)


def likeness(power: Rows, cycles: Rows) -> Rows:
    """Autocorrelation (rows,) at a lag of 1 / ``cycles`` of the record, which need not be whole samples."""
    turn = np.cos(2 * np.pi * np.arange(power.shape[1]) / cycles[:, None])
    return ratio((power * turn).sum(axis=1), power.sum(axis=1))


def determinism(y: Rows, points: int) -> Rows:
    """Share (rows,) of recurrence points that lie on diagonals of two or more, among ``points`` samples spread evenly.

    Two samples recur when they differ by less than a tenth of the standard deviation of the record (Webber and Zbilut,
    Journal of Applied Physiology 76, 1994, without embedding). 1 where nothing recurs: a constant row is determined.
    """
    taken = np.ascontiguousarray(y[:, :: -(-y.shape[1] // points)])
    found, alone = _filled(recurrences, taken, 2, 0.1 * y.std(axis=1))
    return 1 - ratio(alone, found)


def quality_shares(x: Rows) -> tuple[Rows, Rows, Rows]:
    """(share of samples within 0.1 % of the range from its ends, longest run of equal samples, share of distinct ones)."""
    clipped, run = _filled(runs, x, 2)
    ordered = np.sort(x.astype(np.float32), axis=1)
    distinct = (np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1) + 1.0) / x.shape[1]
    return clipped, run, distinct


def entropy(weight: Rows) -> Rows:
    """Entropy (rows,) in bits of non-negative weights (rows, values) taken as shares; 0 for no weight."""
    share = ratio(weight, weight.sum(axis=1, keepdims=True))
    return -(share * np.log2(np.maximum(share, 1e-30))).sum(axis=1)


def _filled(kernel: Any, y: Rows, count: int, *more: Rows) -> Rows:
    """Output (rows, count) of a kernel, transposed."""
    out = np.empty((len(y), count))
    kernel(y, *more, out)
    return out.T
