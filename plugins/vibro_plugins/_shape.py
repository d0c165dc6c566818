"""Scale-free statistics of the waveform, shared by the vector features."""

from __future__ import annotations

import numpy as np

from vibro_plugins._dsp import Rows, log10, ratio

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

    Mobility and complexity are Hjorth's (Electroencephalography and Clinical Neurophysiology 29, 1970). A block is one
    of up to 16 equal parts of at least 32 samples; its variation is that of the blocks' RMS about their mean.
    """
    size = np.abs(y)
    square = y * y
    power = square.mean(axis=1)
    rms = np.sqrt(power)
    high, low = y.max(axis=1), y.min(axis=1)
    crest = ratio(size.max(axis=1), rms, 1.0)
    kurtosis = ratio((square * square).mean(axis=1), power**2, 1.0)
    skewness = ratio((square * y).mean(axis=1), rms**3)
    clearance = ratio(size.max(axis=1), np.sqrt(size).mean(axis=1) ** 2, 1.0)
    waveform = ratio(rms, size.mean(axis=1), 1.0)
    slope = np.diff(y, axis=1)
    bend = np.diff(slope, axis=1)
    slope_rms = np.sqrt((slope * slope).mean(axis=1))
    mobility = ratio(slope_rms, rms, 1.0)
    complexity = ratio(np.sqrt((bend * bend).mean(axis=1)), slope_rms * mobility, 1.0)
    blocks = block_rms(square)
    middle = blocks.mean(axis=1)
    return np.stack(
        [
            log10(crest),
            log10(kurtosis),
            skewness,
            log10(clearance),
            log10(waveform),
            zero_crossings(y) / (y.shape[1] - 1),
            log10(mobility),
            log10(complexity),
            ratio(high + low, high - low),
            log10(ratio(blocks.std(axis=1), middle) + 1e-3),
            log10(ratio(blocks.max(axis=1), middle, 1.0)),
        ],
        axis=1,
    )


def zero_crossings(y: Rows) -> Rows:
    """Number of changes of sign (rows,)."""
    negative = np.signbit(y)
    return np.count_nonzero(negative[:, 1:] != negative[:, :-1], axis=1).astype(np.float64)


def block_rms(square: Rows) -> Rows:
    """RMS of up to 16 equal parts of at least 32 samples (rows, parts), from the squared samples; the rest is left out."""
    rows, samples = square.shape
    parts = min(max(samples // 32, 1), 16)
    each = samples // parts
    return np.sqrt(square[:, : parts * each].reshape(rows, parts, each).mean(axis=2))


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
    taken = y[:, :: -(-y.shape[1] // points)].astype(np.float32)
    reach = (0.1 * y.std(axis=1, keepdims=True)).astype(np.float32)
    found, alone = np.zeros(len(y)), np.zeros(len(y))
    for lag in range(1, taken.shape[1] - 1):
        recurs = np.abs(taken[:, lag:] - taken[:, :-lag]) <= reach
        beside = np.zeros_like(recurs)
        beside[:, 1:] |= recurs[:, :-1]
        beside[:, :-1] |= recurs[:, 1:]
        found += np.count_nonzero(recurs, axis=1)
        alone += np.count_nonzero(recurs & ~beside, axis=1)
    return 1 - ratio(alone, found)


def quality_shares(x: Rows) -> tuple[Rows, Rows, Rows]:
    """(share of samples within 0.1 % of the range from its ends, longest run of equal samples, share of distinct ones)."""
    high, low = x.max(axis=1, keepdims=True), x.min(axis=1, keepdims=True)
    margin = 1e-3 * (high - low)
    clipped = ((x >= high - margin) | (x <= low + margin)).mean(axis=1)
    index = np.arange(x.shape[1])
    changes = np.ones(x.shape, bool)
    changes[:, 1:] = x[:, 1:] != x[:, :-1]
    run = (index - np.maximum.accumulate(np.where(changes, index, 0), axis=1)).max(axis=1) + 1.0
    ordered = np.sort(x.astype(np.float32), axis=1)
    distinct = (np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1) + 1.0) / x.shape[1]
    return clipped, run, distinct


def entropy(weight: Rows) -> Rows:
    """Entropy (rows,) in bits of non-negative weights (rows, values) taken as shares; 0 for no weight."""
    share = ratio(weight, weight.sum(axis=1, keepdims=True))
    return -(share * np.log2(np.maximum(share, 1e-30))).sum(axis=1)
