"""``modes``: what is left of a view when the most similar records of the same sensor are known: several operating modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, FeatureExtractor, NotApplicableError, NotFittedError, Params, State, ViewKey, view_key
from vibro_plugins.portable import relative
from vibro_plugins.stats.columns import BLOCK, in_blocks, one_thread
from vibro_plugins.stats.neighbours import Neighbours

SHARE, LEAST, MOST = 0.1, 8, 100  # of a sensor's fit rows are near, and at least and at most so many
FINEST = 0.02  # of a column's standard deviation: the finest unit that neighbours are looked for in
STILL = 0.05  # of that unit: the least scatter that counts


@dataclass(frozen=True)
class ModesParams(Params):
    """Settings of ``modes``.

    ``of``: the vector view
    ``records``: fit rows that a sensor must have
    ``clip``: units at which values are clipped
    """

    of: str | dict[str, Any] = "mains"
    records: Annotated[int, Field(ge=2, le=100_000)] = 32
    clip: Annotated[float, Field(gt=0, le=1000)] = 50.0


class Modes(FeatureExtractor):
    """(value - median of the nearest fit rows) / their scatter, for each column of a vector view.

    Near are a tenth of the sensor's fit rows (8 to 100), in units in which every column scatters alike among them. Each
    operating mode is thus its own norm: of two flows far apart, a small change at either counts as much as it would alone.
    Scatter is the median absolute deviation, at least what is usual among neighbours of the column. A fit row is treated as
    if it had been left out. A sensor is its own norm. NaN: rows that are NaN, or of a sensor with fewer fit rows than
    ``records``. NotApplicableError where that is so of all.
    """

    name = "modes"
    summary = "residuals of a view after what the most similar records of the sensor show: operating modes"
    Params = ModesParams
    item, takes = "f", "f"
    seconds = 0.3
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum", "records": 2}

    _norms: dict[int, _Norm] | None = None  # by sensor code

    @classmethod
    def inputs(cls, params: ModesParams) -> tuple[str | ViewKey, ...]:
        """The view and the sensor codes."""
        return (view_key(params.of), "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from a view (n, f) and sensor codes (n, 1)."""
        x, sensor = self._split(inputs)
        given = np.isfinite(x).all(axis=1)
        codes, counts = np.unique(sensor[given], return_counts=True)
        own = codes[(counts >= self.params.records) & (codes >= 0)].tolist()
        if not own:
            raise NotApplicableError(f"no sensor has {self.params.records} records to tell its operating modes from")
        with one_thread():
            self._norms = {code: _Norm.fit(x[given & (sensor == code)]) for code in own}

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f) and (n, 1) -> (n, f) within +-clip."""
        norms = self._fitted()
        x, sensor = self._split(inputs)
        out, given = np.full(x.shape, np.nan), np.isfinite(x).all(axis=1)
        for code in np.intersect1d(sensor[given], list(norms)).tolist():
            rows = np.flatnonzero(given & (sensor == code))
            out[rows] = in_blocks(norms[code].residual, x[rows])
        return np.clip(out, -self.params.clip, self.params.clip).astype(np.float32)

    def state(self) -> State:
        """Rows, unit and usual scatter of every norm."""
        return {f"{code}.{name}": a for code, norm in self._fitted().items() for name, a in norm.state().items()}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        codes = {name.partition(".")[0] for name in state}
        self._norms = {
            int(code): _Norm(state[f"{code}.rows"], state[f"{code}.unit"], state[f"{code}.usual"])
            for code in sorted(codes, key=int)
        }

    def export(self) -> Exported:
        """What was learned, with numpy alone."""
        near = {f"{code}.near": np.array(norm.near) for code, norm in self._fitted().items()}
        return Exported({**self.state(), **near, "clip": np.array(self.params.clip)}, relative.modes)

    def _fitted(self) -> dict[int, _Norm]:
        if self._norms is None:
            raise NotFittedError("modes is not fitted")
        return self._norms

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        return x, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


class _Norm:
    """Fit rows (n, f) divided by ``unit`` (f,), and the usual scatter (f,) among neighbours in it."""

    def __init__(self, rows: NDArray[np.float32], unit: NDArray[np.float64], usual: NDArray[np.float64]) -> None:
        self.unit, self.usual = unit, usual
        self.near = int(np.clip(SHARE * len(rows), LEAST, MOST))
        self._near = Neighbours(self.near)
        self._near.store(rows)

    @classmethod
    def fit(cls, x: NDArray[np.float64]) -> _Norm:
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


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``modes``."""
    register(Modes)
