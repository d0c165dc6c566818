"""``logistic``: a linear model of standardised values and of how far they are from the middle, the baseline of the
supervised stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Classifier, NotFittedError, Params, State

CLIP = 8.0  # standard deviations
SIGNED = 0.5  # size of a value beside its distance from the usual


@dataclass(frozen=True)
class LogisticParams(Params):
    """Settings of ``logistic``.

    ``strength``: inverse of the L2 penalty; larger follows the labels more closely
    """

    strength: Annotated[float, Field(gt=0, le=1e6)] = 10.0


class Logistic(Classifier):
    """Multinomial logistic regression with an L2 penalty (scikit-learn's, solver L-BFGS).

    The values of the view are deviations from what is usual for the sensor. Each gives log(1 + |value|), for whether a record
    is faulty shows in how far it lies from the usual, while which way differs from machine to machine, and half as large the
    value itself, which tells types of faults apart. These columns and the ensemble's scores are two blocks, each divided by
    the root of its number of columns, so that the penalty weighs both alike: a handful of labels leaves the ensemble's
    ranking as it is, many correct it.
    """

    name = "logistic"
    summary = "logistic regression on band levels, mains lines and the detectors' scores"
    view: ClassVar[dict[str, Any]] = {
        "use": "concat",
        "of": [
            {"use": "with_means", "of": {"use": "conditioned", "of": {"use": "per_sensor", "of": "spectrum"}}},
            {"use": "conditioned", "of": {"use": "per_sensor", "of": "mains"}},
        ],
    }
    item = "f"
    scores = True
    Params = LogisticParams
    requires = ("sklearn",)
    seconds = 0.1

    _weight: NDArray[np.float64] | None = None  # (columns, classes)
    _bias: NDArray[np.float64]  # (classes,)
    _mean: NDArray[np.float64]  # (columns,)
    _scale: NDArray[np.float64]  # (columns,)

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16], weight: NDArray[np.float32]) -> None:
        """Learns classes 0 .. c - 1, of which each has rows."""
        from sklearn.linear_model import LogisticRegression

        rows = np.flatnonzero(weight > 0)
        part = self._columns(x[rows])
        self._mean, scale = part.mean(axis=0), part.std(axis=0)
        self._scale = np.where(scale > 1e-9, scale, np.inf)
        model = LogisticRegression(C=self.params.strength, max_iter=1000, tol=1e-6)
        model.fit(self._standardised(part), y[rows], sample_weight=weight[rows].astype(np.float64))
        coefficients, bias = model.coef_.T, model.intercept_
        if coefficients.shape[1] == 1:  # of two classes scikit-learn gives the margin of the second
            coefficients, bias = np.hstack([-coefficients / 2, coefficients / 2]), np.r_[-bias / 2, bias / 2]
        self._weight, self._bias = coefficients, bias

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes)."""
        weight = self._fitted()
        columns = self._standardised(self._columns(x))
        margin = np.stack([(row * weight.T).sum(axis=1) for row in columns]) + self._bias  # alike for one row and many
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def state(self) -> State:
        """Coefficients and standardisation."""
        return {"weight": self._fitted(), "bias": self._bias, "mean": self._mean, "scale": self._scale}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._weight, self._bias = state["weight"], state["bias"]
        self._mean, self._scale = state["mean"], state["scale"]

    def _columns(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, columns) the view's values, their distances from the usual, and the scores."""
        whole = np.asarray(x, np.float64)
        values, scores = np.split(whole, [whole.shape[1] - len(self.ctx.names)], axis=1)
        return np.hstack([values, np.log1p(np.abs(values)), scores])

    def _standardised(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, columns) the two blocks, each of size 1 as a whole."""
        z = np.clip((columns - self._mean) / self._scale, -CLIP, CLIP)
        f = (z.shape[1] - len(self.ctx.names)) // 2
        blocks = SIGNED * z[:, :f], z[:, f : 2 * f], z[:, 2 * f :]
        return np.hstack([part / np.sqrt(max(1, part.shape[1])) for part in blocks])

    def _fitted(self) -> NDArray[np.float64]:
        if self._weight is None:
            raise NotFittedError("logistic is not fitted")
        return self._weight


@hookimpl
def register_classifiers(register: Callable[[type[Classifier]], None]) -> None:
    """Offers ``logistic``."""
    register(Logistic)
