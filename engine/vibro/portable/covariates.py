"""What load, temperature or other covariates explain of a value, with numpy alone: ``vibro.scoring.regression`` frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def or_pool(sensor: NDArray[Any], sensors: int) -> NDArray[np.intp]:
    """Row of each sensor code (n,) in a table of ``sensors`` + 1 rows; an unknown sensor has the last one."""
    return np.where((sensor < 0) | (sensor >= sensors), sensors, sensor).astype(np.intp)


def residual(arrays: Arrays, x: NDArray[Any], covariates: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float64]:
    """Values (n, f) less what a quadratic regression on the covariates (n, k) makes of them; NaN = not known."""
    low, high, pairs = arrays["basis.low"], arrays["basis.high"], arrays["basis.pairs"]
    middle = arrays["basis.middle"][or_pool(sensor, len(arrays["basis.middle"]) - 1)]
    held = np.clip(np.where(np.isfinite(covariates), covariates, middle), low, high)
    unit = (held - (low + high) / 2) / np.where(high > low, high - low, 1.0)
    columns = np.concatenate([unit, unit[:, pairs[:, 0]] * unit[:, pairs[:, 1]]], axis=1)
    columns = (columns - arrays["basis.mean"]) / arrays["basis.scale"]
    row = or_pool(sensor, len(arrays["coefficients"]) - 1)
    left = x - arrays["coefficients"][row, 0]
    for j, column in enumerate(columns.T, 1):
        left = left - column[:, None] * arrays["coefficients"][row, j]
    return np.asarray(left, np.float64)
