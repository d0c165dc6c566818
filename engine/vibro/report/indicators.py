"""Plain physical indicators of records, for words and pictures of an explanation; no detector depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DECIBEL = "_db"
LINES = 40  # multiples of the mains
LINE_TOP = 0.45  # of the sampling rate
BANDS = 280  # of the drawn spectrum
PEAKS = 8
_SPREAD = 1.4826  # median absolute deviation of a normal distribution to its standard deviation


@dataclass(frozen=True)
class Judged:
    """An indicator of one record against its baseline; ``z`` in robust standard deviations, which have a lower bound."""

    name: str
    value: float
    median: float
    mad: float
    z: float


def indicators(x: NDArray[np.float32], fs: float) -> dict[str, Array]:
    """Indicators (n,) of one channel x (n, T): levels in dB of the record's unit squared, shapes, bands of an octave."""
    y = x.astype(np.float64)
    mean = y.mean(axis=1, keepdims=True)
    y = y - mean
    power = (y**2).mean(axis=1)
    floor = np.maximum(power, 1e-30)
    peak = np.abs(y).max(axis=1)
    scale = np.sqrt(floor)[:, None]
    u = y / scale
    square = u * u  # products are many times faster than powers
    spectrum = power_spectrum(x)
    hz = frequencies(x.shape[1], fs)
    found = {
        "rms_db": decibel(power),
        "peak_db": decibel(peak**2),
        "crest_db": decibel(peak**2 / floor),
        "kurtosis": (square * square).mean(axis=1),
        "skewness": (square * u).mean(axis=1),
        "offset": mean[:, 0] / scale[:, 0],
        "centroid_hz": (spectrum * hz).sum(axis=1) / np.maximum(spectrum.sum(axis=1), 1e-30),
    }
    for low, high in octaves(hz):
        inside = (hz > low) & (hz <= high * 1.001)
        found[f"band_{low:g}_{high:g}_db"] = decibel(spectrum[:, inside].sum(axis=1))
    return found


def judge(record: dict[str, Array], baseline: dict[str, Array]) -> list[Judged]:
    """Every indicator of a record (arrays of one) against those of its baseline, the most unusual first.

    The standard deviation is at least 0.1 dB for levels and 1 % of the median for the rest, so that a nearly constant
    indicator gets no large z.
    """
    found = []
    for name, values in baseline.items():
        value, median = float(record[name][0]), float(np.median(values))
        mad = float(np.median(np.abs(values - median)))
        floor = 0.1 if name.endswith(DECIBEL) else 0.01 * abs(median) + 1e-12
        found.append(Judged(name, value, median, mad, (value - median) / (_SPREAD * max(mad, floor))))
    return sorted(found, key=lambda judged: -abs(judged.z))


def frequencies(length: int, fs: float) -> Array:
    """Frequencies in Hz of ``power_spectrum``."""
    found: Array = np.fft.rfftfreq(length, 1 / fs)[1:].astype(np.float64)
    return found


def power_spectrum(x: NDArray[np.float32]) -> Array:
    """Power (n, T // 2) of each frequency but zero, from a Hann window; sums to the variance."""
    y = x.astype(np.float64)
    y = y - y.mean(axis=1, keepdims=True)
    window = np.hanning(x.shape[1] + 1)[:-1] if x.shape[1] > 2 else np.ones(x.shape[1])
    lines = np.abs(np.fft.rfft(y * window, axis=1)[:, 1:]) ** 2
    scale = 2 / (x.shape[1] * float((window**2).sum()))
    power: Array = (scale * lines).astype(np.float64)
    return power


def octaves(hz: Array) -> list[tuple[float, float]]:
    """Bounds (above, up to) of octave bands below the highest frequency, lowest first; the lowest takes all that is left."""
    bounds = [float(f"{hz[-1]:.4g}")]
    while bounds[0] / 2 > 4 * float(hz[0]) and len(bounds) < 8:
        bounds.insert(0, float(f"{bounds[0] / 2:.4g}"))
    return list(pairwise([0.0, *bounds]))


def bands(power: Array, hz: Array) -> tuple[Array, Array]:
    """Centre in Hz and level in dB (n, bands) of bands evenly spaced in log frequency, none narrower than one line."""
    edges = np.unique(np.round(np.geomspace(1, len(hz) + 1, BANDS + 1)).astype(int)) - 1
    level = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    centre = np.sqrt(hz[edges[:-1]] * hz[edges[1:] - 1])
    return centre, decibel(level)


def mains_lines(power: Array, hz: Array, mains: float) -> tuple[Array, Array]:
    """Multiple (m,) and level in dB (n, m) of the lines at multiples of the mains, each at the strongest line nearby."""
    step = hz[0]
    count = int(min(LINES, LINE_TOP * 2 * hz[-1] // mains))
    levels = np.empty((len(power), count))
    for i in range(count):
        middle = (i + 1) * mains
        reach = max(2 * step, min(0.01 * middle, mains / 4))
        inside = (hz >= middle - reach) & (hz <= middle + reach)
        levels[:, i] = power[:, inside].sum(axis=1) if inside.any() else 0.0
    return np.arange(1.0, count + 1), decibel(levels)


def risen(centre: Array, level: Array, baseline: Array) -> list[tuple[float, float]]:
    """(Hz, dB over the baseline's median) of the bands (b,) that rose most above baseline (n, b), no two side by side."""
    over = level - np.median(baseline, axis=0)
    taken = np.zeros(len(over), bool)
    found: list[tuple[float, float]] = []
    for i in np.argsort(-over, kind="stable"):
        if len(found) == PEAKS or over[i] <= 0:
            break
        if not taken[i]:
            found.append((float(centre[i]), float(over[i])))
            taken[max(0, i - 3) : i + 4] = True
    return found


def decibel(power: Array) -> Array:
    """10 log10 of a power, with a floor far below anything measured."""
    return 10 * np.log10(np.maximum(power, 1e-24))
