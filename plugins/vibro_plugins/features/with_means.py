"""``with_means``: a view that shows of slow quantities what the means of their records leave, and of all others what it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import (
    Exported,
    Extent,
    FeatureExtractor,
    NotApplicableError,
    NotFittedError,
    Params,
    State,
    ViewKey,
    view_key,
)
from vibro_plugins.portable import levels, relative
from vibro_plugins.stats.modes import Norms, slow_sensors

LEAST, RECORDS = (
    3.0,
    32,
)  # as ``means`` and ``modes`` have them: what makes a sensor slow, and records that it must have
CLIP = 12.0  # scales at which values are clipped, as in ``per_sensor``


@dataclass(frozen=True)
class WithMeansParams(Params):
    """Settings of ``with_means``.

    ``of``: the view, vectors or pictures in units of each sensor's own scale
    """

    of: str | dict[str, Any] = "mains"


class WithMeans(FeatureExtractor):
    """A view (n, *item) in which the records of slow sensors are replaced by the residuals ``modes(of=means)``.

    A spectrum leaves the mean of a record out, and of a pressure, a temperature or a flow it is mostly noise: beside 40 such
    columns a network would not see two that matter. So the record of a slow sensor (as ``means`` tells them) shows the two
    residuals of each channel, mean and spread, over equal stretches of the view's values, and its spectrum no longer. Both are
    in units of the sensor's own scatter, so that one network reads records of either kind. Where no sensor is slow the view
    equals ``of``; a sensor unknown at fit or with too few records for ``modes`` keeps its spectrum.
    """

    name = "with_means"
    summary = "a view, and in place of it the residuals of the means where a sensor measures a slow quantity"
    Params = WithMeansParams
    item = "..."
    seconds = 0.1
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _slow: tuple[NDArray[np.intp], Norms] | None = (
        None  # codes of the slow sensors and their norms; None: no sensor is slow
    )
    _ready = False

    @classmethod
    def inputs(cls, params: WithMeansParams) -> tuple[str | ViewKey, ...]:
        """The view, the records and the sensor codes."""
        return (view_key(params.of), "raw", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from raw (n, C, T) and sensor codes (n, 1) which sensors are slow and how their means usually stand."""
        self._slow, self._ready = None, True
        raw, sensor = inputs["raw"], _codes(inputs)
        try:
            slow = slow_sensors(raw, sensor, LEAST)
            self._slow = slow, Norms.fit(_means(slow, raw, sensor), sensor, RECORDS)
        except NotApplicableError:
            return

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, *item), raw (n, C, T) and (n, 1) -> (n, *item)."""
        found, x = self._fitted(), np.asarray(inputs[str(view_key(self.params.of))], np.float32)
        if found is None:
            return x
        slow, norms = found
        sensor = _codes(inputs)
        return relative.in_place_of(x, norms.residual(_means(slow, inputs["raw"], sensor), sensor, CLIP))

    def extent(self, inputs: Mapping[str, Extent]) -> Extent | None:
        """That of the view; where a sensor is slow not said, since values of its records have no frequency."""
        return inputs[str(view_key(self.params.of))] if self._fitted() is None else None

    def state(self) -> State:
        """Codes of the slow sensors and their norms; nothing where no sensor is slow."""
        found = self._fitted()
        return {} if found is None else {"slow": found[0], **_named(found[1].state())}

    def export(self) -> Exported:
        """The same with numpy alone."""
        found = self._fitted()
        norms = {} if found is None else _named(found[1].exported(CLIP))
        return Exported({**self.state(), **norms}, relative.with_means)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._slow, self._ready = None, True
        if state:
            norms = {k.removeprefix("modes."): a for k, a in state.items() if k.startswith("modes.")}
            self._slow = state["slow"], Norms.load(norms)

    def _fitted(self) -> tuple[NDArray[np.intp], Norms] | None:
        if not self._ready:
            raise NotFittedError("with_means is not fitted")
        return self._slow


def _codes(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
    return np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


def _means(slow: NDArray[np.intp], raw: NDArray[Any], sensor: NDArray[np.intp]) -> NDArray[np.float64]:
    return levels.means({"slow": slow}, raw, sensor).astype(np.float64)


def _named(norms: State) -> State:
    return {f"modes.{name}": array for name, array in norms.items()}


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``with_means``."""
    register(WithMeans)
