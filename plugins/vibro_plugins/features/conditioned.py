"""``conditioned``: what load, temperature or any other covariate explains is taken out of a view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro.scoring.regression import HUBER, PULL, Regression, or_pool, sensor_rows, spread, varying
from vibro_plugins.stats.columns import row_keys
from vibro_plugins.stats.shrinkage import drawn_spread


@dataclass(frozen=True)
class ConditionedParams(Params):
    """``of``: the view; ``pull``: rows that the pool's coefficients count for; ``prior``: the same for its spread.

    Values are cut to +-``clip``.
    """

    of: str | dict[str, Any] = "mains"
    pull: Annotated[float, Field(ge=0)] = PULL
    prior: Annotated[float, Field(ge=0)] = 50.0
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0


class Conditioned(FeatureExtractor):
    """(value - regression on the covariates) / spread of what is left, for each column of a vector view.

    The regression is that of ``vibro.scoring.regression.Regression``: quadratic, robust, a sensor's own drawn to the pool's.

    A row that the regression was fitted to is measured as if it had been left out: a fit follows its own rows, and
    new ones would all lie farther out than those.

    On a view in units of each sensor's own variation (``per_sensor``) a sensor unknown at fit stays as it is: what the
    pool's regression explains is in units that an unknown sensor does not have yet.

    Without covariates, with none but NaN, or with fewer than 20 fit rows the view is its input, value for value.
    """

    name = "conditioned"
    summary = "a view without what the covariates (load, temperature, ...) explain"
    Params = ConditionedParams
    item = "f"
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _kept: NDArray[np.bool_] | None = None  # (f,)
    _regression: Regression | None = None  # None: nothing to regress on
    _spread: NDArray[np.float64]  # (sensors + 1, f)
    _own: NDArray[np.uint64]  # keys of the fit rows, sorted
    _pulled: NDArray[np.float32]  # for each of them, what leaving it out adds of its cut residual

    @classmethod
    def inputs(cls, params: ConditionedParams) -> tuple[str | ViewKey, ...]:
        """The view, the covariates and the sensor codes."""
        return (view_key(params.of), "covariates", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from a view (n, f), covariates (n, k) with NaN for missing, and sensor codes (n, 1)."""
        x, covariates, sensor = self._split(inputs)
        self._kept, self._regression = varying(x), None
        sensors = int(sensor.max(initial=-1)) + 1
        found = Regression.fit(x, covariates, sensor, sensors, self.params.pull)
        if found is None:
            return
        regression, residual, pulled = found
        if self._relative():
            regression.coefficients[-1] = 0.0
        self._regression = replace(regression, coefficients=regression.coefficients.astype(np.float32))
        about_pool = regression.residual(x, covariates, np.full(len(x), -1))
        log_spread = np.tile(np.log(spread(about_pool)), (sensors + 1, 1))
        within = spread(residual)
        for s, rows in enumerate(sensor_rows(sensor)):
            if len(rows):
                log_spread[s] = drawn_spread(residual[rows], within, np.log(within), self.params.prior)
        self._spread = np.exp(log_spread)
        keys = _keys(x, covariates, sensor)
        order = np.argsort(keys, kind="stable")
        self._own, self._pulled = keys[order], pulled[order].astype(np.float32)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f), (n, k) and (n, 1) -> (n, f)."""
        self._fitted()
        x, covariates, sensor = self._split(inputs)
        if self._regression is None:
            return x.astype(np.float32)
        keys, row = _keys(x, covariates, sensor), or_pool(sensor, len(self._spread) - 1)
        z = self._regression.residual(x, covariates, sensor) / self._spread[row]
        z += self._left_out(keys)[:, None] * np.clip(z, -HUBER, HUBER)
        z = np.clip(z, -self.params.clip, self.params.clip)
        return np.where(self._kept, z, 0).astype(np.float32)

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Columns that vary over the fit rows."""
        return self._kept

    def state(self) -> State:
        """The mask and, where there is something to regress on, basis, coefficients and spread."""
        kept = self._fitted()
        if self._regression is None:
            return {"kept": kept}
        learned = {"spread": self._spread, "own": self._own, "pulled": self._pulled}
        return {"kept": kept, **self._regression.state(), **learned}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._kept, self._regression = state["kept"].astype(bool), Regression.load(state)
        if self._regression is not None:
            self._spread, self._own, self._pulled = state["spread"], state["own"], state["pulled"]

    def _relative(self) -> bool:
        return isinstance(self.params.of, dict) and self.params.of.get("use") == "per_sensor"

    def _left_out(self, keys: NDArray[np.uint64]) -> NDArray[np.float32]:
        """What leaving out adds of their cut residual to rows with these keys (n,): nothing unless they were fitted to."""
        place = np.minimum(np.searchsorted(self._own, keys), len(self._own) - 1)
        return np.where(self._own[place] == keys, self._pulled[place], np.float32(0))

    def _fitted(self) -> NDArray[np.bool_]:
        if self._kept is None:
            raise NotFittedError("conditioned is not fitted")
        return self._kept

    def _split(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
        x = np.asarray(inputs[str(view_key(self.params.of))], np.float64)
        covariates = np.asarray(inputs["covariates"], np.float64)
        return x, covariates, np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp)


def _keys(x: NDArray[Any], covariates: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.uint64]:
    return row_keys(np.concatenate([x, covariates, sensor[:, None]], axis=1).astype(np.float32))


@hookimpl
def register_features(register) -> None:
    """Offers ``conditioned``."""
    register(Conditioned)
