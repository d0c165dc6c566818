"""How large the residuals of a record are: for views that hold residuals in units of what is usual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Detector, Exported
from vibro_plugins.portable import distances


class Deviation(Detector):
    """Root mean square of a row.

    Nothing is learned here: the view says what is usual, as ``modes``, ``context`` and ``conditioned`` do.
    """

    name = "deviation"
    summary = "root mean square of a view that holds residuals"
    view: ClassVar[dict[str, Any]] = {"use": "modes", "of": {"use": "per_sensor", "of": "spectrum"}}
    robust = True
    seconds = 0.05

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns nothing."""

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, *item) -> (n,)."""
        return distances.root_mean_square({}, x)

    def export(self) -> Exported:
        """The same."""
        return Exported({}, distances.root_mean_square)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``deviation``."""
    register(Deviation)
