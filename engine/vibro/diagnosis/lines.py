"""Lines in a spectrum: which are there, against the noise around them, at a stated probability of a false alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PAD = 4  # spectral cells per resolvable line
AROUND = 12  # resolvable lines on each side that make the noise floor
MOST = 10.0  # of a line's ratio that counts: one line alone proves no series
THERE = -np.log(0.01)  # ratio that noise reaches with one line in a hundred
ORDERS = 6  # lines of a series at most
LEAST = 3  # lines of a series at least


@dataclass(frozen=True)
class Lines:
    """A spectrum over its own noise floor.

    ``ratio`` (k,) is power over the local floor in cells of ``step`` Hz, exponential with mean one where there is only
    noise; ``peak`` (k,) is the ratio of the local maximum within half a resolvable line, 0 where there is none;
    ``resolution`` is the width in Hz of a resolvable line, ``top`` the highest frequency in Hz.
    """

    ratio: Array
    peak: Array
    step: float

    @property
    def resolution(self) -> float:
        """Hz."""
        return self.step * PAD

    @property
    def top(self) -> float:
        """Hz."""
        return self.step * (len(self.ratio) - 1)

    def at(self, hz: Array) -> Array:
        """The peaks at these frequencies, 0 outside the spectrum."""
        place = np.rint(hz / self.step).astype(np.intp)
        inside = (place >= 0) & (place < len(self.peak))
        return np.where(inside, self.peak[np.clip(place, 0, len(self.peak) - 1)], 0.0)


@dataclass(frozen=True)
class Series:
    """Lines at the multiples of one frequency.

    ``hz``: the frequency that fits best; ``ratios``: each multiple over its floor; ``probability``: that noise alone shows
    such a series anywhere in what was searched.
    """

    hz: float
    ratios: Array
    probability: float

    @property
    def there(self) -> list[int]:
        """Numbers of the multiples that stand out, from 1."""
        return [i + 1 for i, ratio in enumerate(self.ratios) if ratio > THERE]


def find_lines(x: Array, rate: float) -> Lines:
    """The lines of x (T,) sampled at ``rate`` Hz, through a Hann window."""
    from scipy.fft import rfft
    from scipy.ndimage import maximum_filter1d, median_filter

    window = np.hanning(len(x) + 1)[:-1]
    power = np.abs(rfft((x - x.mean()) * window, PAD * len(x))) ** 2
    floor = median_filter(power[::PAD], 2 * AROUND + 1, mode="reflect") / np.log(2)
    floor = np.maximum(np.repeat(floor, PAD)[: len(power)], 1e-12 * power.max() + 1e-300)
    ratio = np.asarray(power / floor, np.float64)
    top = (ratio >= np.roll(ratio, 1)) & (ratio >= np.roll(ratio, -1))
    peak = maximum_filter1d(np.where(top, ratio, 0.0), PAD + 1)
    return Lines(ratio, peak, rate / (PAD * len(x)))


def find_series(lines: Lines, hz: float, slip: float, trials: float = 1.0) -> Series | None:
    """The best series within ``slip`` (share) of a frequency; None where the spectrum holds too few of its multiples.

    The ratios of its first lines, each capped at MOST, are summed; for noise the sum is Gamma distributed. The probability
    counts every frequency tried (Bonferroni), times ``trials`` other searches of the same record.
    """
    from scipy.stats import gamma

    orders = min(ORDERS, int(lines.top // (hz * (1 + slip))))
    if orders < LEAST or hz < 3 * lines.resolution:
        return None
    tried = np.arange(hz * (1 - slip), hz * (1 + slip) + lines.step / 2, lines.step / 2)
    ratios = lines.at(tried[:, None] * np.arange(1, orders + 1))
    best = highest(np.minimum(ratios, MOST).sum(axis=1))
    chance = float(gamma.sf(np.minimum(ratios[best], MOST).sum(), orders))
    independent = max(1.0, 2 * slip * hz * orders / lines.resolution)
    return Series(float(tried[best]), ratios[best], min(1.0, chance * independent * trials))


def strongest_series(spectra: Sequence[Lines], low: float, high: float) -> Series | None:
    """The least likely series with a fundamental between two frequencies in Hz, among several spectra of one record."""
    from scipy.stats import gamma

    found: Series | None = None
    for lines in spectra:
        below = min(high, lines.top / ORDERS)
        tried = np.arange(max(low, 3 * lines.resolution), below, lines.step)
        if not len(tried):
            continue
        ratios = lines.at(tried[:, None] * np.arange(1, ORDERS + 1))
        best = highest(np.minimum(ratios, MOST).sum(axis=1))
        chance = float(gamma.sf(np.minimum(ratios[best], MOST).sum(), ORDERS))
        many = ORDERS * len(tried) / PAD * len(spectra)
        series = Series(float(tried[best]), ratios[best], min(1.0, chance * many))
        if found is None or series.probability < found.probability:
            found = series
    return found


def highest(values: Array) -> int:
    """Index of the largest value, the middle one where neighbours share it."""
    first = int(values.argmax())
    after = np.flatnonzero(values[first:] < values[first])
    return first + (int(after[0]) - 1 if len(after) else len(values) - 1 - first) // 2


def side_lines(lines: Lines, series: Series, spacing: float) -> list[float]:
    """Frequencies in Hz of the side bands at ``spacing`` Hz around the first three lines of a series that stand out."""
    centres = series.hz * np.array([n for n in series.there if n <= LEAST], np.float64)
    if spacing < 2 * lines.resolution or not len(centres):
        return []
    places = np.concatenate([centres - spacing, centres + spacing])
    return sorted(float(hz) for hz in places[(places > 0) & (lines.at(places) > THERE)])
