"""What is usual of a sensor in each of its operating modes, and which sensors measure slow quantities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vibro.api import NotApplicableError, State
from vibro_plugins.portable import levels
from vibro_plugins.stats.columns import BLOCK, evenly_spaced, in_blocks, one_thread
from vibro_plugins.stats.neighbours import Neighbours

SHARE, LEAST, MOST = 0.1, 8, 100  # of a sensor's fit rows are near, and at least and at most so many
FINEST = 0.02  # of a column's standard deviation: the finest unit that neighbours are looked for in
STILL = 0.05  # of that unit: the least scatter that counts
SOME = 64  # records of a sensor that tell what it measures


def slow_sensors(x: NDArray[Any], sensor: NDArray[Any], least: float) -> NDArray[np.intp]:
    """Codes of the sensors (n,) in whose records (n, C, T) the mean of a channel moves ``least`` times as much as the samples.

    NotApplicableError where there is none.
    """
    order = np.argsort(sensor, kind="stable")
    of_sensor = np.split(order, np.flatnonzero(np.diff(sensor[order])) + 1)
    some = [rows[evenly_spaced(len(rows), SOME)] for rows in of_sensor]
    slow = [int(sensor[rows[0]]) for rows in some if _movement(x[rows]) >= least]
    if not slow:
        raise NotApplicableError(
            "no sensor measures a slow quantity, whose mean moves much more than the samples of a record"
        )
    return np.array(slow)


def _movement(x: NDArray[Any]) -> float:
    """How much the mean of a channel moves over the records (n, C, T) of a sensor, in units of how samples do within them."""
    values, channels = levels.moments(x), x.shape[1]
    low, high = np.quantile(values[:, :channels], [0.25, 0.75], axis=0)
    return float(((high - low) / 1.349 / 10.0 ** np.median(values[:, channels:], axis=0)).max())


@dataclass(frozen=True)
class Norms:
    """The norm of each sensor by its code."""

    by_sensor: dict[int, Norm]

    @classmethod
    def fit(cls, x: NDArray[np.float64], sensor: NDArray[np.intp], records: int) -> Self:
        """From rows (n, f), NaN = not given, and codes (n,); NotApplicableError where no sensor has so many records."""
        given = np.isfinite(x).all(axis=1)
        codes, counts = np.unique(sensor[given], return_counts=True)
        own = codes[(counts >= records) & (codes >= 0)].tolist()
        if not own:
            raise NotApplicableError(f"no sensor has {records} records to tell its operating modes from")
        with one_thread():
            return cls({code: Norm.fit(x[given & (sensor == code)]) for code in own})

    def residual(self, x: NDArray[np.float64], sensor: NDArray[np.intp], clip: float) -> NDArray[np.float32]:
        """(n, f) and (n,) -> (n, f) within +-clip; NaN for rows not given and for other sensors."""
        out, given = np.full(x.shape, np.nan), np.isfinite(x).all(axis=1)
        for code in np.intersect1d(sensor[given], list(self.by_sensor)).tolist():
            rows = np.flatnonzero(given & (sensor == code))
            out[rows] = in_blocks(self.by_sensor[code].residual, x[rows])
        return np.clip(out, -clip, clip).astype(np.float32)

    def state(self) -> State:
        """Rows, unit and usual scatter of every norm."""
        return {f"{code}.{name}": a for code, norm in self.by_sensor.items() for name, a in norm.state().items()}

    def exported(self, clip: float) -> State:
        """The same and what ``portable.relative.modes`` needs besides."""
        near = {f"{code}.near": np.array(norm.near) for code, norm in self.by_sensor.items()}
        return {**self.state(), **near, "clip": np.array(clip)}

    @classmethod
    def load(cls, state: State) -> Self:
        """Back from ``state``."""
        codes = {name.partition(".")[0] for name in state}
        return cls(
            {
                int(code): Norm(state[f"{code}.rows"], state[f"{code}.unit"], state[f"{code}.usual"])
                for code in sorted(codes, key=int)
            }
        )


class Norm:
    """Fit rows (n, f) divided by ``unit`` (f,), and the usual scatter (f,) among neighbours in it."""

    def __init__(self, rows: NDArray[np.float32], unit: NDArray[np.float64], usual: NDArray[np.float64]) -> None:
        self.unit, self.usual = unit, usual
        self.near = int(np.clip(SHARE * len(rows), LEAST, MOST))
        self._near = Neighbours(self.near)
        self._near.store(rows)

    @classmethod
    def fit(cls, x: NDArray[np.float64]) -> Norm:
        """From rows (n, f): units in which every column scatters alike among neighbours."""
        spread = np.where((spread := x.std(axis=0)) > 0, spread, 1.0)
        first = cls((x / spread).astype(np.float32), spread, np.ones(len(spread)))
        unit = spread * np.maximum(first._scatter(), FINEST)
        norm = cls((x / unit).astype(np.float32), unit, np.ones(len(unit)))
        norm.usual = np.maximum(norm._scatter(), STILL)
        return norm

    def residual(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, f) -> (n, f)."""
        rows = (x / self.unit).astype(np.float32)
        centre, scatter = self._around(rows)
        return np.asarray((rows - centre) / np.maximum(scatter, self.usual))

    def state(self) -> State:
        """Arrays that make it."""
        return {"rows": self._near.rows, "unit": self.unit, "usual": self.usual}

    def _around(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Median and scatter (n, f) of the fit rows nearest to each row."""
        found = self._near.rows[self._near.query(rows)[1]].astype(np.float64)
        centre = np.median(found, axis=1)
        return centre, 1.4826 * np.median(np.abs(found - centre[:, None]), axis=1)

    def _scatter(self) -> NDArray[np.float64]:
        """(f,) median of the scatter among the neighbours of the rows."""
        rows = self._near.rows
        parts = [self._around(rows[i : i + BLOCK])[1] for i in range(0, len(rows), BLOCK)]
        return np.asarray(np.median(np.concatenate(parts), axis=0))
