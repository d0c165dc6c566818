"""``per_sensor``: every feature of a view standardised by its own sensor's location and scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro.scoring.regression import or_pool, robust_scale, sensor_rows, varying
from vibro_plugins.stats.shrinkage import shrunk_log_scale


@dataclass(frozen=True)
class PerSensorParams(Params):
    """Settings of ``per_sensor``.

    ``of``: the vector view that is standardised
    ``clip``: scales at which values are clipped
    ``prior``: rows that the pooled scale counts for in a sensor's own; 50 rows of its own count as much
    """

    of: str | dict[str, Any] = "mains"
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0
    prior: Annotated[float, Field(ge=0)] = 50.0


class PerSensor(FeatureExtractor):
    """(value - location of the sensor) / scale of the sensor, clipped, for each column of a vector view.

    Location: the median of the sensor's n fit rows, shrunk towards the pooled median by 1 - n^3 / (n^3 + 50): half at four
    rows, next to nothing at twenty. Sensors of one plant differ in location by many times their own scale (mounting, path),
    so a slower shrinkage such as 50 / (n + 50) would leave every sensor off centre for months; no shrinkage would let an
    anomaly among a handful of rows hide.
    Scale: 1.4826 median abs(value - location), its logarithm shrunk towards the pooled estimate (``shrunk_log_scale``): that
    of all rows about their own sensor's location, or, for a handful of rows, about the pooled location. No scale is below an
    eighth of the 80 % quantile of abs(value - location); a column that does not vary is 0 and masked in ``kept``.
    A sensor unknown at fit (code -1) gets the pooled median and the scale of all rows about it.
    """

    name = "per_sensor"
    summary = "each feature of a view in units of its own sensor's scale"
    Params = PerSensorParams
    item = "f"
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _location: NDArray[np.float64] | None = None  # (sensors + 1, f); the last row is the pool's
    _scale: NDArray[np.float64]  # (sensors + 1, f)
    _kept: NDArray[np.bool_]  # (f,)

    @classmethod
    def inputs(cls, params: PerSensorParams) -> tuple[str | ViewKey, ...]:
        """The view and the sensor codes."""
        return (view_key(params.of), "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns location and scale of every sensor code from (n, f) and (n, 1)."""
        x, sensor = self._split(inputs)
        groups = sensor_rows(sensor)
        known = [len(rows) ** 3 / (len(rows) ** 3 + 50) for rows in groups]
        pool = np.median(x, axis=0)
        location = np.tile(pool, (len(groups) + 1, 1))
        for s, rows in enumerate(groups):
            if len(rows):
                location[s] += known[s] * (np.median(x[rows], axis=0) - pool)
        residual = x - location[sensor]
        within, total = robust_scale(residual), robust_scale(x - pool)
        log_scale = np.tile(np.log(total), (len(groups) + 1, 1))
        for s, rows in enumerate(groups):
            if len(rows):
                log_scale[s] += known[s] * (np.log(within) - np.log(total))
                log_scale[s] = shrunk_log_scale(residual[rows], within, log_scale[s], self.params.prior)
        self._location, self._scale, self._kept = location, np.exp(log_scale), varying(x)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f) and (n, 1) -> (n, f) within +-clip."""
        location = self._fitted()
        x, sensor = self._split(inputs)
        row = or_pool(sensor, len(location) - 1)
        z = (x - location[row]) / self._scale[row]
        return np.where(self._kept, np.clip(z, -self.params.clip, self.params.clip), 0).astype(np.float32)

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Columns that vary over the fit rows."""
        return None if self._location is None else self._kept

    def state(self) -> State:
        """Location and scale, (sensors + 1, f) each, and the mask."""
        return {"location": self._fitted(), "scale": self._scale, "kept": self._kept}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._location, self._scale = state["location"], state["scale"]
        self._kept = state["kept"].astype(bool)

    def _fitted(self) -> NDArray[np.float64]:
        if self._location is None:
            raise NotFittedError("per_sensor is not fitted")
        return self._location

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        return x, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``per_sensor``."""
    register(PerSensor)
