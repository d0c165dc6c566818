"""Mahalanobis distance with a Ledoit-Wolf covariance that is refitted without its farthest rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, NotFittedError, Params, StandAside, State
from vibro_plugins._tabular import Columns, flatten, in_blocks, one_thread

MOST_COLUMNS = 4096


@dataclass(frozen=True)
class MahalanobisParams(Params):
    """``trim``: share of the fit rows, the farthest, left out of each refit; ``rounds``: most refits."""

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    rounds: Annotated[int, Field(ge=1, le=100)] = 8


class Mahalanobis(Detector):
    """Distance of a row from the bulk of the fit rows, in units of their own scatter.

    score = sqrt((z - m)' S^-1 (z - m) / p), z the p varying columns, robustly standardised. S is the Ledoit-Wolf
    shrinkage estimate (Journal of Multivariate Analysis 88, 2004), so that more columns than rows are no obstacle.
    m and S start from the rows nearest to the medians and are refitted on the nearest (1 - trim) n rows until these stay
    the same: the concentration step of Rousseeuw and Van Driessen (Technometrics 41, 1999). View: a vector a row.
    """

    name = "mahalanobis"
    summary = "Mahalanobis distance, Ledoit-Wolf covariance, refitted without the farthest rows"
    Params = MahalanobisParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "mains"}
    test_settings: ClassVar[dict[str, Any]] = {"rounds": 3}

    _columns: Columns | None = None
    _centre: NDArray[np.float64]
    _whiten: NDArray[np.float64]

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); StandAside with too few rows, too many columns or none that varies."""
        features = flatten(x).shape[1]
        if len(x) < 5:
            raise StandAside(f"{len(x)} fit rows are too few for a covariance; 5 are needed")
        if features > MOST_COLUMNS:
            raise StandAside(
                f"{features} columns are too many for a covariance (at most {MOST_COLUMNS}); name another view"
            )
        with one_thread():
            self._concentrate(x)

    def _concentrate(self, x: NDArray[np.float32]) -> None:
        columns = Columns.fit(x)
        z = columns.apply(x)
        keep = len(z) - int(self.params.trim * len(z))
        nearest = _nearest(np.sqrt(np.abs(z)).sum(axis=1), keep)
        for _ in range(self.params.rounds):
            centre = z[nearest].mean(axis=0)
            whiten = _whitening(z[nearest] - centre)
            last, nearest = nearest, _nearest(_distance(z - centre, whiten), keep)
            if np.array_equal(last, nearest):
                break
        self._columns, self._centre, self._whiten = columns, centre, whiten

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        columns = self._fitted()
        return in_blocks(lambda rows: _distance(columns.apply(rows) - self._centre, self._whiten), x)

    def state(self) -> State:
        """Columns, centre and the whitening matrix."""
        return {**self._fitted().state(), "centre": self._centre, "whiten": self._whiten}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._columns, self._centre, self._whiten = Columns.load(state), state["centre"], state["whiten"]

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("mahalanobis is not fitted")
        return self._columns


def _nearest(distance: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Sorted indices of the ``count`` smallest."""
    return np.sort(np.argsort(distance, kind="stable")[:count])


def _distance(centred: NDArray[np.float64], whiten: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square of the whitened rows."""
    white = centred @ whiten
    return np.sqrt(np.mean(white * white, axis=1))


def _whitening(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """W (p, p) with W W' the inverse of the Ledoit-Wolf covariance of the centred rows.

    S = (1 - r) C + r m I with C the sample covariance and m its mean variance; r = b / d, where d is the squared distance
    of C from m I and b, at most d, the summed sampling variance of C's entries: sum |x_i|^4 / n^2 - |C|^2 / n.
    """
    from scipy.linalg import cholesky, solve_triangular

    n, p = centred.shape
    covariance = centred.T @ centred / n
    mean = np.trace(covariance) / p
    size = np.sum(covariance * covariance)
    d = size - p * mean**2
    b = np.sum(np.sum(centred * centred, axis=1) ** 2) / n**2 - size / n
    shrink = min(max(b / d, 1e-6), 1.0) if d > 0 else 1.0
    covariance *= 1 - shrink
    covariance[np.diag_indices(p)] += shrink * mean
    lower = cholesky(covariance, lower=True, overwrite_a=True)
    return np.ascontiguousarray(solve_triangular(lower, np.eye(p), lower=True, overwrite_b=True).T)


@hookimpl
def register_detectors(register) -> None:
    """Offers ``mahalanobis``."""
    register(Mahalanobis)
