"""Robust centre and covariance of contaminated rows: Ledoit-Wolf estimates refitted without the farthest rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.stats.columns import by_columns

FLOOR = 0.3  # least deviation of a column among the rows kept, as a share of that among all
RIDGE = 0.03  # added to every variance of 1: no direction is taken to be known better than that
REACH = 3.0  # deviations of the log distance within which a row counts as normal
WINSOR = 12.0  # robust units at which values are clipped before the deviation of a column is taken


@dataclass(frozen=True)
class Scatter:
    """Centre of ``rows`` rows, and W with W W' the inverse of their regularised covariance."""

    centre: NDArray[np.float64]  # (p,)
    whiten: NDArray[np.float64]  # (p, p), scales of the columns included
    shrinkage: float
    rows: int

    @classmethod
    def fit(cls, z: NDArray[np.float64], deviation: NDArray[np.float64], *, overwrite: bool = False) -> Scatter:
        """From the rows kept (n, p) and the standard deviation (p,) of each column among all rows.

        ``overwrite``: the rows are not needed any more, which spares a copy of them.
        Ledoit and Wolf, J. Multivariate Anal. 88 (2004), on columns of unit variance, plus a ridge.
        """
        from scipy.linalg import cholesky, solve_triangular

        centre = z.mean(axis=0)
        scale = np.maximum(by_columns(lambda part: part.std(axis=0), z), FLOOR * deviation)
        unit = np.subtract(z, centre, out=z if overwrite else None)
        unit /= scale
        covariance, shrinkage = ledoit_wolf(unit)
        covariance[np.diag_indices(len(scale))] += RIDGE
        lower = cholesky(covariance, lower=True, overwrite_a=True)
        inverse = solve_triangular(lower, np.eye(len(scale)), lower=True, overwrite_b=True)
        return cls(centre, np.ascontiguousarray(inverse.T / scale[:, None]), shrinkage, len(z))

    def distance(self, z: NDArray[np.float64], own: NDArray[Any]) -> NDArray[np.float64]:
        """Root mean square of the whitened rows (n, p); the rows ``own`` (index or mask) as if left out of the fit.

        Leaving out row i with c = z_i - centre moves the centre by c / (n - 1) and changes (n - 1) / n times the sample
        covariance by -c c' / (n - 1) (Sherman-Morrison); shrinkage and scales are kept.
        """
        white = (z - self.centre) @ self.whiten
        squared = np.sum(white * white, axis=1)
        n = self.rows
        part = (1 - self.shrinkage) / (n - 1)
        squared[own] *= (n / (n - 1)) ** 2 / np.maximum(1 - part * squared[own], 1e-6)
        return np.asarray(np.sqrt(squared / z.shape[1]))


def ledoit_wolf(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Covariance (p, p) of centred rows (n, p), shrunk towards a multiple of the identity, and the shrinkage.

    Ledoit and Wolf, J. Multivariate Anal. 88 (2004). The sum of the fourth moments is taken row by row, so that one matrix
    product is enough.
    """
    n, p = x.shape
    covariance = x.T @ x / n
    mean = float(np.trace(covariance)) / p
    squared = float(np.sum(covariance * covariance))
    fourth = float(np.sum(np.einsum("ij,ij->i", x, x) ** 2)) / n
    distance = squared - p * mean * mean
    shrinkage = min((fourth - squared) / n, distance) / distance if min(fourth - squared, distance) > 0 else 0.0
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(p)] += shrinkage * mean
    return covariance, shrinkage


def winsorised(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation (p,) of the columns of z (n, p) clipped to ``WINSOR``."""
    return by_columns(lambda part: np.clip(part, -WINSOR, WINSOR).std(axis=0), z)


def concentrate(z: NDArray[np.float64], trim: float, rounds: int) -> tuple[Scatter, NDArray[np.intp]]:
    """The scatter of the nearest (1 - trim) n rows of z (n, p), and their indices.

    Starts from the rows nearest to the medians and refits until the nearest rows stay the same: the concentration step of
    Rousseeuw and Van Driessen (Technometrics 41, 1999), each kept row measured as if left out.
    """
    keep = len(z) - int(trim * len(z))
    deviation = winsorised(z)
    inside = _nearest(np.sqrt(np.abs(z) / deviation).sum(axis=1), keep)
    for _ in range(rounds):
        scatter, fitted = Scatter.fit(z[inside], deviation), inside
        inside = _nearest(scatter.distance(z, inside), keep)
        if np.array_equal(fitted, inside):
            break
    return scatter, fitted


def reweighted(
    z: NDArray[np.float64], scatter: Scatter, inside: NDArray[np.intp], rounds: int
) -> tuple[Scatter, NDArray[np.intp]]:
    """The scatter of all rows of z (n, p) within reach of the bulk, and their indices: normal rows that were trimmed are
    included again, faults beyond the trimmed share are excluded.

    Within reach: log distance at most ``REACH`` deviations above its median, the deviation taken from the lower half of
    the distances. The reweighting step of Rousseeuw and Van Driessen (Technometrics 41, 1999), with a cut from the
    distances themselves, since under shrinkage they do not follow chi squared.
    """
    deviation = winsorised(z)
    for _ in range(rounds):
        distance = np.log(np.maximum(scatter.distance(z, inside), 1e-12))
        low, middle = np.quantile(distance, (0.25, 0.5))
        within = np.flatnonzero(distance <= middle + REACH * (middle - low) / 0.6745)
        if np.array_equal(within, inside):
            break
        scatter, inside = Scatter.fit(z[within], deviation), within
    return scatter, inside


def _nearest(distance: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Sorted indices of the ``count`` smallest."""
    return np.sort(np.argsort(distance, kind="stable")[:count])
