"""How far the features of a record rise above their usual values, on the mean over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, NotFittedError, Params, State
from vibro_plugins.stats.columns import Columns, in_blocks


@dataclass(frozen=True)
class RiseParams(Params):
    """``clip``: no feature counts for more than so many robust deviations."""

    clip: Annotated[float, Field(gt=0, le=1000)] = 6.0


class Rise(Detector):
    """score = mean over the features of min(max(z, 0), clip), z = (value - median) / robust deviation at fit.

    Wear, imbalance, looseness and impacts put energy into a machine's vibration: band levels, crest and kurtosis rise, many of
    them a little. Along that direction the sound records vary too (load, speed), so a distance in units of their covariance
    discounts it; a plain one-sided sum does not. Median and quartiles stand up to a quarter of faulty rows, and to
    faults that are many and alike, which form a neighbourhood of their own.

    Blind to faults that lower levels or change the shape alone, and misled where faults are quieter than sound records: a
    member of an ensemble, not a detector to be used alone. View: a vector a row whose values grow with damage.
    """

    name = "rise"
    summary = "one-sided rise of levels over their usual values, mean over all features"
    Params = RiseParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "spectrum"}

    _columns: Columns | None = None

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns median and spread of every feature from (n, *item); NotApplicableError where none varies."""
        self._columns = Columns.fit(x)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean rise (n,), 0 = no feature above its median."""
        columns = self._fitted()
        return in_blocks(lambda rows: np.clip(columns.apply(rows), 0.0, self.params.clip).mean(axis=1), x)

    def state(self) -> State:
        """Columns, their median and spread."""
        return dict(self._fitted().state())

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._columns = Columns.load(state)

    def _fitted(self) -> Columns:
        if self._columns is None:
            raise NotFittedError("rise is not fitted")
        return self._columns


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    """Offers ``rise``."""
    register(Rise)
