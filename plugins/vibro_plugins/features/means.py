"""``means``: where slow quantities stand and how much they move about that: pressures, temperatures, flows and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, FeatureExtractor, NotFittedError, Params, State, ViewKey
from vibro_plugins.portable import levels
from vibro_plugins.stats.modes import slow_sensors


@dataclass(frozen=True)
class MeansParams(Params):
    """Settings of ``means``.

    ``least``: movement of the mean from record to record, in units of that within a record, from which a sensor is slow
    """

    least: Annotated[float, Field(ge=0, le=1e6)] = 3.0


class Means(FeatureExtractor):
    """Mean of each channel and log10 of its standard deviation, for the sensors of slow quantities.

    The other views leave the mean of a record out: of an accelerometer it is an offset that says nothing of the machine. A
    pressure, a temperature or a flow is little else. A sensor is taken for such where the mean of a channel moves three times as
    much from record to record as the samples do within one: offsets of amplifiers drift too, at a standstill visibly so.
    NaN: the records of all other sensors, and of one unknown at fit. NotApplicableError where no sensor is slow.
    """

    name = "means"
    summary = "mean and spread of slow quantities: pressures, temperatures, flows"
    Params = MeansParams
    item = "f"
    seconds = 0.05
    test_settings: ClassVar[dict[str, Any]] = {"least": 0.0}

    _slow: NDArray[np.intp] | None = None  # codes of sensors

    @classmethod
    def inputs(cls, params: MeansParams) -> tuple[str | ViewKey, ...]:
        """The records and the sensor codes."""
        return ("raw", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from raw (n, C, T) and sensor codes (n, 1) which sensors are slow."""
        self._slow = slow_sensors(inputs["raw"], np.asarray(inputs["sensor"]).reshape(-1), self.params.least)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """raw (n, C, T) and (n, 1) -> (n, 2 C): the means, then the logarithms."""
        return levels.means(self.state(), inputs["raw"], inputs["sensor"])

    def state(self) -> State:
        """Codes of the slow sensors."""
        if self._slow is None:
            raise NotFittedError("means is not fitted")
        return {"slow": self._slow}

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported(self.state(), levels.means)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._slow = state["slow"]


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``means``."""
    register(Means)
