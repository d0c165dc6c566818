"""Weights from a few labels: a non-negative logistic model, shrunk to the plain mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Fuser, Params
from vibro_plugins.fusers.linear_base import Floats, Labels, LinearFuser


@dataclass(frozen=True)
class StackParams(Params):
    """Settings of ``stack``.

    ``prior``: labels, twice the rarer class, at which the learned weights count half
    """

    prior: Annotated[float, Field(gt=0)] = 20.0


class Stack(LinearFuser):
    """(1 - s) mean + s stacked weights, s = m / (m + prior) with m twice the rarer class among the labels.

    Weights minimise the class-balanced logistic loss under w >= 0: stacking with non-negativity (Breiman, Machine Learning
    1996). With five labels s is small, with one class of labels it is 0 and the fuser is the mean.
    """

    name = "stack"
    summary = "non-negative logistic weights from labels, shrunk to equal ones"
    Params = StackParams
    needs_labels = True

    _note: str | None = None

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Learns from rows with y 0 (normal) or >= 1 (fault); -1 and missing labels are left out."""
        d = z.shape[1]
        equal = np.full(d, 1.0 / max(d, 1))
        label = np.full(len(z), -1) if y is None else np.asarray(y)
        rarer = int(min((label == 0).sum(), (label > 0).sum()))
        self._weights, self._note = equal, None
        if not rarer:
            self._note = "stack: labels of both classes are needed to learn weights; the plain mean is used"
            return
        rows = label >= 0
        share = 2 * rarer / (2 * rarer + self.params.prior)
        learned = _logistic(np.where(np.isfinite(z[rows]), z[rows], 0.0), label[rows] > 0)
        self._weights = (1.0 - share) * equal + share * learned

    def notes(self) -> list[str]:
        """What kept it from learning."""
        return [self._note] if self._note else []


def _logistic(z: Floats, fault: NDArray[np.bool_]) -> Floats:
    """Weights (d,) >= 0 with sum 1 of the class-balanced logistic loss with a small ridge."""
    from scipy.optimize import minimize
    from scipy.special import expit

    sign = np.where(fault, 1.0, -1.0)
    balance = np.where(fault, 0.5 / fault.sum(), 0.5 / (~fault).sum())

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = sign * (z @ theta[:-1] + theta[-1])
        slope = -balance * sign * expit(-margin)
        value = float(balance @ np.logaddexp(0.0, -margin)) + 0.005 * float(theta[:-1] @ theta[:-1])
        return value, np.append(z.T @ slope + 0.01 * theta[:-1], slope.sum())

    d = z.shape[1]
    bounds = [(0.0, None)] * d + [(None, None)]
    best = minimize(loss, np.append(np.full(d, 1.0 / d), 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    weights = np.maximum(best.x[:-1], 0.0)
    return weights / weights.sum() if weights.sum() > 0 else np.full(d, 1.0 / d)


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Stack)
