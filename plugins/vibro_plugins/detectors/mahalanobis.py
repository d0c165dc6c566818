"""Mahalanobis distance with a Ledoit-Wolf covariance that is refitted without the farthest rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, Exported, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.portable import distances
from vibro_plugins.stats.columns import Columns, FitRows, evenly_spaced, in_blocks, one_thread
from vibro_plugins.stats.covariance import Scatter, concentrate, reweighted

LEAST_ROWS, MOST_COLUMNS = 5, 4096
MOST_ROWS = 8_192  # that centre and covariance are fitted on, again and again


@dataclass(frozen=True)
class MahalanobisParams(Params):
    """Settings of ``mahalanobis``.

    ``trim``: share of the fit rows, the farthest, left out of each refit: the most anomalies that cannot hide; 0: none
    ``rounds``: refits at most; they end when the rows left out stay the same
    ``reweight``: whether in the end all rows within reach of the bulk count, so that the share need not be known
    """

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    rounds: Annotated[int, Field(ge=1, le=100)] = 8
    reweight: bool = True


class Mahalanobis(Detector):
    """score = sqrt((z - m)' S^-1 (z - m) / p), z the p varying columns, m and S centre and covariance of the fit rows.

    S is the Ledoit-Wolf shrinkage estimate in units of each column's scale, so that there may be more columns than rows. m
    and S are refitted without the farthest rows (``covariance.concentrate``), so that anomalies among the fit rows do not
    mask themselves, then with all rows within reach of that bulk (``covariance.reweighted``).

    A row that m and S were fitted on is scored as if it had been left out, in the refits and in ``score``: with few rows
    a fit follows each of them, and the rows that the first refit left out would stay out. Of more than ``MOST_ROWS`` fit rows
    some are used, evenly spaced. View: vectors.
    """

    name = "mahalanobis"
    summary = "Mahalanobis distance, Ledoit-Wolf covariance, refitted without the farthest rows"
    Params = MahalanobisParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "mains"}
    requires = ("scipy",)
    robust = True
    seconds = 0.1
    test_settings: ClassVar[dict[str, Any]] = {"rounds": 3}

    _columns: Columns | None = None
    _scatter: Scatter
    _own: FitRows  # those that the scatter comes from
    _left: int = 0  # fit rows that were not used

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); NotApplicableError with too few rows, too many columns or none that varies."""
        features = int(np.prod(x.shape[1:]))
        if len(x) < LEAST_ROWS:
            raise NotApplicableError(f"{len(x)} fit rows are too few for a covariance; {LEAST_ROWS} are needed")
        if features > MOST_COLUMNS:
            raise NotApplicableError(
                f"{features} columns are too many for a covariance (at most {MOST_COLUMNS}); name another view"
            )
        given, x = len(x), x[evenly_spaced(len(x), MOST_ROWS)]
        self._left = given - len(x)
        with one_thread():
            columns = Columns.fit(x)
            z, rounds = columns.apply(x), self.params.rounds
            self._scatter, inside = concentrate(z, self.params.trim, rounds)
            if self.params.trim and self.params.reweight:
                self._scatter, inside = reweighted(z, self._scatter, inside, rounds)
        self._columns, self._own = columns, FitRows.of(x[inside])[0]

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        columns = self._fitted()
        return in_blocks(lambda rows: self._scatter.distance(columns.apply(rows), self._own.find(rows) >= 0), x)

    def health(self) -> dict[str, float]:
        """``rows_used``: how many fit rows were used, where not all."""
        return {"rows_used": float(MOST_ROWS)} if self._left else {}

    def state(self) -> State:
        """Columns, centre, whitening matrix, shrinkage, and keys of the rows they come from."""
        return {
            **self._fitted().state(),
            "centre": self._scatter.centre,
            "whiten": self._scatter.whiten,
            "shrinkage": np.array(self._scatter.shrinkage),
            **self._own.state(),
        }

    def export(self) -> Exported:
        """What was learned, with numpy alone."""
        return Exported(self.state(), distances.mahalanobis)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._own = FitRows.load(state)
        self._scatter = Scatter(state["centre"], state["whiten"], float(state["shrinkage"]), len(self._own.keys))
        self._columns = Columns.load(state)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("mahalanobis is not fitted")
        return self._columns


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``mahalanobis``."""
    register(Mahalanobis)
