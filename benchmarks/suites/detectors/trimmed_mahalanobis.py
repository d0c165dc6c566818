"""A trimmed Mahalanobis distance as one would type it: scikit-learn's covariance, refitted without the farthest rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Detector, State

TRIM, REFITS = 0.1, 5


class TrimmedMahalanobis(Detector):
    """score = sqrt((x - m)' S^-1 (x - m)), m and S the mean and Ledoit-Wolf covariance of the nearest nine tenths of the rows.

    A peer for benchmarks, without what vibro's ``mahalanobis`` adds to it.
    """

    name = "trimmed_mahalanobis"
    summary = "Mahalanobis distance, scikit-learn's Ledoit-Wolf covariance, refitted without the farthest tenth"
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "spectrum"}

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns from (n, f)."""
        from sklearn.covariance import LedoitWolf

        nearest = np.arange(len(x))
        for _ in range(REFITS):
            model = LedoitWolf().fit(x[nearest])
            nearest = np.argsort(model.mahalanobis(x))[: round((1 - TRIM) * len(x))]
        self._centre, self._precision = model.location_, model.precision_

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distances (n,)."""
        z = x - self._centre
        return np.sqrt(np.sum(z @ self._precision * z, axis=1))

    def state(self) -> State:
        """Centre (f,) and precision (f, f)."""
        return {"centre": self._centre, "precision": self._precision}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._centre, self._precision = state["centre"], state["precision"]


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``trimmed_mahalanobis``."""
    register(TrimmedMahalanobis)
