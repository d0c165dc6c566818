"""Two classifiers of rows against disturbed copies, whose state is plain arrays: logistic regression and random trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro_plugins.detectors.synthetic.kernels import walk
from vibro_plugins.stats.columns import flatten

Floats = NDArray[np.float64]
LEAST = 1e-6  # least probability of either class
STEPS = 300  # of the solver at most
LEAVES, SMALLEST_LEAF = 64, 3  # of a tree, rows in a leaf


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


class Trees:
    """Extremely randomised trees (Geurts, Ernst, Wehenkel, Machine Learning 63, 2006), balanced; the log-odds of their mean.

    Nodes of all trees lie in one table; a leaf points to itself.
    """

    def __init__(self, trees: int) -> None:
        self.trees = trees

    def fit(self, features: Floats, copied: NDArray[np.bool_], seed: int) -> None:
        """From features (n, p) of rows and copies, and which are copies."""
        from sklearn.ensemble import ExtraTreesClassifier

        model = ExtraTreesClassifier(
            self.trees,
            min_samples_leaf=SMALLEST_LEAF,
            max_leaf_nodes=LEAVES,
            class_weight="balanced",
            random_state=seed % 2**31,
        )
        model.fit(features.astype(np.float32), copied)
        found = [tree.tree_ for tree in model.estimators_]
        start = np.cumsum([0, *(t.node_count for t in found)])
        self.root = start[:-1].astype(np.int32)
        leaf = [t.children_left < 0 for t in found]
        own = [np.arange(t.node_count) for t in found]
        self.left, self.right = (
            np.concatenate(
                [np.where(a, o, child) + s for a, o, child, s in zip(leaf, own, side, start, strict=False)]
            ).astype(np.int32)
            for side in ([t.children_left for t in found], [t.children_right for t in found])
        )
        self.feature = np.concatenate([np.maximum(t.feature, 0) for t in found]).astype(np.int32)
        self.cut = np.concatenate([t.threshold for t in found])
        share = np.concatenate([t.value[:, 0, :] for t in found])
        self.share = share[:, 1] / share.sum(axis=1)
        self.depth = max(t.max_depth for t in found)

    def answer(self, features: Floats) -> Floats:
        """(n, p) -> (n,) log-odds of being disturbed."""
        x = features.astype(np.float32)
        node = np.empty((len(x), len(self.root)), np.int32)
        walk(x, self.depth, self.root, self.left, self.right, self.feature, self.cut, node)
        p = np.clip(self.share[node].mean(axis=1), LEAST, 1 - LEAST)
        return np.asarray(np.log(p / (1 - p)))

    def state(self) -> State:
        """The table of nodes."""
        names = ("root", "left", "right", "feature", "cut", "share")
        return {**{name: getattr(self, name) for name in names}, "depth": np.array(self.depth)}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        for name in ("root", "left", "right", "feature", "cut", "share"):
            setattr(self, name, state[name])
        self.depth = int(state["depth"])


def told_apart(z: NDArray[Any], white: NDArray[Any]) -> Floats:
    """Features (n, p) of robust units z (n, k) and whitened ones (n, k): each, its size and its excess; means over all."""
    return np.concatenate([_parts(flatten(z)), _parts(flatten(white))], axis=1)


def _parts(z: Floats) -> Floats:
    z = np.clip(z, -12.0, 12.0)
    above = np.maximum(z, 0.0)
    mean = np.minimum(above, 6.0).mean(axis=1, keepdims=True)
    size = np.log(np.mean(z * z, axis=1, keepdims=True) + 1e-6)
    return np.concatenate([z, np.abs(z), above**2 / 12.0, mean, size], axis=1)
