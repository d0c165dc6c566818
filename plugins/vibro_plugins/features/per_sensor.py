"""``per_sensor``: every feature of a view standardised by its own sensor's location and scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro_plugins.portable import relative
from vibro_plugins.stats.sensor_scale import SensorScale, group_of


@dataclass(frozen=True)
class PerSensorParams(Params):
    """Settings of ``per_sensor``.

    ``of``: the vector view that is standardised
    ``clip``: scales at which values are clipped
    ``prior``: rows that the pooled scale counts for in a sensor's own; 50 rows of its own count as much
    """

    of: str | dict[str, Any] = "mains"
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0
    prior: Annotated[float, Field(ge=0)] = 50.0


class PerSensor(FeatureExtractor):
    """(value - location of the sensor) / scale of the sensor, clipped, for each column of a vector view.

    Both are shrunk towards those of all sensors, and no scale is far below what the column usually varies
    (``stats.sensor_scale``). A column that does not vary is 0 and masked in ``kept``.
    ``group``, where the fit is given it, says which sensors share a pool.
    A sensor unknown at fit (code -1) gets the pooled median and the scale of all rows about it.
    """

    name = "per_sensor"
    summary = "each feature of a view in units of its own sensor's scale"
    Params = PerSensorParams
    item, takes = "f", "f"
    seconds = 0.05
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _learned: SensorScale | None = None

    @classmethod
    def inputs(cls, params: PerSensorParams) -> tuple[str | ViewKey, ...]:
        """The view and the sensor codes."""
        return (view_key(params.of), "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns location and scale of every sensor code from (n, f) and (n, 1)."""
        self._learned = SensorScale.fit(*self._split(inputs), self.params.prior, group_of(inputs))

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f) and (n, 1) -> (n, f) within +-clip."""
        return self._fitted().apply(*self._split(inputs), self.params.clip)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """That of the view: its columns stay."""
        return inputs[str(view_key(self.params.of))]

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Columns that vary over the fit rows."""
        return None if self._learned is None else self._learned.kept

    def state(self) -> State:
        """Location and scale, (sensors + 1, f) each, and the mask."""
        return self._fitted().state()

    def export(self) -> Exported:
        """Location, scale, mask and clip, with numpy alone."""
        return Exported({**self.state(), "clip": np.array(self.params.clip)}, relative.per_sensor)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._learned = SensorScale.load(state)

    def _fitted(self) -> SensorScale:
        if self._learned is None:
            raise NotFittedError("per_sensor is not fitted")
        return self._learned

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        return x, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``per_sensor``."""
    register(PerSensor)
