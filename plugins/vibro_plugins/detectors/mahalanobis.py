"""Mahalanobis distance with a Ledoit-Wolf covariance that is refitted without its farthest rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, NotFittedError, Params, StandAside, State
from vibro_plugins._tabular import Columns, flatten, in_blocks, one_thread, row_keys

LEAST_ROWS, MOST_COLUMNS = 5, 4096


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
    the same: the concentration step of Rousseeuw and Van Driessen (Technometrics 41, 1999).

    A row that m and S were fitted on is measured as if it had been left out (rank-one downdate of C, shrinkage kept),
    in the refits and in ``score``: with few rows a fit follows each of its own, and the rows that an early refit happened
    to leave out would stay out. View: a vector a row.
    """

    name = "mahalanobis"
    summary = "Mahalanobis distance, Ledoit-Wolf covariance, refitted without the farthest rows"
    Params = MahalanobisParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "mains"}
    test_settings: ClassVar[dict[str, Any]] = {"rounds": 3}

    _columns: Columns | None = None
    _model: Scatter
    _own: NDArray[np.uint64]  # keys of the rows that the model was fitted on, sorted

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); StandAside with too few rows, too many columns or none that varies."""
        features = flatten(x).shape[1]
        if len(x) < LEAST_ROWS:
            raise StandAside(f"{len(x)} fit rows are too few for a covariance; {LEAST_ROWS} are needed")
        if features > MOST_COLUMNS:
            raise StandAside(
                f"{features} columns are too many for a covariance (at most {MOST_COLUMNS}); name another view"
            )
        with one_thread():
            columns = Columns.fit(x)
            z = columns.apply(x)
            keep = len(z) - int(self.params.trim * len(z))
            inside = _nearest(np.sqrt(np.abs(z)).sum(axis=1), keep)
            for _ in range(self.params.rounds):
                model, last = Scatter.fit(z[inside]), inside
                inside = _nearest(model.distance(z, inside), keep)
                if np.array_equal(last, inside):
                    break
        self._columns, self._model, self._own = columns, model, np.sort(row_keys(x[last]))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        columns = self._fitted()
        return in_blocks(lambda rows: self._model.distance(columns.apply(rows), np.isin(row_keys(rows), self._own)), x)

    def state(self) -> State:
        """Columns, centre, whitening matrix, and keys of the rows they come from."""
        return {
            **self._fitted().state(),
            "centre": self._model.centre,
            "whiten": self._model.whiten,
            "shrink": np.array(self._model.shrink),
            "own": self._own,
        }

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._own = state["own"]
        self._model = Scatter(state["centre"], state["whiten"], float(state["shrink"]), len(self._own))
        self._columns = Columns.load(state)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("mahalanobis is not fitted")
        return self._columns


@dataclass(frozen=True)
class Scatter:
    """Centre and Ledoit-Wolf covariance S of ``rows`` rows: S = (1 - r) C + r m I, W W' = S^-1, m the mean variance."""

    centre: NDArray[np.float64]  # (p,)
    whiten: NDArray[np.float64]  # W (p, p)
    shrink: float  # r
    rows: int

    @classmethod
    def fit(cls, z: NDArray[np.float64]) -> Scatter:
        """From (n, p). r = b / d: d the squared distance of C from m I; b, at most d, the summed sampling variance of C's
        entries, sum |z_i|^4 / n^2 - |C|^2 / n.
        """
        from scipy.linalg import cholesky, solve_triangular

        n, p = z.shape
        centre = z.mean(axis=0)
        centred = z - centre
        covariance = centred.T @ centred / n
        mean = np.trace(covariance) / p
        size = np.sum(covariance * covariance)
        d = size - p * mean**2
        b = np.sum(np.sum(centred * centred, axis=1) ** 2) / n**2 - size / n
        shrink = min(max(b / d, 1e-6), 1.0) if d > 0 else 1.0
        covariance *= 1 - shrink
        covariance[np.diag_indices(p)] += shrink * mean
        lower = cholesky(covariance, lower=True, overwrite_a=True)
        whiten = np.ascontiguousarray(solve_triangular(lower, np.eye(p), lower=True, overwrite_b=True).T)
        return cls(centre, whiten, float(shrink), n)

    def distance(self, z: NDArray[np.float64], own: NDArray[Any]) -> NDArray[np.float64]:
        """Root mean square of the whitened rows (n, p); the rows ``own`` (index or mask) as if left out of the fit.

        Without row i, whose c = z_i - m, the centre moves by c / (n - 1) and (n - 1) / n times C is C - c c' / (n - 1).
        """
        white = (z - self.centre) @ self.whiten
        squared = np.sum(white * white, axis=1)
        n = self.rows
        part = (1 - self.shrink) / (n - 1)
        squared[own] *= (n / (n - 1)) ** 2 / np.maximum(1 - part * squared[own], 1e-6)
        return np.sqrt(squared / z.shape[1])


def _nearest(distance: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Sorted indices of the ``count`` smallest."""
    return np.sort(np.argsort(distance, kind="stable")[:count])


@hookimpl
def register_detectors(register) -> None:
    """Offers ``mahalanobis``."""
    register(Mahalanobis)
