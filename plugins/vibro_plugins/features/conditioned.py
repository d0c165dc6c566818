"""``conditioned``: residuals of a view after regression on load, temperature or other covariates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro.portable.covariates import or_pool
from vibro.scoring.regression import HUBER, SHRINKAGE, Regression, robust_scale, sensor_rows, varying
from vibro_plugins.portable import relative
from vibro_plugins.stats.columns import FitRows
from vibro_plugins.stats.shrinkage import shrunk_log_scale


@dataclass(frozen=True)
class ConditionedParams(Params):
    """Settings of ``conditioned``.

    ``of``: the vector view that is regressed
    ``shrinkage``: rows that the pooled coefficients count for in a sensor's own regression
    ``prior``: rows that the pooled scale counts for in a sensor's own; 50, since scales need more rows than coefficients
    ``clip``: scales at which values are clipped
    """

    of: str | dict[str, Any] = "mains"
    shrinkage: Annotated[float, Field(ge=0)] = SHRINKAGE
    prior: Annotated[float, Field(ge=0)] = 50.0
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0


class Conditioned(FeatureExtractor):
    """(value - regression on the covariates) / robust scale of the residuals, for each column of a vector view.

    The regression is ``vibro.scoring.regression.Regression``: quadratic, robust, that of a sensor shrunk towards the pooled
    estimate. A row that it was fitted on is scored as if it had been left out: a fit follows its own rows, and new ones
    would all lie farther out.

    On a view in units of each sensor's own scale (``per_sensor``) a sensor unknown at fit is left unchanged, since the
    pooled regression is in units that it does not have yet. Without covariates or with fewer than 20 fit rows the view
    equals its input.
    """

    name = "conditioned"
    summary = "residuals of a view after regression on the covariates (load, temperature, ...)"
    Params = ConditionedParams
    item, takes = "f", "f"
    seconds = 0.1
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _kept: NDArray[np.bool_] | None = None  # (f,)
    _regression: Regression | None = None  # None: nothing to regress on
    _scale: NDArray[np.float64]  # (sensors + 1, f)
    _own: FitRows
    _leverage: NDArray[np.float32]  # of each fit row: share of its clipped residual that leaving it out adds

    @classmethod
    def inputs(cls, params: ConditionedParams) -> tuple[str | ViewKey, ...]:
        """The view, the covariates and the sensor codes."""
        return (view_key(params.of), "covariates", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from a view (n, f), covariates (n, k) with NaN for missing, and sensor codes (n, 1)."""
        x, covariates, sensor = self._split(inputs)
        self._kept, self._regression = varying(x), None
        sensors = int(sensor.max(initial=-1)) + 1
        found = Regression.fit(x, covariates, sensor, sensors, self.params.shrinkage)
        if found is None:
            return
        regression, residual, leverage = found
        if self._relative():
            regression.coefficients[-1] = 0.0
        self._regression = replace(regression, coefficients=regression.coefficients.astype(np.float32))
        about_pool = regression.residual(x, covariates, np.full(len(x), -1))
        log_scale = np.tile(np.log(robust_scale(about_pool)), (sensors + 1, 1))
        within = robust_scale(residual)
        for s, rows in enumerate(sensor_rows(sensor)):
            if len(rows):
                own = robust_scale(residual[rows], within)
                log_scale[s] = shrunk_log_scale(own, len(rows), within, np.log(within), self.params.prior)
        self._scale = np.exp(log_scale)
        self._own, order = FitRows.of(_joined(x, covariates, sensor))
        self._leverage = leverage[order].astype(np.float32)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f), (n, k) and (n, 1) -> (n, f)."""
        self._fitted()
        x, covariates, sensor = self._split(inputs)
        if self._regression is None:
            return x.astype(np.float32)
        place, row = self._own.find(_joined(x, covariates, sensor)), or_pool(sensor, len(self._scale) - 1)
        z = self._regression.residual(x, covariates, sensor) / self._scale[row]
        z += np.where(place < 0, np.float32(0), self._leverage[place])[:, None] * np.clip(z, -HUBER, HUBER)
        z = np.clip(z, -self.params.clip, self.params.clip)
        return np.where(self._kept, z, 0).astype(np.float32)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent:
        """That of the view: its columns stay."""
        return inputs[str(view_key(self.params.of))]

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Columns that vary over the fit rows."""
        return self._kept

    def state(self) -> State:
        """The mask and, where there is something to regress on, basis, coefficients, scale and fit rows."""
        kept = self._fitted()
        if self._regression is None:
            return {"kept": kept}
        learned = {"scale": self._scale, **self._own.state(), "leverage": self._leverage}
        return {"kept": kept, **self._regression.state(), **learned}

    def export(self) -> Exported:
        """What was learned, with numpy alone."""
        return Exported({**self.state(), "clip": np.array(self.params.clip)}, relative.conditioned)

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._kept, self._regression = state["kept"].astype(bool), Regression.load(state)
        if self._regression is not None:
            self._scale, self._own, self._leverage = state["scale"], FitRows.load(state), state["leverage"]

    def _relative(self) -> bool:
        return isinstance(self.params.of, dict) and self.params.of.get("use") == "per_sensor"

    def _fitted(self) -> NDArray[np.bool_]:
        if self._kept is None:
            raise NotFittedError("conditioned is not fitted")
        return self._kept

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        covariates = np.asarray(inputs["covariates"], np.float64)
        return x, covariates, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


def _joined(x: NDArray[Any], covariates: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([x, covariates, sensor[:, None]], axis=1).astype(np.float32)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``conditioned``."""
    register(Conditioned)
