"""Effect of load, temperature or other covariates on a quantity: one robust regression per sensor, shrunk to the pooled one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import combinations_with_replacement
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vibro.portable.covariates import columns, residual

Columns = NDArray[np.float64]  # (rows, f)
HUBER = 1.5  # scales at which residuals are clipped
INSIDE = 0.866  # share of normal residuals that are not
ROUNDS = 12
FEWEST = 20  # rows below which nothing is regressed
A_GROUP = 20  # rows from which a group of like sensors is the pool of its sensors
SHRINKAGE = 5.0  # rows that the pooled coefficients count for


@dataclass(frozen=True)
class Regression:
    """Expected value of each column given the covariates, for every sensor.

    Quadratic with products (load acts through its square, and temperature shifts the modes through which it acts), linear
    where rows are few; robust by Huber's modified residuals (Robust Statistics, 1981, 7.8); fitted to all rows, then to each
    sensor's with a ridge towards the pool's coefficients that counts for ``shrinkage`` rows: sensors of one machine answer to
    load in their own way, often with opposite sign. Covariates are held within the range seen at fit. A missing one (NaN)
    is taken at the sensor's median; unknown sensors (code -1) use the pool's regression.
    """

    basis: Basis
    coefficients: NDArray[np.floating[Any]]  # (sensors + 1, p, f); the last one is the pool's

    @classmethod
    def fit(
        cls,
        x: Columns,
        covariates: NDArray[np.float64],
        sensor: NDArray[np.signedinteger[Any]],
        sensors: int,
        shrinkage: float = SHRINKAGE,
        basis: Basis | None = None,
    ) -> tuple[Self, Columns, NDArray[np.float64]] | None:
        """From values (n, f), covariates (n, k) with NaN for missing and sensor codes (n,), -1 = unknown; on a given basis.

        Also gives the residuals (n, f) that the rows would have, had each been left out of the fit, and what that adds to
        a row's cut residual (n,) (Cook and Weisberg, Residuals and Influence in Regression, 1982, 2.2): a fit follows its
        own rows, and new ones would all lie farther out than those. None with fewer than 20 rows or nothing to regress on.
        """
        from threadpoolctl import threadpool_limits

        if len(x) < FEWEST or not np.isfinite(covariates).any():
            return None
        basis = basis or Basis.fit(covariates, sensor)
        design = basis.design(covariates, sensor)
        width = design.shape[1]
        with threadpool_limits(1):
            pool = huber_regression(design, x, np.zeros((width, x.shape[1])), np.zeros(width))
            coefficients = np.tile(pool, (sensors + 1, 1, 1))
            residual = x - design @ pool
            leverages = np.zeros(len(x))
            for s, rows in enumerate(sensor_rows(sensor)):
                if not len(rows):
                    continue
                ridge = np.append(50 / len(rows) ** 2, np.full(width - 1, shrinkage))
                coefficients[s] = huber_regression(design[rows], x[rows], pool, ridge)
                residual[rows] = x[rows] - design[rows] @ coefficients[s]
                leverages[rows] = leverage(design[rows], ridge)
                cut = HUBER * robust_scale(residual[rows])
                residual[rows] += leverages[rows, None] * np.clip(residual[rows], -cut, cut)
        return cls(basis, coefficients), residual, leverages

    def residual(self, x: Columns, covariates: NDArray[np.float64], sensor: NDArray[np.signedinteger[Any]]) -> Columns:
        """What is left of values (n, f) without what the covariates explain; each row by itself."""
        return residual(self.state(), x, covariates, sensor)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a component's state."""
        return {"coefficients": self.coefficients, **self.basis.state()}

    @classmethod
    def load(cls, state: Mapping[str, NDArray[Any]]) -> Self | None:
        """Back from ``state``; None where there is none."""
        return cls(Basis.load(state), state["coefficients"]) if "coefficients" in state else None


