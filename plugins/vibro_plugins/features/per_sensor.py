"""``per_sensor``: every feature of a view in units of its own sensor's normal variation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro.scoring.regression import or_pool, sensor_rows, spread, varying
from vibro_plugins.stats.shrinkage import drawn_spread


@dataclass(frozen=True)
class PerSensorParams(Params):
    """``of``: the view to standardise; ``clip``: values are cut to +-clip; ``prior``: rows that the pool's spread counts for."""

    of: str | dict[str, Any] = "mains"
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0
    prior: Annotated[float, Field(ge=0)] = 50.0


class PerSensor(FeatureExtractor):
    """(value - location of the sensor) / spread of the sensor, clipped, for each column of a vector view.

    Location: the median m_s of the sensor's n fit rows, drawn to the pool's median by weight 1 - n^3 / (n^3 + 50): half at
    four rows, gone at twenty. Sensors of one plant differ in location by many times their own spread (mounting, path),
    so a draw of n / (n + 50) would leave every sensor off centre for months; yet the median of a handful of rows would
    swallow an anomaly among them.
    Spread: 1.4826 median abs(value - location), in logs drawn to the pool's by n / (n + prior), what all columns are wider in
    by n / (n + 5 prior) (``_spreads.drawn_spread``). The pool's is that of all rows about their own sensor's location, or,
    for a handful of rows, that of all rows about the pool's. No spread is below an eighth of the 80 % quantile of
    abs(value - location); a column that does not vary is 0 and masked in ``kept``.
    A sensor unknown at fit (code -1) is measured by the pool's median and the spread of all rows about it.
    """

    name = "per_sensor"
    summary = "each feature of a view in units of its own sensor's variation"
    Params = PerSensorParams
    item = "f"
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _location: NDArray[np.float64] | None = None  # (sensors + 1, f); the last row is the pool's
    _spread: NDArray[np.float64]  # (sensors + 1, f)
    _kept: NDArray[np.bool_]  # (f,)

    @classmethod
    def inputs(cls, params: PerSensorParams) -> tuple[str | ViewKey, ...]:
        """The view and the sensor codes."""
        return (view_key(params.of), "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns location and spread of every sensor code from (n, f) and (n, 1)."""
        x, sensor = self._split(inputs)
        groups = sensor_rows(sensor)
        known = [len(rows) ** 3 / (len(rows) ** 3 + 50) for rows in groups]
        pool = np.median(x, axis=0)
        location = np.tile(pool, (len(groups) + 1, 1))
        for s, rows in enumerate(groups):
            if len(rows):
                location[s] += known[s] * (np.median(x[rows], axis=0) - pool)
        residual = x - location[sensor]
        within, total = spread(residual), spread(x - pool)
        log_spread = np.tile(np.log(total), (len(groups) + 1, 1))
        for s, rows in enumerate(groups):
            if len(rows):
                log_spread[s] += known[s] * (np.log(within) - np.log(total))
                log_spread[s] = drawn_spread(residual[rows], within, log_spread[s], self.params.prior)
        self._location, self._spread, self._kept = location, np.exp(log_spread), varying(x)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f) and (n, 1) -> (n, f) within +-clip."""
        location = self._fitted()
        x, sensor = self._split(inputs)
        row = or_pool(sensor, len(location) - 1)
        z = (x - location[row]) / self._spread[row]
        return np.where(self._kept, np.clip(z, -self.params.clip, self.params.clip), 0).astype(np.float32)

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Columns that vary over the fit rows."""
        return None if self._location is None else self._kept

    def state(self) -> State:
        """Location and spread, (sensors + 1, f) each, and the mask."""
        return {"location": self._fitted(), "spread": self._spread, "kept": self._kept}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._location, self._spread = state["location"], state["spread"]
        self._kept = state["kept"].astype(bool)

    def _fitted(self) -> NDArray[np.float64]:
        if self._location is None:
            raise NotFittedError("per_sensor is not fitted")
        return self._location

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        return x, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


@hookimpl
def register_features(register) -> None:
    """Offers ``per_sensor``."""
    register(PerSensor)
