"""How far the values of a record lie from their usual ones, each by itself: for views that hold residuals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Detector, Exported, NotFittedError, State
from vibro_plugins.portable import distances
from vibro_plugins.stats.columns import Columns, in_blocks


class Deviation(Detector):
    """Root mean square, over the columns that vary, of (value - median) / robust scale.

    A Mahalanobis distance without covariances: where a view holds residuals whose size says enough, such as ``modes``, there are
    few to gain and many to estimate wrongly. View: vectors.
    """

    name = "deviation"
    summary = "root mean square of a row's columns in units of their own scale"
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "spectrum"}
    robust = True
    seconds = 0.05

    _columns: Columns | None = None

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns median and scale of (n, *item); NotApplicableError where no column varies."""
        self._columns = Columns.fit(x)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        columns = self._fitted()
        return in_blocks(lambda rows: np.sqrt(np.square(columns.apply(rows)).mean(axis=1)), x)

    def state(self) -> State:
        """The columns, their medians and scales."""
        return self._fitted().state()

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported(self.state(), distances.deviation)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._columns = Columns.load(state)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("deviation is not fitted")
        return self._columns


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``deviation``."""
    register(Deviation)
