"""Distance from what the nearest records look like: several operating modes, each its own norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, Exported, NotFittedError, Params, State
from vibro_plugins.portable import distances
from vibro_plugins.stats.columns import BLOCK, Columns, in_blocks, one_thread
from vibro_plugins.stats.neighbours import NearestDistance, Neighbours

SHARE, LEAST, MOST = 0.1, 8, 100  # of the fit rows are near, and at least and at most so many


@dataclass(frozen=True)
class LocalParams(Params):
    """Settings of ``local``.

    ``n_neighbors``: nearest residuals whose mean distance is the score
    """

    n_neighbors: Annotated[int, Field(ge=1, le=1000)] = 3


class Local(Detector):
    """Mean distance of a row's residual to the nearest residuals of fit rows.

    The residual is what is left of a row without the mean of the fit rows nearest to it, a tenth of all (8 to 100), in units
    of the residuals' own scatter. Speeds and loads that a fit has seen thus cancel, also where their records lie far apart. A
    fit row is scored as if it had been left out. View: vectors.
    """

    name = "local"
    summary = "kNN on residuals from the mean of the nearest records: several operating modes"
    Params = LocalParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "spectrum"}

    _columns: Columns | None = None
    _given = 0  # fit rows
    _near: Neighbours
    _units: Columns  # of the residuals
    _residuals: NearestDistance

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, *item); NotApplicableError with one row or where no column varies."""
        columns = Columns.fit(x)
        rows = columns.apply32(x)
        with one_thread():
            near = _neighbours(rows)
            left = np.concatenate([_residual(near, rows[i : i + BLOCK]) for i in range(0, len(rows), BLOCK)])
            units = Columns.fit(left)
            residuals = NearestDistance(self.params.n_neighbors, "mean")
            residuals.fit(units.apply32(left))
        self._columns, self._near, self._units, self._residuals = columns, near, units, residuals
        self._given = len(rows)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        columns = self._fitted()

        def score(block: NDArray[np.float32]) -> NDArray[np.float64]:
            left = _residual(self._near, columns.apply32(block))
            return self._residuals.score(self._units.apply32(left))

        return in_blocks(score, x)

    def health(self) -> dict[str, float]:
        """``rows_used``: how many fit rows records are compared with, where not all."""
        used = len(self._near.rows)
        return {"rows_used": float(used)} if used < self._given else {}

    def state(self) -> State:
        """Columns, fit rows, and the units and rows of their residuals."""
        units = {name.replace("columns", "units"): array for name, array in self._fitted_units().state().items()}
        return {
            **self._fitted().state(),
            "rows": self._near.rows,
            **units,
            "residuals": self._residuals.state()["rows"],
        }

    def export(self) -> Exported:
        """The stored rows, with numpy alone."""
        neighbours = {"near": np.array(self._near.k), "n_neighbors": np.array(self.params.n_neighbors)}
        return Exported({**self.state(), **neighbours}, distances.local)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._near = _neighbours(state["rows"])
        self._units = Columns.load(
            {name.replace("units", "columns"): a for name, a in state.items() if "units" in name}
        )
        self._residuals = NearestDistance(self.params.n_neighbors, "mean")
        self._residuals.load_state({"rows": state["residuals"]})
        self._columns = Columns.load(state)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("local is not fitted")
        return self._columns

    def _fitted_units(self) -> Columns:
        self._fitted()
        return self._units


def _neighbours(rows: NDArray[np.float32]) -> Neighbours:
    """The nearest fit rows (n, p) of a row."""
    near = Neighbours(int(np.clip(SHARE * len(rows), LEAST, MOST)))
    near.store(rows)
    return near


def _residual(near: Neighbours, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, p) without the mean of the nearest fit rows."""
    _, index = near.query(rows)
    return rows - near.rows[index].mean(axis=1, dtype=np.float64)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``local``."""
    register(Local)