@dataclass(frozen=True)
class Basis:
    """Covariates as columns of a regression: 1, each covariate, their squares and products, standardised at fit."""

    middle: NDArray[np.float64]  # (sensors + 1, k) stands in for what is missing; the last row is the pool's
    low: NDArray[np.float64]  # (k,) range seen at fit
    high: NDArray[np.float64]
    pairs: NDArray[np.int64]  # (q, 2) covariates multiplied
    mean: NDArray[np.float64]  # (k + q,) of the columns at fit
    scale: NDArray[np.float64]

    @classmethod
    def fit(
        cls, covariates: NDArray[np.float64], sensor: NDArray[np.signedinteger[Any]], fewest: int | None = None
    ) -> Self:
        """From (n, k) with NaN for missing; squares and products only where a column has ten rows to stand on.

        ``fewest``: rows of the smallest of several regressions on it.
        """
        n, k = covariates.shape
        n = n if fewest is None else fewest
        pool = _median(covariates, np.zeros(k))
        middle = np.stack([*(_median(covariates[rows], pool) for rows in sensor_rows(sensor)), pool])
        filled = np.where(np.isfinite(covariates), covariates, pool)
        pairs = np.array(list(combinations_with_replacement(range(k), 2)), np.int64).reshape(-1, 2)
        if n < 10 * (1 + k + len(pairs)):
            pairs = pairs[:0]
        plain = cls(
            middle, filled.min(axis=0), filled.max(axis=0), pairs, np.zeros(k + len(pairs)), np.ones(k + len(pairs))
        )
        found = columns(plain.state(), covariates, sensor)
        scale = found.std(axis=0)
        return cls(middle, plain.low, plain.high, pairs, found.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def design(self, covariates: NDArray[np.float64], sensor: NDArray[np.signedinteger[Any]]) -> Columns:
        """(n, 1 + k + q) from (n, k) and sensor codes (n,)."""
        found = columns(self.state(), covariates, sensor)
        return np.concatenate([np.ones((len(found), 1)), found], axis=1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a component's state."""
        return {f"basis.{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def load(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Back from ``state``."""
        return cls(**{field.name: state[f"basis.{field.name}"] for field in fields(cls)})


def _median(covariates: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Medians (k,) of what is known, ``otherwise`` where nothing is."""
    known = [column[np.isfinite(column)] for column in covariates.T]
    return np.array([np.median(c) if len(c) else o for c, o in zip(known, otherwise, strict=True)], np.float64)


def robust_scale(residual: Columns, otherwise: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Robust scale (f,) of columns about zero: 1.4826 MAD, not below an eighth of the 80 % quantile of abs(residual).

    The floor keeps a column that is nearly one value from owning every distance, and is blind to a fifth of anomalies
    however far. Where both are 0 the root mean square stands in, then ``otherwise`` (f,), then 1.
    """
    middle, high = np.quantile(np.abs(residual), [0.5, 0.8], axis=0)
    value = np.maximum(1.4826 * middle, high / 8)
    value = np.where(value > 0, value, np.sqrt(np.mean(residual**2, axis=0)))
    return np.where(value > 0, value, 1.0 if otherwise is None else otherwise)


def varying(x: Columns) -> NDArray[np.bool_]:
    """(f,) columns that differ over the rows by more than float32 noise."""
    high, low = x.max(axis=0).astype(np.float64), x.min(axis=0).astype(np.float64)
    return np.asarray(high - low > 1e-6 * np.maximum(high, -low))


def sensor_rows(sensor: NDArray[np.signedinteger[Any]], sensors: int | None = None) -> list[NDArray[np.intp]]:
    """Rows of each sensor code below ``sensors``, by default of all that occur; rows of unknown sensors (-1) are in none."""
    count = int(sensor.max(initial=-1)) + 1 if sensors is None else sensors
    order = np.argsort(sensor, kind="stable")
    return np.split(order, np.searchsorted(sensor[order], np.arange(count + 1)))[1:-1]


def group_rows(group: NDArray[np.signedinteger[Any]]) -> list[tuple[int, NDArray[np.intp]]]:
    """Code and rows of each group of like sensors that has 20 or more; ``group`` (n,), -1 = none."""
    return [(g, rows) for g, rows in enumerate(sensor_rows(group)) if len(rows) >= A_GROUP]


def huber_regression(design: Columns, x: Columns, prior: Columns, ridge: NDArray[np.float64]) -> Columns:
    """Coefficients (p, f) of x (n, f) on design (n, p) under Huber's loss, shrunk to ``prior`` (p, f) by ``ridge`` (p,) rows.

    Huber's modified residuals: least squares on fitted value + cut residual, again and again; one factorisation serves
    every column and round.
    """
    gram = design.T @ design
    gram[np.diag_indices(len(gram))] += ridge + 1e-6 * len(design)
    solve = np.linalg.solve(gram, design.T)
    b = prior + solve @ (x - design @ prior)
    for turn in range(ROUNDS):
        residual = x - design @ b
        if turn < 4:
            cut = HUBER * robust_scale(residual)
        b = prior + solve @ (design @ (b - prior) + np.clip(residual, -cut, cut))
    return b


def leverage(design: Columns, ridge: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) share of its cut residual that each row's residual grows by, if ``huber_regression`` is fitted without it.

    h / (1 - h) with h the row's leverage over the share of rows that are not cut; h is held below one half.
    """
    gram = design.T @ design
    gram[np.diag_indices(len(gram))] += ridge + 1e-6 * len(design)
    h = np.sum(design * np.linalg.solve(gram, design.T).T, axis=1) / INSIDE
    h = np.clip(h, 0.0, 0.5)
    return np.asarray(h / (1.0 - h))
