"""The bulk of contaminated rows: centre and shrunk covariance, refitted without the farthest rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.3  # least spread of a column among the rows kept, as a share of its spread among all
RIDGE = 0.03  # added to every variance of 1: no direction counts as known better than that
REACH = 3.0  # normal deviations of the log distance within which a row counts as sound
WINSOR = 12.0  # robust units beyond which a value adds nothing to its column's spread


@dataclass(frozen=True)
class Scatter:
    """Centre of ``rows`` rows, and W with W W' the inverse of their regularised covariance, scales of columns included."""

    centre: NDArray[np.float64]  # (p,)
    whiten: NDArray[np.float64]  # (p, p)
    shrink: float
    rows: int

    @classmethod
    def fit(cls, z: NDArray[np.float64], spread: NDArray[np.float64]) -> Scatter:
        """From (n, p) and the spread (p,) of each column among all rows, of which these are the nearest."""
        from scipy.linalg import cholesky, solve_triangular

        centre = z.mean(axis=0)
        scale = np.maximum(z.std(axis=0), FLOOR * spread)
        covariance, shrink = ledoit_wolf((z - centre) / scale)
        covariance[np.diag_indices(len(scale))] += RIDGE
        lower = cholesky(covariance, lower=True, overwrite_a=True)
        inverse = solve_triangular(lower, np.eye(len(scale)), lower=True, overwrite_b=True)
        return cls(centre, np.ascontiguousarray(inverse.T / scale[:, None]), shrink, len(z))

    def distance(self, z: NDArray[np.float64], own: NDArray[Any]) -> NDArray[np.float64]:
        """Root mean square of the whitened rows (n, p); the rows ``own`` (index or mask) as if left out of the fit.

        Without row i, whose c = z_i - centre, the centre moves by c / (n - 1) and (n - 1) / n times the sample covariance C
        is C - c c' / (n - 1); shrinkage and scales stay.
        """
        white = (z - self.centre) @ self.whiten
        squared = np.sum(white * white, axis=1)
        n = self.rows
        part = (1 - self.shrink) / (n - 1)
        squared[own] *= (n / (n - 1)) ** 2 / np.maximum(1 - part * squared[own], 1e-6)
        return np.asarray(np.sqrt(squared / z.shape[1]))


def ledoit_wolf(centred: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(1 - r) C + r m I and r for centred rows (n, p); m is the mean variance (Ledoit, Wolf, J. Multivariate Anal. 88, 2004).

    r = b / d: d is the squared distance of C from m I; b, at most d, the summed sampling variance of the entries of C,
    sum |c_i|^4 / n^2 - |C|^2 / n.
    """
    n, p = centred.shape
    covariance = centred.T @ centred / n
    mean = np.trace(covariance) / p
    size = np.sum(covariance * covariance)
    d = size - p * mean**2
    b = np.sum(np.sum(centred * centred, axis=1) ** 2) / n**2 - size / n
    shrink = float(min(max(b / d, 0.0), 1.0)) if d > 0 else 1.0
    covariance *= 1 - shrink
    covariance[np.diag_indices(p)] += shrink * mean
    return covariance, shrink


def concentrate(z: NDArray[np.float64], trim: float, rounds: int) -> tuple[Scatter, NDArray[np.intp]]:
    """The scatter of the nearest (1 - trim) n rows of z (n, p), and their indices.

    From the rows nearest to the medians, refitted on the nearest until these stay the same: the concentration step of
    Rousseeuw and Van Driessen (Technometrics 41, 1999), each kept row measured as if left out.
    """
    keep = len(z) - int(trim * len(z))
    spread = np.clip(z, -WINSOR, WINSOR).std(axis=0)
    inside = _nearest(np.sqrt(np.abs(z) / spread).sum(axis=1), keep)
    for _ in range(rounds):
        scatter, fitted = Scatter.fit(z[inside], spread), inside
        inside = _nearest(scatter.distance(z, inside), keep)
        if np.array_equal(fitted, inside):
            break
    return scatter, fitted


def reweighted(
    z: NDArray[np.float64], scatter: Scatter, inside: NDArray[np.intp], rounds: int
) -> tuple[Scatter, NDArray[np.intp]]:
    """The scatter of all rows within reach of the bulk of z (n, p), and their indices: sound rows that were trimmed come
    back, and faults beyond the trimmed share go.

    Within reach: log distance at most ``REACH`` deviations above its median, by the spread of its lower half, which at
    least half of the rows are. The reweighting step of Rousseeuw and Van Driessen (Technometrics 41, 1999), with a cut
    from the distances themselves, for under shrinkage they do not follow chi squared.
    """
    spread = np.clip(z, -WINSOR, WINSOR).std(axis=0)
    for _ in range(rounds):
        distance = np.log(np.maximum(scatter.distance(z, inside), 1e-12))
        low, middle = np.quantile(distance, (0.25, 0.5))
        within = np.flatnonzero(distance <= middle + REACH * (middle - low) / 0.6745)
        if np.array_equal(within, inside):
            break
        scatter, inside = Scatter.fit(z[within], spread), within
    return scatter, inside


def _nearest(distance: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Sorted indices of the ``count`` smallest."""
    return np.sort(np.argsort(distance, kind="stable")[:count])
