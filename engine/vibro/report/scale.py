"""Axes: from values to positions in pixels, and where the ticks are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SPACING = (48, 22)  # smallest distance of two ticks in pixels, across and up
_STEPS = (1, 5, 15, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600)  # seconds
_DAYS = (1, 2, 5, 10, 15, 30, 60, 91, 182, 365, 730, 1826, 3652)


@dataclass(frozen=True)
class Scale:
    """Values lo..hi onto start..end: linear, or asinh around ``centre`` where ``width`` > 0, which keeps a long tail in view."""

    lo: float
    hi: float
    start: float
    end: float
    centre: float = 0.0
    width: float = 0.0

    def transform(self, value: ArrayLike) -> NDArray[np.float64]:
        """Values on the linear or asinh scale, before positions."""
        value = np.asarray(value, np.float64)
        return np.arcsinh((value - self.centre) / self.width) if self.width else value

    def inverse(self, value: ArrayLike) -> NDArray[np.float64]:
        """The inverse of ``transform``."""
        value = np.asarray(value, np.float64)
        return np.sinh(value) * self.width + self.centre if self.width else value

    def __call__(self, value: ArrayLike) -> NDArray[np.float64]:
        """Positions, kept inside the axis."""
        lo, hi = float(self.transform(self.lo)), float(self.transform(self.hi))
        part = (self.transform(value) - lo) / (hi - lo)
        return self.start + np.clip(part, 0, 1) * (self.end - self.start)

    @property
    def _spacing(self) -> int:
        return _SPACING[self.start > self.end]

    def ticks(self) -> list[float]:
        """Round values, no two too close together."""
        return self._asinh_ticks() if self.width else self._even_ticks()

    def _even_ticks(self) -> list[float]:
        span = self.hi - self.lo
        least = span * self._spacing / abs(self.end - self.start)
        power = 10.0 ** math.floor(math.log10(least))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= least)
        first, last = math.ceil(self.lo / step), math.floor(self.hi / step)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _asinh_ticks(self) -> list[float]:
        """Zero and powers of ten first, then three times those."""
        top = max(abs(self.lo), abs(self.hi))
        decades = range(math.ceil(math.log10(top)), math.floor(math.log10(self.width)) - 1, -1)
        wanted = [0.0] + [sign * m * 10.0**k for m in (1, 3) for k in decades for sign in (1, -1)]
        kept: list[float] = []
        for value in wanted:
            place = float(self(value))
            if self.lo <= value <= self.hi and all(abs(place - float(self(v))) > self._spacing for v in kept):
                kept.append(value)
        return sorted(kept)


def score_scale(scores: NDArray[np.float64], start: float, end: float, *more: float | None) -> Scale:
    """An axis for scores and the cuts in ``more``: asinh where few records lie far above all the others."""
    known = scores[np.isfinite(scores)]
    values = np.concatenate([known, [v for v in more if v is not None and math.isfinite(v)]])
    if not len(values):
        return Scale(0.0, 1.0, start, end)
    lo, hi = float(values.min()), float(values.max())
    low, middle, high = np.quantile(known if len(known) else values, (0.1, 0.5, 0.9))
    if hi <= lo:
        return Scale(lo - 0.5, hi + 0.5, start, end)
    margin = 0.02 * (hi - lo)
    skewed = high > low and hi - middle > 6 * (high - low)
    if skewed:
        return Scale(lo - 0.1 * (high - low), hi + margin, start, end, float(middle), float(high - low) / 2)
    return Scale(lo - margin, hi + margin, start, end)


def time_ticks(lo: float, hi: float, most: int) -> list[tuple[float, str]]:
    """At most ``most`` pairs (seconds since 1970, label) between two times, in UTC."""
    span = max(hi - lo, 1.0)
    for step in _STEPS:
        if span / step <= most:
            first = math.ceil(lo / step) * step
            return [(t, _clock(t, step, span)) for t in np.arange(first, hi + 1e-9, step)]
    days = next((d for d in _DAYS if span / 86400 / d <= most), _DAYS[-1])
    if days < 30:
        first = math.ceil(lo / 86400) * 86400
        return [(t, _clock(t, 86400, span)) for t in np.arange(first, hi + 1e-9, days * 86400)]
    months = max(1, round(days / 30.4))
    begin = np.datetime64(int(lo), "s").astype("datetime64[M]").astype(int) + 1
    begin = math.ceil(begin / months) * months
    end = np.datetime64(int(hi), "s").astype("datetime64[M]").astype(int)
    found = [np.datetime64(month, "M") for month in range(begin, end + 1, months)]
    return [(float(m.astype("datetime64[s]").astype(int)), str(m)) for m in found]


def _clock(seconds: float, step: float, span: float) -> str:
    moment = np.datetime64(int(seconds), "s")
    if step >= 86400:
        return str(moment.astype("datetime64[D]"))
    clock = str(moment)[11 : 19 if step < 60 else 16]
    return clock if span <= 86400 else f"{str(moment)[5:10]} {clock}"
