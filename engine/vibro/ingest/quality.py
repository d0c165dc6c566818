"""Verdicts on a single record's samples: constant, zero, clipped, with a gap, with spikes of the converter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from vibro.data import Quality
from vibro.ingest.repair import longest_run
from vibro.words import counted

CLIP_SHARE = 0.01  # samples at an extreme from which on clipping is looked at
CLIP_LEVELS = 32  # distinct values; a record of fewer is a slow or coarse channel at rest
CLIP_RATIO = 4.0  # a flat top holds this many times the samples of the band below it; a sine at most 2.5
BAND = 0.01  # of the peak-to-peak range
STILL = 1e-5  # of its mean: what moves less is lost in the steps of a 16-bit converter (1.5e-5 of full scale)
GAP = 16  # equal samples in a row from which on a gap is looked at
GAP_HABIT = 0.1  # share of repeated values above which a record is too coarse or too slow to tell a gap from rest
GAP_CHANCE = 1e-6  # expected number of such runs in a record of this one's habit of repeating values
GAP_STEPS = 4  # a gap ends with a jump of more than this many of the record's smallest steps
SPIKE = 12.0  # robust standard deviations
ALONE = 10.0  # times the largest of the three samples on either side; real oscillations pass through them
ENOUGH = 1 << 20  # samples of a record that its median is taken of
BLOCK = 1 << 16  # samples summed at a time
PART = 1 << 22  # samples in which gaps and spikes are looked for at a time, so that a long record takes no more memory
SPIKES = 1e-3  # of the samples; what is more frequent is a property of the signal


@dataclass(frozen=True, slots=True)
class Judged:
    """Quality bits of a record, what was found in words, and its level: the root mean square without the means."""

    bits: Quality
    words: str
    level: float


def judged(signal: NDArray[np.float32]) -> Judged:
    """The verdict on a record (C, T); the worst channel decides."""
    found, words, power = Quality(0), "", 0.0
    if not signal.size:
        return Judged(found, words, power)
    low, high = signal.min(axis=1), signal.max(axis=1)
    for c in range(len(signal)):
        mean, deviation = moments(signal[c])
        power += deviation * deviation / len(signal)
        bit, text = _channel(signal[c], low[c], high[c], mean, deviation)
        if text and not (words and found & Quality.INVALID):
            words = f"channel {c}: {text}" if len(signal) > 1 else text
        found |= bit
    return Judged(found, words, sqrt(power))


def moments(x: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation of (T,) in float64, a block at a time, so that a long record takes no more memory."""
    mean, power = _sums(x, 0.0)
    variance = power - mean * mean
    if variance < 1e-6 * power:  # little more than what rounding leaves of the difference
        variance = _sums(x, mean)[1]
    return mean, sqrt(variance)


def _sums(x: NDArray[np.float32], about: float) -> tuple[float, float]:
    """Mean of a record, and its mean square about a value."""
    total = square = 0.0
    for start in range(0, len(x), BLOCK):
        wide = x[start : start + BLOCK].astype(np.float64)
        total += float(wide.sum())
        if about:
            wide -= about
        square += float(wide @ wide)
    return total / len(x), square / len(x)


def _channel(
    x: NDArray[np.float32], low: np.float32, high: np.float32, mean: float, deviation: float
) -> tuple[Quality, str]:
    """The gravest finding about one channel."""
    if low == high:
        return (Quality.ZERO if low == 0 else Quality.CONSTANT), f"every sample is {low:.6g}"
    if share := _clipped(x, low, high):
        return Quality.CLIPPED, f"{share:.1%} of the samples stand at a flat extreme"
    for place, part in _parts(x):
        if (gap := _gap(part, low, high)) is None:
            continue
        start, stop = gap[0] + place, gap[1] + place
        return Quality.DROPOUT, f"samples {start} to {stop - 1} are all {x[start]:.6g} (of {len(x)})"
    if float(high) - float(low) < STILL * abs(mean):
        return Quality.STILL, f"all samples lie within {(float(high) - float(low)) / abs(mean):.1g} of {mean:.6g}"
    if at := _spikes(x, mean, deviation):
        return Quality.SPIKES, f"{counted(len(at), 'lone spike')}, the largest {x[at[0]]:.4g} at sample {at[0]}"
    return Quality(0), ""


