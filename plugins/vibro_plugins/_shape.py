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
