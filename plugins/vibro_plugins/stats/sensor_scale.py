"""Location and scale of every column for each sensor, shrunk towards those of all sensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.portable.covariates import or_pool
from vibro.scoring.regression import robust_scale, sensor_rows, varying
from vibro_plugins.stats.shrinkage import shrunk_log_scale


@dataclass(frozen=True)
class SensorScale:
    """Of S sensors and f columns; the last row is the pool's, which a sensor unknown at fit (code -1) gets.

    Location: the median of the sensor's n fit rows, shrunk towards the pooled median by 1 - n^3 / (n^3 + 50): half at four
    rows, next to nothing at twenty. Sensors of one plant differ in location by many times their own scale (mounting, path),
    so a slower shrinkage such as 50 / (n + 50) would leave every sensor off centre for months; no shrinkage would let an
    anomaly among a handful of rows hide.
    Scale: 1.4826 median abs(value - location), its logarithm shrunk towards the pooled estimate (``shrunk_log_scale``): that
    of all rows about their own sensor's location, or, for a handful of rows, about the pooled location. No scale is below an
    eighth of the 80 % quantile of abs(value - location).
    """

    location: NDArray[np.float64]  # (S + 1, f)
    scale: NDArray[np.float64]  # (S + 1, f)
    kept: NDArray[np.bool_]  # (f,) columns that vary over the fit rows

    @classmethod
    def fit(cls, x: NDArray[np.float64], sensor: NDArray[np.intp], prior: float) -> Self:
        """From rows (n, f) and sensor codes (n,); the pooled scale counts for ``prior`` rows in a sensor's own."""
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
                log_scale[s] = shrunk_log_scale(residual[rows], within, log_scale[s], prior)
        return cls(location, np.exp(log_scale), varying(x))

    def apply(self, x: NDArray[Any], sensor: NDArray[np.intp], clip: float) -> NDArray[np.float32]:
        """(value - location) / scale within +-clip; 0 in columns that do not vary."""
        row = or_pool(sensor, len(self.location) - 1)
        z = (x - self.location[row]) / self.scale[row]
        return np.where(self.kept, np.clip(z, -clip, clip), 0).astype(np.float32)

    def state(self) -> State:
        """Arrays for a component's state."""
        return {"location": self.location, "scale": self.scale, "kept": self.kept}

    @classmethod
    def load(cls, state: State) -> Self:
        """Back from ``state``."""
        return cls(state["location"], state["scale"], state["kept"].astype(bool))
