"""Operating states that a model has seen: beyond them its reference does not say what is normal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.scoring.regression import sensor_rows

A_CONSTANT = 20  # rows that share a value, from which any other one is said to be beyond
A_COLUMN = 5  # fit rows for each column of the model of states, below which nothing is said
WIDEST = 6  # covariates up to which squares and products count
RIDGE = 1e-3  # share of a row's weight a column; covariates that repeat each other span no direction of their own

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Domain:
    """The states of the fit rows by their leverage in a quadratic model of the covariates.

    A state is beyond them when its leverage is above that which every fit row has for a fit without it: the
    applicability domain of a regression (Cook and Weisberg, Residuals and Influence in Regression, 1982, 2.1; as used for
    models of chemical structure by Gramatica, QSAR and Combinatorial Science 2007). Of exchangeable states one in n + 1
    is beyond. Each sensor has its own states if it has rows enough, else those of the pool.

    Of a covariate that did not vary over the fit rows, any other value is beyond.

    ``arrays``: ``mean`` and ``scale`` (k,) of the covariates, inf = did not vary (its mean NaN: in too few rows);
    ``inverse`` (sensors + 1, p, p), ``usual`` (sensors + 1,) mean leverage of the fit rows and ``limit`` (sensors + 1,),
    with the pool as the last row, inf = nothing is said.
    """

    arrays: State

    @classmethod
    def fit(cls, covariates: NDArray[np.floating], sensor: NDArray[np.int32], sensors: int) -> Domain:
        """From covariates (n, k) with NaN for missing and sensor codes (n,), -1 = unknown."""
        values = np.asarray(covariates, dtype=np.float64)
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        spread = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
        scale = np.where(spread > 1e-9 * np.maximum(1.0, np.abs(mean)), spread, np.inf)  # one that does not vary is 0
        mean[np.isinf(scale) & (known.sum(axis=0) < A_CONSTANT)] = np.nan
        design = _design(values, mean, scale)
        p = design.shape[1]
        inverse, usual, limit = np.zeros((sensors + 1, p, p)), np.ones(sensors + 1), np.full(sensors + 1, np.inf)
        for s, mine in enumerate([*sensor_rows(sensor, sensors), np.arange(len(design))]):
            rows = design[mine]
            if p > 1 and np.isfinite(scale).any() and len(rows) >= A_COLUMN * p:
                inverse[s] = np.linalg.inv(rows.T @ rows + RIDGE * len(rows) * np.eye(p))
                h = np.sum(rows @ inverse[s] * rows, axis=1)
                usual[s], limit[s] = np.mean(h), np.max(h / (1.0 - h))
        return cls({"mean": mean, "scale": scale, "inverse": inverse, "usual": usual, "limit": limit})

    def beyond(self, covariates: NDArray[np.floating], sensor: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(n,) states beyond those of the fit rows; of a state that is not wholly known only fixed covariates speak."""
        values, mean = np.asarray(covariates, dtype=np.float64), self.arrays["mean"]
        away = np.abs(values - mean) > 1e-6 * np.maximum(1.0, np.abs(mean))
        fixed = np.any(away & np.isinf(self.arrays["scale"]) & np.isfinite(values), axis=1)
        return np.asarray(fixed | (self._leverage(values, sensor) > self.arrays["limit"][self._group(sensor)]))

    def rarity(self, covariates: NDArray[np.floating], sensor: NDArray[np.int32], fitted: bool = False) -> Floats:
        """(n,) leverage of each state over that of the fit rows in the mean; 0 where nothing is said of it.

        ``fitted`` rows have it as for a fit without them.
        """
        h = self._leverage(np.asarray(covariates, dtype=np.float64), sensor)
        return np.asarray((h / (1.0 - h) if fitted else h) / self.arrays["usual"][self._group(sensor)])

    def _leverage(self, values: Floats, sensor: NDArray[np.int32]) -> Floats:
        """(n,) leverage of the states (n, k); 0 where nothing is said of it."""
        mean, scale = self.arrays["mean"], self.arrays["scale"]
        group, h = self._group(sensor), np.zeros(len(values))
        told = np.isfinite(self.arrays["limit"][group]) & np.isfinite(values[:, np.isfinite(scale)]).all(axis=1)
        for s in np.unique(group[told]):
            mine = np.flatnonzero(told & (group == s))
            design = _design(values[mine], mean, scale)
            h[mine] = np.sum(design @ self.arrays["inverse"][s] * design, axis=1)
        return h

    def _group(self, sensor: NDArray[np.int32]) -> NDArray[np.intp]:
        """(n,) whose states a record's is compared with: those of its sensor, else, as the last one, all."""
        limit = self.arrays["limit"]
        return np.where((sensor >= 0) & np.isfinite(limit[sensor]), sensor, len(limit) - 1)


def _design(covariates: Floats, mean: Floats, scale: Floats) -> Floats:
    """(n, p) columns: 1, the standardised covariates, and of a few covariates their squares and products."""
    unit = np.nan_to_num((covariates - mean) / scale)
    k = unit.shape[1]
    pairs = list(combinations_with_replacement(range(k), 2)) if k <= WIDEST else []
    products = [unit[:, i] * unit[:, j] for i, j in pairs]
    return np.column_stack([np.ones(len(unit)), unit, *products])
