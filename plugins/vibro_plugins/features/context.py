"""``context``: what is left of a sensor's view when the other sensors of its machine at the same instant are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

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
from vibro.scoring.regression import varying
from vibro_plugins.portable import relative
from vibro_plugins.stats.columns import FitRows
from vibro_plugins.stats.companions import SENSORS, Group, Instants, groups_of, rows_by_group

INSTANTS = 40  # that a group must have together
SHARE = 0.5  # of the instants at which most of a group's sensors measured: those at which all must have


@dataclass(frozen=True)
class ContextParams(Params):
    """Settings of ``context``.

    ``of``: the vector view, in units of each sensor's own scale
    ``components``: principal components of the other sensors that a sensor is predicted from, at most one in six instants
    ``clip``: scales at which residuals are clipped
    """

    of: str | dict[str, Any] = "mains"
    components: Annotated[int, Field(ge=1, le=100)] = 30
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0


class Context(FeatureExtractor):
    """(value - prediction from the other sensors) / robust scale of the residuals, for each column of a vector view.

    Load, temperature and tap changes reach all sensors of a machine at once. So what the others show at the same instant
    tells them apart from what happens at one sensor, without any covariate; a fault that all sensors show alike is
    explained away with them and left to other views.

    A group of sensors: at least four of a machine that measured together at 40 instants or more, at most of those at which
    most of them measured; the sensor that is missing most is left out until that holds. The prediction is a ridge
    regression on whitened, clipped principal components of the others (``companions.Group``). A record that was fitted on
    is scored as if it had been left out. NaN: the record of a sensor in no group, or of an instant that lacks a
    companion. NotApplicableError where there is no group.
    """

    name = "context"
    summary = "residuals of a view after prediction from the machine's other sensors at the same instant"
    Params = ContextParams
    item, takes = "f", "f"
    seconds = 0.1
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum", "components": 3}

    _kept: NDArray[np.bool_] | None = None  # (f,)
    _groups: list[Group]
    _own: FitRows
    _leverage: NDArray[np.float32]  # of each fit row: factor of its residual if it is left out

    @classmethod
    def inputs(cls, params: ContextParams) -> tuple[str | ViewKey, ...]:
        """The view, the sensor codes and the numbers of the instants."""
        return (view_key(params.of), "sensor", "instant")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from a view (n, f), sensor codes (n, 1) and numbers of instants (n, 1); NotApplicableError without a group."""
        x, sensor, instant = self._split(inputs)
        members = groups_of(sensor, instant, INSTANTS, SHARE)
        if not members:
            raise NotApplicableError(
                f"no machine has {SENSORS} sensors that measured at the same {INSTANTS} instants, so none can be judged by"
                " the others"
            )
        self._kept, self._groups = varying(x), []
        factor = np.ones(len(x), np.float32)
        for codes, mine in zip(members, rows_by_group(sensor, members), strict=True):
            at = Instants.of_group(x, sensor, instant, codes, mine)
            group, leverage = Group.fit(at, codes, self.params.components, self.ctx.seed)
            factor[at.rows] = leverage
            self._groups.append(group)
        self._own, order = FitRows.of(_joined(x, sensor))
        self._leverage = factor[order]

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f), (n, 1) and (n, 1), whole instants -> (n, f), NaN where a record lacks companions."""
        kept = self._fitted()
        x, sensor, instant = self._split(inputs)
        out = np.full(x.shape, np.nan)
        members = [group.sensors for group in self._groups]
        for group, mine in zip(self._groups, rows_by_group(sensor, members), strict=True):
            at = Instants.of_group(x, sensor, instant, group.sensors, mine)
            out[at.rows] = group.residual(at)
        place = self._own.find(_joined(x, sensor))
        out *= np.where(place < 0, np.float32(1), self._leverage[place])[:, None]
        out[:, ~kept] *= 0  # NaN stays
        return np.clip(out, -self.params.clip, self.params.clip).astype(np.float32)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """That of the view: its columns stay."""
        return inputs[str(view_key(self.params.of))]

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Columns that vary over the fit rows."""
        return self._kept

    def state(self) -> State:
        """The mask, what was learned of each group, and keys of the fit rows."""
        found: State = {"kept": self._fitted(), **self._own.state(), "leverage": self._leverage}
        for i, group in enumerate(self._groups):
            found |= {f"group{i}.{name}": array for name, array in group.state().items()}
        return found

    def export(self) -> Exported:
        """What was learned, with numpy alone."""
        return Exported({**self.state(), "clip": np.array(self.params.clip)}, relative.context)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._kept, self._own, self._leverage = state["kept"].astype(bool), FitRows.load(state), state["leverage"]
        self._groups = []
        while f"group{len(self._groups)}.sensors" in state:
            prefix = f"group{len(self._groups)}."
            self._groups.append(Group(**{k.removeprefix(prefix): a for k, a in state.items() if k.startswith(prefix)}))

    def _fitted(self) -> NDArray[np.bool_]:
        if self._kept is None:
            raise NotFittedError("context is not fitted")
        return self._kept

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        sensor, instant = (np.asarray(inputs[name]).reshape(-1).astype(np.intp) for name in ("sensor", "instant"))
        return x, sensor, instant


def _joined(x: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([x, sensor[:, None]], axis=1).astype(np.float32)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``context``."""
    register(Context)
