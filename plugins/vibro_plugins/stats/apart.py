"""What tells records from disturbed copies of them: features, and a logistic regression whose state is plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro_plugins.stats.columns import flatten

Floats = NDArray[np.float64]
STEPS = 300  # of the solver at most


class Linear:
    """Balanced logistic regression on standardised features; its answer is the log-odds."""

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def fit(self, features: Floats, copied: NDArray[np.bool_], seed: int) -> None:
        """From features (n, p) of rows and copies, and which are copies."""
        from sklearn.linear_model import LogisticRegression

        centre, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
        model = LogisticRegression(C=1.0 / self.penalty, class_weight="balanced", max_iter=STEPS)
        model.fit((features - centre) / scale, copied)
        self.weight = model.coef_[0] / scale
        self.offset = float(model.intercept_[0] - centre @ self.weight)

    def answer(self, features: Floats) -> Floats:
        """(n, p) -> (n,) log-odds of being disturbed."""
        return np.asarray(features @ self.weight + self.offset)

    def state(self) -> State:
        """Weights and offset."""
        return {"weight": self.weight, "offset": np.array(self.offset)}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.weight, self.offset = state["weight"], float(state["offset"])


def told_apart(z: NDArray[Any], white: NDArray[Any]) -> Floats:
    """Features (n, p) of robust units z (n, k) and whitened ones (n, k): each, its size and its excess; means over all."""
    return np.concatenate([_parts(flatten(z)), _parts(flatten(white))], axis=1)


def _parts(z: Floats) -> Floats:
    z = np.clip(z, -12.0, 12.0)
    above = np.maximum(z, 0.0)
    mean = np.minimum(above, 6.0).mean(axis=1, keepdims=True)
    size = np.log(np.mean(z * z, axis=1, keepdims=True) + 1e-6)
    return np.concatenate([z, np.abs(z), above**2 / 12.0, mean, size], axis=1)
