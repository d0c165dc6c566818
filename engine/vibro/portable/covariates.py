"""What load, temperature or other covariates explain of a value, with numpy alone: ``vibro.scoring.regression`` as it scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


def or_pool(sensor: NDArray[np.signedinteger[Any]], sensors: int) -> NDArray[np.intp]:
    """Index into per-sensor tables of ``sensors`` + 1 rows whose last row is the pool's: unknown sensors take that."""
    return np.where((sensor < 0) | (sensor >= sensors), sensors, sensor)


def columns(
    arrays: Arrays, covariates: NDArray[np.float64], sensor: NDArray[np.signedinteger[Any]]
) -> NDArray[np.float64]:
    """(n, k + q) standardised covariates and their products from (n, k), NaN = not known, and sensor codes (n,)."""
    low, high, pairs = arrays["basis.low"], arrays["basis.high"], arrays["basis.pairs"]
    middle = arrays["basis.middle"]
    known = np.where(np.isfinite(covariates), covariates, middle[or_pool(sensor, len(middle) - 1)])
    held = np.clip(known, low, high)
    reach = np.where(high > low, high - low, 1.0)
    unit = (held - (low + high) / 2) / reach
    products = unit[:, pairs[:, 0]] * unit[:, pairs[:, 1]]
    return np.asarray((np.concatenate([unit, products], axis=1) - arrays["basis.mean"]) / arrays["basis.scale"])


def residual(
    arrays: Arrays,
    x: NDArray[np.float64],
    covariates: NDArray[np.float64],
    sensor: NDArray[np.signedinteger[Any]],
) -> NDArray[np.float64]:
    """Values (n, f) less what a regression on the covariates (n, k) makes of them; each row by itself."""
    table = arrays["coefficients"]
    row = or_pool(sensor, len(table) - 1)
    left: NDArray[np.float64] = x - table[row, 0]
    for j, column in enumerate(columns(arrays, covariates, sensor).T, 1):
        left = left - column[:, None] * table[row, j]
    return left
