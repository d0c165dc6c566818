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
from vibro_plugins.features.means import Means
from vibro_plugins.features.modes import Modes
from vibro_plugins.portable import relative

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

    _slow: tuple[Means, Modes] | None = None  # None: no sensor is slow
    _ready = False

    @classmethod
    def inputs(cls, params: WithMeansParams) -> tuple[str | ViewKey, ...]:
        """The view, the records and the sensor codes."""
        return (view_key(params.of), "raw", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from raw (n, C, T) and sensor codes (n, 1) which sensors are slow and how their means usually stand."""
        means, modes = self._parts()
        self._slow, self._ready = None, True
        try:
            means.fit(inputs)
            modes.fit({"means": means.transform(inputs), "sensor": inputs["sensor"]})
        except NotApplicableError:
            return
        self._slow = means, modes

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, *item), raw (n, C, T) and (n, 1) -> (n, *item)."""
        slow, x = self._fitted(), np.asarray(inputs[str(view_key(self.params.of))], np.float32)
        if slow is None:
            return x
        means, modes = slow
        left = modes.transform({"means": means.transform(inputs), "sensor": inputs["sensor"]})
        return relative.in_place_of(x, left)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent | None:
        """That of the view; where a sensor is slow not said, since values of its records have no frequency."""
        return inputs[str(view_key(self.params.of))] if self._fitted() is None else None

    def state(self) -> State:
        """Codes of the slow sensors and what ``modes`` learned of them; nothing where no sensor is slow."""
        slow = self._fitted()
        return {} if slow is None else {**slow[0].state(), **{f"modes.{k}": a for k, a in slow[1].state().items()}}

    def export(self) -> Exported:
        """The same with numpy alone."""
        slow = self._fitted()
        modes = {} if slow is None else {f"modes.{k}": a for k, a in slow[1].export().arrays.items()}
        return Exported({**self.state(), **modes}, relative.with_means)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._slow, self._ready = None, True
        if state:
            means, modes = self._slow = self._parts()
            means.load_state({"slow": state["slow"]})
            modes.load_state({k.removeprefix("modes."): a for k, a in state.items() if k.startswith("modes.")})

    def _parts(self) -> tuple[Means, Modes]:
        return Means.make({}, self.ctx), Modes.make({"of": "means", "clip": CLIP}, self.ctx)

    def _fitted(self) -> tuple[Means, Modes] | None:
        if not self._ready:
            raise NotFittedError("with_means is not fitted")
        return self._slow


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``with_means``."""
    register(WithMeans)