def _clipped(x: NDArray[np.float32], low: np.float32, high: np.float32) -> float:
    """Share of the samples on flat tops, 0 where there are none.

    Many samples at an extreme alone prove nothing (a slow sine, few levels); a flat top is one that holds far more
    samples than the band next to it, which always reaches at least to the next level in use.
    """
    share = 0.0
    some = x[:: 1 + len(x) // ENOUGH]
    for extreme in (high, low):
        at = sum(int(np.count_nonzero(part == extreme)) for _, part in _parts(x))
        if not max(3, CLIP_SHARE / 2 * len(x)) <= at <= len(x) / 2:
            continue  # too few, or the value at which the record rests
        rest = some[some != extreme]
        if not len(rest):
            continue
        gap = np.abs(np.float64(extreme) - rest)
        reach = max(BAND * (np.float64(high) - np.float64(low)), float(gap.min()) * 1.5)
        if at / len(x) >= CLIP_RATIO * np.count_nonzero(gap <= reach) / len(some):
            share += at / len(x)
    return share if share >= CLIP_SHARE and len(np.unique(some)) >= min(CLIP_LEVELS, len(x) // 4) else 0.0


def _parts(x: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """A record in parts, each with its place; one part of all that is not long."""
    return ((start, x[start : start + PART]) for start in range(0, len(x), PART))


def _gap(x: NDArray[np.float32], low: np.float32, high: np.float32) -> tuple[int, int] | None:
    """The longest run of one value that the record's own habit does not explain: zeros or a held value in a moving signal.

    Slow and coarsely sampled signals repeat values all the time; a run is a gap if chance would hardly make it that long,
    if it does not lie at an extreme, which is clipping or rest, and if the signal jumps at one of its ends.
    """
    same = x[1:] == x[:-1]
    if np.count_nonzero(same) < GAP - 1:
        return None
    start, stop = longest_run(same)
    stop += 1  # the run of samples, not of pairs
    length = stop - start
    if length < GAP or x[start] in (low, high):
        return None
    others = np.concatenate((same[: max(start - 1, 0)], same[stop:]))
    habit = (np.count_nonzero(others) + 1) / (len(others) + 2)
    if habit > GAP_HABIT or len(x) * habit ** (length - 1) > GAP_CHANCE:
        return None
    ends = [abs(float(x[a]) - float(x[b])) for a, b in ((start - 1, start), (stop - 1, stop)) if a >= 0 and b < len(x)]
    steps = np.diff(np.unique(x).astype(np.float64))
    return (start, stop) if max(ends, default=0.0) > GAP_STEPS * float(steps.min()) else None


def _spikes(x: NDArray[np.float32], mean: float, deviation: float) -> list[int]:
    """Places of single samples far outside the record with nothing beside them, the largest first."""
    inner = x[3:-3]  # what has three neighbours on either side
    if len(x) < 64 or max(float(inner.max()) - mean, mean - float(inner.min())) < SPIKE / 2 * deviation:
        return []
    some = x[:: 1 + len(x) // ENOUGH]
    middle = _middle(some)
    far = SPIKE * 1.4826 * _middle(np.abs(some - middle))
    if not far:
        return []  # it rests at one value most of the time
    low, high = middle - far, middle + far
    at = np.concatenate([np.flatnonzero((part > high) | (part < low)) + start for start, part in _parts(inner)]) + 3
    away = np.abs(x[at] - middle)
    beside = np.max([np.abs(x[at + k] - middle) for k in (-3, -2, -1, 1, 2, 3)], axis=0)
    lone = np.flatnonzero(away > ALONE * beside)
    if len(lone) > max(1, SPIKES * len(x)):
        return []
    found: list[int] = at[lone[np.argsort(-away[lone], kind="stable")]].tolist()
    return found


def _middle(x: NDArray[np.float32]) -> float:
    """The median, of an even number of values the upper of the middle two: in half the time of ``np.median``."""
    half = len(x) // 2
    return float(np.partition(x, half)[half])
