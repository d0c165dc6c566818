"""Mean one-sided deviation of the features of a record above their medians."""

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
from vibro_plugins.stats.columns import Columns, in_blocks


@dataclass(frozen=True)
class RiseParams(Params):
    """Settings of ``rise``.

    ``clip``: robust deviations at which a feature is clipped; 6, so that no single feature decides
    """

    clip: Annotated[float, Field(gt=0, le=1000)] = 6.0


class Rise(Detector):
    """score = mean over the features of min(max(z, 0), clip), z = (value - median) / robust deviation of the fit rows.

    Wear, imbalance, looseness and impacts add energy to a machine's vibration: band levels, crest and kurtosis rise, many of
    them a little. Normal records vary along that direction too (load, speed), so a distance in units of their covariance
    discounts it; a one-sided mean does not. Median and quartiles tolerate a quarter of faulty rows, and faults that are
    many and alike, which a neighbourhood method would take for normal.

    Blind to faults that lower levels or change only the shape: a member of an ensemble, not a detector to be used alone.
    View: vectors whose values grow with damage.
    """

    name = "rise"
    summary = "one-sided rise of levels over their usual values, mean over all features"
    Params = RiseParams
    view: ClassVar[dict[str, Any]] = {"use": "per_sensor", "of": "spectrum"}
    seconds = 0.05

    _columns: Columns | None = None

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16] | None = None) -> None:
        """Learns median and scale of every feature from (n, *item); NotApplicableError where none varies."""
        self._columns = Columns.fit(x)

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean rise (n,) in robust deviations, 0 = no feature above its median."""
        columns = self._fitted()
        return in_blocks(lambda rows: np.clip(columns.apply(rows), 0.0, self.params.clip).mean(axis=1), x)

    def state(self) -> State:
        """Columns, their median and scale."""
        return dict(self._fitted().state())

    def export(self) -> Exported:
        """What was learned, with numpy alone."""
        return Exported({**self.state(), "clip": np.array(self.params.clip)}, distances.rise)

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
