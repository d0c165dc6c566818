"""``modes``: what is left of a view when the most similar records of the same sensor are known: several operating modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro_plugins.portable import relative
from vibro_plugins.stats.modes import Norms


@dataclass(frozen=True)
class ModesParams(Params):
    """Settings of ``modes``.

    ``of``: the vector view
    ``records``: fit rows that a sensor must have
    ``clip``: units at which values are clipped
    """

    of: str | dict[str, Any] = "mains"
    records: Annotated[int, Field(ge=2, le=100_000)] = 32
    clip: Annotated[float, Field(gt=0, le=1000)] = 50.0


class Modes(FeatureExtractor):
    """(value - median of the nearest fit rows) / their scatter, for each column of a vector view.

    Near are a tenth of the sensor's fit rows (8 to 100), in units in which every column scatters alike among them. Each
    operating mode is thus its own norm: of two flows far apart, a small change at either counts as much as it would alone.
    Scatter is the median absolute deviation, at least what is usual among neighbours of the column. A fit row is treated as
    if it had been left out. A sensor is its own norm. NaN: rows that are NaN, or of a sensor with fewer fit rows than
    ``records``. NotApplicableError where that is so of all.
    """

    name = "modes"
    summary = "residuals of a view after what the most similar records of the sensor show: operating modes"
    Params = ModesParams
    item, takes = "f", "f"
    seconds = 0.3
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum", "records": 2}

    _norms: Norms | None = None

    @classmethod
    def inputs(cls, params: ModesParams) -> tuple[str | ViewKey, ...]:
        """The view and the sensor codes."""
        return (view_key(params.of), "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from a view (n, f) and sensor codes (n, 1)."""
        self._norms = Norms.fit(*self._split(inputs), self.params.records)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f) and (n, 1) -> (n, f) within +-clip."""
        return self._fitted().residual(*self._split(inputs), self.params.clip)

    def state(self) -> State:
        """Rows, unit and usual scatter of every norm."""
        return self._fitted().state()

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._norms = Norms.load(state)

    def export(self) -> Exported:
        """What was learned, with numpy alone."""
        return Exported(self._fitted().exported(self.params.clip), relative.modes)

    def _fitted(self) -> Norms:
        if self._norms is None:
            raise NotFittedError("modes is not fitted")
        return self._norms

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        return x, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``modes``."""
    register(Modes)
