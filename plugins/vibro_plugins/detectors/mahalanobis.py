"""Mahalanobis distance with a Ledoit-Wolf covariance that is refitted without its farthest rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.stats.columns import Columns, flatten, in_blocks, one_thread, row_keys
from vibro_plugins.stats.covariance import Scatter, concentrate, reweighted

LEAST_ROWS, MOST_COLUMNS = 5, 4096


@dataclass(frozen=True)
class MahalanobisParams(Params):
    """``trim``: share of the fit rows, the farthest, left out of each refit, 0: all rows count; ``rounds``: most refits;
    ``reweight``: whether all rows within reach of the bulk count in the end.
    """

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    rounds: Annotated[int, Field(ge=1, le=100)] = 8
    reweight: bool = True


class Mahalanobis(Detector):
    """Distance of a row from the bulk of the fit rows, in units of their own scatter.

    score = sqrt((z - m)' S^-1 (z - m) / p), z the p varying columns. S is the Ledoit-Wolf shrinkage estimate in units of
    each column's spread, so that more columns than rows are no obstacle; m and S are refitted without the farthest rows
    (``_scatter.concentrate``), so that anomalies among the fit rows do not hide themselves, and then with all rows within
    reach of that bulk (``_scatter.reweighted``), so that the share of anomalies need not be known.

    A row that m and S come from is measured as if it had been left out, in the refits and in ``score``: with few rows a
    fit follows each of its own, and the rows that an early refit happened to leave out would stay out.
    View: a vector a row.
    """

    name = "mahalanobis"
    summary = "Mahalanobis distance, Ledoit-Wolf covariance, refitted without the farthest rows"
    Params = MahalanobisParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "mains"}
    test_settings: ClassVar[dict[str, Any]] = {"rounds": 3}

    _columns: Columns | None = None
    _scatter: Scatter
    _own: NDArray[np.uint64]  # keys of the rows that it was fitted on, sorted

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); NotApplicableError with too few rows, too many columns or none that varies."""
        features = flatten(x).shape[1]
        if len(x) < LEAST_ROWS:
            raise NotApplicableError(f"{len(x)} fit rows are too few for a covariance; {LEAST_ROWS} are needed")
        if features > MOST_COLUMNS:
            raise NotApplicableError(
                f"{features} columns are too many for a covariance (at most {MOST_COLUMNS}); name another view"
            )
        with one_thread():
            columns = Columns.fit(x)
            z, rounds = columns.apply(x), self.params.rounds
            self._scatter, inside = concentrate(z, self.params.trim, rounds)
            if self.params.trim and self.params.reweight:
                self._scatter, inside = reweighted(z, self._scatter, inside, rounds)
        self._columns, self._own = columns, np.sort(row_keys(x[inside]))

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        columns = self._fitted()
        return in_blocks(
            lambda rows: self._scatter.distance(columns.apply(rows), np.isin(row_keys(rows), self._own)), x
        )

    def state(self) -> State:
        """Columns, centre, whitening matrix, and keys of the rows they come from."""
        return {
            **self._fitted().state(),
            "centre": self._scatter.centre,
            "whiten": self._scatter.whiten,
            "shrink": np.array(self._scatter.shrink),
            "own": self._own,
        }

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._own = state["own"]
        self._scatter = Scatter(state["centre"], state["whiten"], float(state["shrink"]), len(self._own))
        self._columns = Columns.load(state)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("mahalanobis is not fitted")
        return self._columns


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``mahalanobis``."""
    register(Mahalanobis)
