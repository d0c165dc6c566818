"""``boosting``: gradient-boosted trees, stored and scored as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Classifier, NotFittedError, Params, State

PARTS = ("left", "right", "feature", "threshold", "value")


@dataclass(frozen=True)
class BoostingParams(Params):
    """Settings of ``boosting``.

    ``trees``: rounds, each of one tree a class (one for two classes)
    ``depth``: splits from root to leaf
    ``rate``: how much of each tree counts
    ``share``: rows that each tree sees, drawn anew
    """

    trees: Annotated[int, Field(ge=1, le=5000)] = 100
    depth: Annotated[int, Field(ge=1, le=12)] = 3
    rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    share: Annotated[float, Field(gt=0, le=1)] = 0.7


class Boosting(Classifier):
    """Stochastic gradient boosting (Friedman, Computational Statistics & Data Analysis 2002), scikit-learn's for the fit.

    Each split looks at the root of the number of columns. What is kept are the nodes of the trees.
    """

    name = "boosting"
    summary = "gradient boosting on band levels, mains lines and the detectors' scores"
    view: ClassVar[dict[str, Any]] = {
        "use": "concat",
        "of": [
            {"use": "with_means", "of": {"use": "conditioned", "of": {"use": "per_sensor", "of": "spectrum"}}},
            {"use": "conditioned", "of": {"use": "per_sensor", "of": "mains"}},
        ],
    }
    item = "f"
    scores = True
    Params = BoostingParams
    deterministic = False
    requires = ("sklearn",)
    seconds = 1.0
    test_settings: ClassVar[dict[str, Any]] = {"trees": 20}

    _nodes: dict[str, NDArray[Any]] | None = None  # each (trees, outputs, nodes); a leaf has the feature -1

    def fit(self, x: NDArray[np.float32], y: NDArray[np.int16], weight: NDArray[np.float32]) -> None:
        """Learns classes 0 .. c - 1, of which each has rows."""
        from sklearn.ensemble import GradientBoostingClassifier

        rows = np.flatnonzero(weight > 0)
        label, share = y[rows], weight[rows].astype(np.float64)
        params = self.params
        model = GradientBoostingClassifier(
            n_estimators=params.trees,
            max_depth=params.depth,
            learning_rate=params.rate,
            subsample=params.share,
            max_features="sqrt",
            random_state=self.ctx.seed % 2**32,
            init="zero",
        )
        model.fit(np.asarray(x[rows], np.float32), label, sample_weight=share)
        trees = [[tree.tree_ for tree in row] for row in model.estimators_]
        most = max(tree.node_count for row in trees for tree in row)

        def gathered(name: str, fill: float, dtype: Any) -> NDArray[Any]:
            out = np.full((len(trees), len(trees[0]), most), fill, dtype)
            for i, row in enumerate(trees):
                for k, tree in enumerate(row):
                    out[i, k, : tree.node_count] = np.asarray(getattr(tree, name)).reshape(tree.node_count)
            return out

        self._nodes = {
            "left": gathered("children_left", 0, np.int32),
            "right": gathered("children_right", 0, np.int32),
            "feature": gathered("feature", -1, np.int32),
            "threshold": gathered("threshold", 0.0, np.float64),
            "value": gathered("value", 0.0, np.float64) * params.rate,
        }

    def predict_proba(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, classes)."""
        nodes = self._fitted()
        x = np.asarray(x, np.float32)
        margin = np.stack([self._margin(row, nodes) for row in x])
        if margin.shape[1] == 1:
            margin = np.hstack([np.zeros_like(margin), margin])
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def state(self) -> State:
        """The nodes of all trees."""
        return dict(self._fitted())

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._nodes = {name: state[name] for name in PARTS}

    def _margin(self, row: NDArray[np.float32], nodes: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """(outputs,) the sum of the leaves that one record falls into, all trees side by side."""
        trees, outputs = np.indices(nodes["left"].shape[:2])
        at = np.zeros(trees.shape, np.int32)
        for _ in range(self.params.depth):
            feature = nodes["feature"][trees, outputs, at]
            left = row[feature] <= nodes["threshold"][trees, outputs, at]
            below = np.where(left, nodes["left"][trees, outputs, at], nodes["right"][trees, outputs, at])
            at = np.where(feature >= 0, below, at)
        return np.asarray(nodes["value"][trees, outputs, at].sum(axis=0), np.float64)

    def _fitted(self) -> dict[str, NDArray[Any]]:
        if self._nodes is None:
            raise NotFittedError("boosting is not fitted")
        return self._nodes


@hookimpl
def register_classifiers(register: Callable[[type[Classifier]], None]) -> None:
    """Offers ``boosting``."""
    register(Boosting)
