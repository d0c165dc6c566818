"""Location and scale of every column for each sensor, shrunk towards those of all sensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.portable.covariates import or_pool
from vibro.scoring.regression import group_rows, robust_scale, sensor_rows, varying
from vibro_plugins.stats.columns import SOME
from vibro_plugins.stats.shrinkage import shrunk_log_scale

AT_ONCE = 1 << 20  # values measured at a time, so that many rows take no copy of all columns


def group_of(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.intp] | None:
    """(n,) group of each row's sensor in what a fit is given; None where the user has told none."""
    return np.asarray(inputs["group"]).reshape(-1).astype(np.intp) if "group" in inputs else None


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
    In a group of like sensors with 20 rows or more all that is pooled is the group's.
    """

    location: NDArray[np.float64]  # (S + 1, f)
    scale: NDArray[np.float64]  # (S + 1, f)
    kept: NDArray[np.bool_]  # (f,) columns that vary over the fit rows

    @classmethod
    def fit(
        cls, x: NDArray[Any], sensor: NDArray[np.intp], prior: float, group: NDArray[np.intp] | None = None
    ) -> Self:
        """From rows (n, f) and sensor codes (n,); the pooled scale counts for ``prior`` rows in a sensor's own.

        ``group`` (n,): that of the row's sensor, -1 = none.
        """
        found = cls._of_all(x, sensor, prior)
        for _, rows in group_rows(np.zeros(0, np.intp) if group is None else group):
            members, code = np.unique(sensor[rows], return_inverse=True)
            own = cls._of_all(x[rows], code, prior)
            found.location[members], found.scale[members] = own.location[:-1], own.scale[:-1]
        return found

    @classmethod
    def _of_all(cls, x: NDArray[Any], sensor: NDArray[np.intp], prior: float) -> Self:
        groups = sensor_rows(sensor)
        known = [len(rows) ** 3 / (len(rows) ** 3 + 50) for rows in groups]
        step = max(SOME, AT_ONCE // max(1, len(x)))
        blocks = np.array_split(x, -(-x.shape[1] // step), axis=1)
        parts = [_measured(block.astype(np.float64), sensor, groups, known) for block in blocks]
        location, within, total, own, kept = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        log_scale = np.tile(np.log(total), (len(groups) + 1, 1))
        for s, rows in enumerate(groups):
            if len(rows):
                log_scale[s] += known[s] * (np.log(within) - np.log(total))
                log_scale[s] = shrunk_log_scale(own[s], len(rows), within, log_scale[s], prior)
        return cls(location, np.exp(log_scale), kept)

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


def _measured(
    x: NDArray[np.float64], sensor: NDArray[np.intp], groups: Sequence[NDArray[np.intp]], known: Sequence[float]
) -> tuple[NDArray[Any], ...]:
    """Of some columns (n, f): the locations, the robust scales of all rows about their sensors' locations and about the pool's,
    those of each sensor's rows (S, f), and which columns vary.
    """
    pool = np.median(x, axis=0)
    location = np.tile(pool, (len(groups) + 1, 1))
    for s, rows in enumerate(groups):
        if len(rows):
            location[s] += known[s] * (np.median(x[rows], axis=0) - pool)
    residual = x - location[sensor]
    within = robust_scale(residual)
    own = [robust_scale(residual[rows], within) if len(rows) else within for rows in groups]
    return location, within, robust_scale(x - pool), np.array(own).reshape(-1, x.shape[1]), varying(x)
