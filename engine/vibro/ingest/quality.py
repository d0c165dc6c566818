"""Verdicts on a single record's samples: constant, all zero, clipped, not like the mains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.data import Quality

CLIP_SHARE = 0.01  # samples at an extreme from which on clipping is looked at
CLIP_RATIO = 4.0  # a flat top holds this many times the samples of the band below it; a sine at most 2.5
BAND = 0.01  # of the peak-to-peak range


def signal_quality(signal: NDArray[np.float32]) -> tuple[Quality, str]:
    """Quality bits of a record (C, T) and what was found, in words; the worst channel decides."""
    found, words = Quality(0), ""
    if not signal.size:
        return found, words
    low, high = signal.min(axis=1), signal.max(axis=1)
    for c in range(len(signal)):
        where = f"channel {c}: " if len(signal) > 1 else ""
        if low[c] == high[c]:
            zero = low[c] == 0
            found |= Quality.ZERO if zero else Quality.CONSTANT
            words = words or f"{where}every sample is {low[c]:.6g}"
        else:
            share = _clipped(signal[c], low[c], high[c])
            if share:
                found |= Quality.CLIPPED
                words = words or f"{where}{share:.1%} of the samples stand at a flat extreme"
    return found, words


def _clipped(x: NDArray[np.float32], low: np.float32, high: np.float32) -> float:
    """Share of the samples on flat tops, 0 where there are none.

    Many samples at an extreme alone prove nothing (a slow sine, few levels); a flat top is one that holds far more
    samples than the band next to it, which always reaches at least to the next level in use.
    """
    share = 0.0
    for extreme in (high, low):
        at = int(np.count_nonzero(x == extreme))
        if not max(3, CLIP_SHARE / 2 * len(x)) <= at <= len(x) / 2:
            continue  # too few, or the value at which the record rests
        rest = x[x != extreme]
        gap = np.abs(np.float64(extreme) - rest)
        reach = max(BAND * (np.float64(high) - np.float64(low)), float(gap.min()) * 1.5)
        if at >= CLIP_RATIO * np.count_nonzero(gap <= reach):
            share += at / len(x)
    return share if share >= CLIP_SHARE else 0.0
