"""``conditioned``: what load, temperature or any other covariate explains is taken out of a view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State, ViewKey, view_key
from vibro_plugins._robust import HUBER, Basis, huber_regression, leverage, or_pool, sensor_rows, spread, varying
from vibro_plugins._tabular import row_keys

FEWEST = 20  # fit rows below which nothing is regressed


@dataclass(frozen=True)
class ConditionedParams(Params):
    """``of``: the view; ``pull``: rows that the pool's coefficients count for; ``prior``: the same for its spread.

    Values are cut to +-``clip``.
    """

    of: str | dict[str, Any] = "mains"
    pull: Annotated[float, Field(ge=0)] = 5.0
    prior: Annotated[float, Field(ge=0)] = 50.0
    clip: Annotated[float, Field(gt=0, le=1000)] = 12.0


class Conditioned(FeatureExtractor):
    """(value - regression on the covariates) / spread of what is left, for each column of a vector view.

    The regression is quadratic with products (load acts through its square, and temperature shifts the modes through
    which it acts), linear where rows are few; robust by Huber's modified residuals (Robust Statistics, 1981, 7.8); fitted
    to all rows, then to each sensor's with a ridge towards the pool's coefficients that counts for ``pull`` rows: sensors
    of one machine answer to load in their own way, often with opposite sign. Covariates are held within the range seen
    at fit. A missing one (NaN) is taken at the sensor's median; unknown sensors (code -1) use the pool's regression.

    A row that the regression was fitted to is measured as if it had been left out (Cook and Weisberg, Residuals and
    Influence in Regression, 1982, 2.2): a fit follows its own rows, and new ones would all lie farther out than those.

    Without covariates, with none but NaN, or with fewer than 20 fit rows the view is its input, value for value.
    """

    name = "conditioned"
    summary = "a view without what the covariates (load, temperature, ...) explain"
    Params = ConditionedParams
    item = "f"
    test_settings: ClassVar[dict[str, Any]] = {"of": "spectrum"}

    _kept: NDArray[np.bool_] | None = None  # (f,)
    _basis: Basis | None = None  # None: nothing to regress on
    _coefficients: NDArray[np.float32]  # (sensors + 1, p, f); the last one is the pool's
    _spread: NDArray[np.float64]  # (sensors + 1, f)
    _own: NDArray[np.uint64]  # keys of the fit rows, sorted
    _pulled: NDArray[np.float32]  # for each of them, what leaving it out adds of its cut residual

    @classmethod
    def inputs(cls, params: ConditionedParams) -> tuple[str | ViewKey, ...]:
        """The view, the covariates and the sensor codes."""
        return (view_key(params.of), "covariates", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns from a view (n, f), covariates (n, k) with NaN for missing, and sensor codes (n, 1)."""
        from threadpoolctl import threadpool_limits

        x, covariates, sensor = self._split(inputs)
        self._kept, self._basis = varying(x), None
        if len(x) < FEWEST or not np.isfinite(covariates).any():
            return
        self._basis = Basis.fit(covariates, sensor)
        design = self._basis.design(covariates, sensor)
        groups = [(s, rows) for s, rows in enumerate(sensor_rows(sensor)) if len(rows)]
        sensors, width = int(sensor.max(initial=-1)) + 1, design.shape[1]
        with threadpool_limits(1):
            pool = huber_regression(design, x, np.zeros((width, x.shape[1])), np.zeros(width))
            coefficients = np.tile(pool, (sensors + 1, 1, 1))
            residual = x - design @ pool
            log_spread = np.tile(np.log(spread(residual)), (sensors + 1, 1))
            pulled = np.zeros(len(x))
            for s, rows in groups:
                ridge = np.append(50 / len(rows) ** 2, np.full(width - 1, self.params.pull))
                coefficients[s] = huber_regression(design[rows], x[rows], pool, ridge)
                residual[rows] = x[rows] - design[rows] @ coefficients[s]
                pulled[rows] = leverage(design[rows], ridge)
                cut = HUBER * spread(residual[rows])
                residual[rows] += pulled[rows, None] * np.clip(residual[rows], -cut, cut)
        within = spread(residual)
        for s, rows in groups:
            own = len(rows) / (len(rows) + self.params.prior)
            log_spread[s] = (1 - own) * np.log(within) + own * np.log(spread(residual[rows], within))
        self._coefficients, self._spread = coefficients.astype(np.float32), np.exp(log_spread)
        keys = _keys(x, covariates, sensor)
        order = np.argsort(keys, kind="stable")
        self._own, self._pulled = keys[order], pulled[order].astype(np.float32)

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, f), (n, k) and (n, 1) -> (n, f)."""
        self._fitted()
        x, covariates, sensor = self._split(inputs)
        if self._basis is None:
            return x.astype(np.float32)
        design = self._basis.design(covariates, sensor)
        row, keys = or_pool(sensor, len(self._spread) - 1), _keys(x, covariates, sensor)
        for j in range(design.shape[1]):
            x = x - design[:, j, None] * self._coefficients[row, j]
        z = x / self._spread[row]
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
        if self._basis is None:
            return {"kept": kept}
        learned = {"coefficients": self._coefficients, "spread": self._spread}
        return {"kept": kept, **self._basis.state(), **learned, "own": self._own, "pulled": self._pulled}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._kept, self._basis = state["kept"].astype(bool), None
        if "coefficients" in state:
            self._basis = Basis.load(state)
            self._coefficients, self._spread = state["coefficients"], state["spread"]
            self._own, self._pulled = state["own"], state["pulled"]

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
