"""Where in time and frequency a record is unlike what a detector learned: the strongest regions, and a picture of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.core.attribution import Attribution
from vibro.report.data import RunData
from vibro.report.packing import packed_codes

ROWS, COLUMNS = 160, 240  # of the raster on which regions are found
LEAST = 0.05  # share of all that is unlike that values must hold to be told of
HALF = 0.5  # share of the largest value from which on a region goes
MOST = 3  # regions told

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """A rectangle around a peak, NaN where there is no time or no frequency.

    ``share`` of all that is unlike, on ``area``, a share of the picture: time and log frequency.
    """

    seconds: tuple[float, float]
    hz: tuple[float, float]
    share: float
    area: float

    @property
    def table(self) -> dict[str, Any]:
        """The region in the JSON of ``vibro explain``."""
        ends = {"from_s": self.seconds[0], "to_s": self.seconds[1], "low_hz": self.hz[0], "high_hz": self.hz[1]}
        known = {name: None if np.isnan(value) else float(value) for name, value in ends.items()}
        return {**known, "share": self.share, "area": self.area}


@dataclass(frozen=True)
class AttributionMap:
    """What makes the score of one detector for one record: ``values`` (k,) with places ``seconds`` and ``hz`` (k, 2).

    All have a time, or none has; so with frequencies. Only positive values are unlike. ``length``: of the record in seconds.
    """

    detector: str
    values: Array
    seconds: Array
    hz: Array
    length: float

    @property
    def timed(self) -> bool:
        """Whether the values have a time."""
        return not np.isnan(self.seconds).any()

    @property
    def passing(self) -> bool:
        """Whether no frequency adds up to more at all other times than the strongest region does."""
        first = self.regions[0]
        band = (self.hz[:, 0] < first.hz[1]) & (self.hz[:, 1] > first.hz[0])
        then = (self.seconds[:, 0] < first.seconds[1]) & (self.seconds[:, 1] > first.seconds[0])
        place = np.unique(self.hz, axis=0, return_inverse=True)[1].ravel()
        others = np.bincount(place, np.where(then, 0.0, self.values))
        return bool(others.max() <= np.maximum(self.values, 0)[band & then].sum())

    @property
    def throughout(self) -> AttributionMap | None:
        """The same with all values of a frequency added up; None where nothing is unlike then."""
        hz, place = np.unique(self.hz, axis=0, return_inverse=True)
        values = np.bincount(place.ravel(), self.values).astype(np.float64)
        if not (values > 0).any():
            return None
        return replace(self, values=values, hz=hz, seconds=np.tile([0.0, self.length], (len(hz), 1)))

    @property
    def regions(self) -> list[Region]:
        """Where it is strongest, the largest peak first: connected places with at least half of the largest value."""
        from scipy.ndimage import find_objects, label

        tuned = not np.isnan(self.hz).any()
        edges_hz = _log_edges(self.hz, ROWS) if tuned else np.array([1.0, 2.0])
        edges_s = np.linspace(0, self.length, COLUMNS + 1) if self.timed else np.array([0.0, self.length])
        level, mass = self._raster(edges_s, edges_hz)
        found, count = label(level >= HALF * level.max())
        peaks = sorted(range(1, count + 1), key=lambda k: -level[found == k].max())
        boxes = find_objects(found)
        regions = []
        for k in peaks[:MOST]:
            rows, columns = boxes[k - 1]
            seconds = _nearest(self.seconds, edges_s[columns.start], edges_s[columns.stop]) if self.timed else _OPEN
            hz = _nearest(self.hz, edges_hz[rows.start], edges_hz[rows.stop]) if tuned else _OPEN
            inside = found == k
            regions.append(Region(seconds, hz, float(mass[inside].sum() / mass.sum()), float(inside.mean())))
        return regions

    def picture(self, hz: tuple[float, float], rows: int, columns: int) -> dict[str, Any]:
        """For the script: as many rows, even in log frequency from the lowest up, and columns; 255 is the largest value."""
        level, _ = self._raster(np.linspace(0, self.length, columns + 1), np.geomspace(*hz, rows + 1))
        most = level.max()
        return {"detector": self.detector, "values": packed_codes(np.round(255 * level / (most or 1.0)).ravel())}

    def _raster(self, seconds: Array, hz: Array) -> tuple[Array, Array]:
        """The mean of the values that cover each cell (rows, columns) between these edges, and the part of all that lies there.

        A value too small for the middle of any cell covers the one that it lies in.
        """
        rows, columns = (
            _cells(self.hz, np.sqrt(hz[:-1] * hz[1:])),
            _cells(self.seconds, (seconds[:-1] + seconds[1:]) / 2),
        )
        cells = (rows[:, 1] - rows[:, 0]) * (columns[:, 1] - columns[:, 0])
        shape, values = (len(hz) - 1, len(seconds) - 1), np.maximum(self.values, 0)
        total, count, mass = (
            _covered(rows, columns, weight, shape)
            for weight in (values, np.ones(len(cells)), values / np.maximum(cells, 1))
        )
        return np.where(count > 0.5, total / np.maximum(count, 1), 0.0), np.maximum(mass, 0.0)


AttributionMaps = Callable[
    [RunData, Mapping[int, NDArray[np.float32]]], tuple[dict[int, tuple[AttributionMap, ...]], list[str]]
]

_OPEN = (float("nan"), float("nan"))


def attribution_map(found: Attribution, row: int, length: float) -> AttributionMap | None:
    """What an attribution tells of one of its records: of the values with both places, else those with a frequency, else a time.

    They must hold a twentieth of all that is unlike. What is not passing is there throughout: the values of a frequency are
    added up over the record. None where nothing is unlike, or nothing has a place.
    """
    values = found.values[row].ravel()
    seconds, hz = (np.reshape(ends, (-1, 2)) for ends in (found.extent.seconds, found.extent.hz))
    timed, tuned = np.isfinite(seconds[:, 0]), hz[:, 1] > 0
    least = LEAST * np.maximum(values, 0).sum()
    both = timed & tuned
    for chosen in (both, tuned & ~timed, timed & ~tuned):
        if least > 0 and np.maximum(values[chosen], 0).sum() >= least:
            told = AttributionMap(found.detector, values[chosen], seconds[chosen], hz[chosen], length)
            return told.throughout if chosen is both and not told.passing else told
    return None


def sentence(found: AttributionMap, *, exceeds: bool) -> str:
    """Where the detector finds the record most unlike what it learned; ``exceeds``: whether its score is above its own cut."""
    region = found.regions[0]
    times = _span(region.seconds, *((0.001, "ms") if found.length < 2 else (1.0, "s")))  # as on the charts' axes
    pitches = _span(region.hz, *((1000.0, "kHz") if region.hz[1] >= 1000 else (1.0, "Hz")))
    whole = region.seconds == (0.0, found.length) and pitches
    where = f"{pitches} throughout" if whole else f"{times}, {pitches}" if times and pitches else times or pitches
    share, area = (f"{100 * part:.2g} %" for part in (region.share, region.area))
    much = f"{share} of all that is unlike, on {area} of the picture"
    below = "" if exceeds else "; its score is below its own cut"
    return f"{found.detector}: most unlike what it learned at {where}: {much}{below}"


def legend(found: AttributionMap) -> str:
    """What the lines in the image are."""
    return f"Outlined: where {found.detector} finds half of its largest difference or more; dotted: a quarter"


def _span(ends: tuple[float, float], unit: float, name: str) -> str:
    low, high = (f"{end / unit:.0f}" if end >= 1000 * unit else f"{end / unit:.3g}" for end in ends)
    return "" if np.isnan(ends[0]) else f"{low} to {high} {name}"


def _log_edges(hz: Array, rows: int) -> Array:
    """(rows + 1,) from the lowest to the highest frequency; what begins at 0 Hz begins at the lowest edge above."""
    lowest = float(hz[hz > 0].min())
    return np.geomspace(lowest, max(float(hz.max()), 2 * lowest), rows + 1)


def _nearest(ends: Array, low: float, high: float) -> tuple[float, float]:
    """The edges of values that are nearest to those of the raster."""
    starts, stops = np.unique(ends[:, 0]), np.unique(ends[:, 1])
    return float(starts[np.abs(starts - low).argmin()]), float(stops[np.abs(stops - high).argmin()])


def _cells(ends: Array, middles: Array) -> NDArray[np.intp]:
    """(k, 2) first cell, and the one after the last, whose middles lie within; all cells where there is no place."""
    first, last = np.searchsorted(middles, ends[:, 0]), np.searchsorted(middles, ends[:, 1])
    first = np.minimum(first, len(middles) - 1)
    last = np.maximum(last, first + 1)
    nowhere = np.isnan(ends[:, 0])
    return np.stack([np.where(nowhere, 0, first), np.where(nowhere, len(middles), last)], axis=1)


def _covered(rows: NDArray[np.intp], columns: NDArray[np.intp], weight: Array, shape: tuple[int, int]) -> Array:
    """The sum of the weights of the rectangles that cover each cell, by their corners."""
    corners = np.zeros((shape[0] + 1, shape[1] + 1))
    for r, c, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        np.add.at(corners, (rows[:, r], columns[:, c]), sign * weight)
    return corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
