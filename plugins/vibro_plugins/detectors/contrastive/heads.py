"""Scoring heads: how far a code is from the codes of the fit rows.

Every head is two functions: one makes arrays from the codes of the fit rows (m, d), the number of neighbours and a seed; the
other makes from these arrays a function from codes (n, d) to scores (n,), larger = farther. So a loaded head gives the same
scores as the fitted one, whatever version of a library fitted it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro_plugins.detectors.contrastive.losses import unit
from vibro_plugins.stats.columns import Columns, evenly_spaced, in_blocks, one_thread
from vibro_plugins.stats.covariance import concentrate
from vibro_plugins.stats.neighbours import Neighbours

Floats = NDArray[np.float64]
Scorer = Callable[[Floats], Floats]
FEW = 8  # dimensions for density estimates
MOST_PARTS = 8
MOST_ROWS = 4096  # codes that a one-class SVM is fitted on; its cost grows with their square


@dataclass(frozen=True)
class Head:
    """A fitted head: its arrays, and the scorer made of them."""

    arrays: State
    scorer: Scorer

    def score(self, codes: Floats) -> Floats:
        """(n, d) -> (n,)."""
        return in_blocks(self.scorer, codes)

    def used(self, rows: int) -> int:
        """How many of so many codes the head was made of."""
        kept = self.arrays.get("codes")
        return len(kept) if kept is not None else min(rows, MOST_ROWS) if "vectors" in self.arrays else rows


def fit_head(name: str, codes: Floats, neighbours: int, seed: int) -> Head:
    """The named head of the codes (m, d)."""
    with one_thread():
        return head_of(name, HEADS[name][0](codes, neighbours, seed))


def head_of(name: str, arrays: State) -> Head:
    """The named head from its arrays."""
    return Head(arrays, HEADS[name][1](arrays))


def store_codes(codes: Floats, neighbours: int, seed: int) -> State:
    """Codes for ``knn``: those that a score is compared with."""
    found = Neighbours(neighbours)
    found.store(codes.astype(np.float32))
    return {"codes": found.rows, "neighbours": np.array(neighbours)}


def knn(arrays: State) -> Scorer:
    """Mean distance to the nearest codes; a fit row is not its own neighbour."""
    found = Neighbours(int(arrays["neighbours"]))
    found.store(arrays["codes"])
    return lambda asked: found.query(asked.astype(np.float32))[0].mean(axis=1)


def store_directions(codes: Floats, neighbours: int, seed: int) -> State:
    """Directions for ``knn_cosine``."""
    return store_codes(unit(codes), neighbours, seed)


def knn_cosine(arrays: State) -> Scorer:
    """The same among directions: |u - v|^2 = 2 - 2 cos."""
    score = knn(arrays)
    return lambda asked: score(unit(asked))


def centroid(arrays: State) -> Scorer:
    """Euclidean distance from the mean code."""
    return lambda asked: np.linalg.norm(asked - arrays["centre"], axis=1)


def centroid_cosine(arrays: State) -> Scorer:
    """1 - cosine to the mean direction."""
    return lambda asked: 1 - unit(asked) @ arrays["centre"]


def fit_scatter(codes: Floats, neighbours: int, seed: int) -> State:
    """Scatter for ``mahalanobis``: Ledoit-Wolf, refitted without the farthest 5 %."""
    columns = Columns.fit(codes)
    scatter, _ = concentrate(columns.apply(codes), 0.05, 8)
    return {**columns.state(), "centre": scatter.centre, "whiten": scatter.whiten}


def mahalanobis(arrays: State) -> Scorer:
    """Distance in the scatter of the codes."""
    columns, whiten = Columns.load(arrays), arrays["whiten"]
    return lambda asked: np.sqrt(np.mean(((columns.apply(asked) - arrays["centre"]) @ whiten) ** 2, axis=1))


def fit_mixture(codes: Floats, neighbours: int, seed: int) -> State:
    """Gaussian mixture on the leading axes; of 1 to 8 parts the number with the lowest BIC."""
    from sklearn.mixture import GaussianMixture

    axes = Axes.fit(codes)
    z = axes.apply(codes)
    fits = [
        GaussianMixture(parts, reg_covar=1e-4, random_state=seed).fit(z)
        for parts in range(1, min(MOST_PARTS, len(z) // (4 * z.shape[1]) + 1) + 1)
    ]
    best = min(fits, key=lambda fit: fit.bic(z))
    return {**axes.state(), "weights": best.weights_, "means": best.means_, "roots": best.precisions_cholesky_}


def gmm(arrays: State) -> Scorer:
    """-log density of the mixture; ``roots`` R of the precisions, R R^T their inverse covariance."""
    from scipy.special import logsumexp

    axes, means, roots = Axes.load(arrays), arrays["means"], arrays["roots"]
    norms = np.log(arrays["weights"]) + np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    norms = norms - 0.5 * means.shape[1] * np.log(2 * np.pi)

    def score(asked: Floats) -> Floats:
        y = axes.apply(asked)
        squared = np.stack([np.sum(((y - mean) @ root) ** 2, axis=1) for mean, root in zip(means, roots, strict=True)])
        return -logsumexp(norms[:, None] - 0.5 * squared, axis=0)

    return score


def fit_kernels(codes: Floats, neighbours: int, seed: int) -> State:
    """Codes on the leading axes for ``kde``."""
    axes = Axes.fit(codes)
    return {**axes.state(), "z": axes.apply(codes)}


def kde(arrays: State) -> Scorer:
    """-log density of a Gaussian kernel estimate on the leading axes, bandwidth by Scott's rule."""
    from scipy.special import logsumexp

    axes, z = Axes.load(arrays), arrays["z"]
    width = len(z) ** (-1 / (z.shape[1] + 4))

    def score(asked: Floats) -> Floats:
        y = axes.apply(asked)
        squared = np.maximum((y**2).sum(axis=1)[:, None] - 2 * y @ z.T + (z**2).sum(axis=1), 0)
        return -logsumexp(-squared / (2 * width**2), axis=1)

    return score


def fit_forest(codes: Floats, neighbours: int, seed: int) -> State:
    """Isolation forest of 200 trees: the nodes of all trees, one row a tree; a leaf is its own child."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=200, random_state=seed).fit(codes)
    trees = [tree.tree_ for tree in forest.estimators_]
    most = max(tree.node_count for tree in trees)
    left, right, feature = (np.tile(np.arange(most), (len(trees), 1)) for _ in range(3))
    threshold, depth = np.zeros(left.shape), np.zeros(left.shape)
    for i, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        left[i, inner], right[i, inner] = tree.children_left[inner], tree.children_right[inner]
        feature[i], threshold[i, inner] = 0, tree.threshold[inner]
        feature[i, inner] = tree.feature[inner]
        depth[i, : tree.node_count] = _unsplit(tree.n_node_samples)
        for node in inner:  # a parent stands before its children
            for child in (tree.children_left[node], tree.children_right[node]):
                above = depth[i, node] - _unsplit(tree.n_node_samples[node : node + 1])[0]
                depth[i, child] += above + 1
    usual = _unsplit(np.array([forest.max_samples_]))
    return {"left": left, "right": right, "feature": feature, "threshold": threshold, "depth": depth / usual}


def iforest(arrays: State) -> Scorer:
    """2^-(mean depth of the leaves a code falls into / that of an unsuccessful search) (Liu et al., ICDM 2008)."""
    left, right, feature = arrays["left"], arrays["right"], arrays["feature"]
    threshold, depth = arrays["threshold"], arrays["depth"]
    tree = np.arange(len(left))

    def score(asked: Floats) -> Floats:
        values = asked.astype(np.float32)
        node = np.zeros((len(asked), len(left)), np.intp)
        while True:
            below = np.take_along_axis(values, feature[tree, node], axis=1) <= threshold[tree, node]
            following = np.where(below, left[tree, node], right[tree, node])
            if np.array_equal(following, node):
                return np.exp2(-depth[tree, node].mean(axis=1))
            node = following

    return score


def _unsplit(rows: NDArray[Any]) -> Floats:
    """Mean depth of an unsuccessful search among so many rows: 2 (ln(n - 1) + gamma) - 2 (n - 1) / n; 1 of 2 rows, 0 of 1."""
    n = np.maximum(np.asarray(rows, float), 3)
    found = 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(np.asarray(rows) > 2, found, np.where(np.asarray(rows) == 2, 1.0, 0.0))


def fit_svm(codes: Floats, neighbours: int, seed: int) -> State:
    """One-class SVM, Gaussian kernel, nu 0.05, on standardised codes."""
    from sklearn.svm import OneClassSVM

    columns = Columns.fit(codes)
    z = columns.apply(codes)[evenly_spaced(len(codes), MOST_ROWS)]
    svm = OneClassSVM(nu=0.05, gamma=1 / (z.shape[1] * max(z.var(), 1e-12))).fit(z)
    inner = {"vectors": svm.support_vectors_, "shares": svm.dual_coef_[0], "offset": svm.intercept_}
    return {**columns.state(), **inner, "gamma": np.array(svm.gamma)}


def ocsvm(arrays: State) -> Scorer:
    """Minus the decision value of the one-class SVM."""
    columns, vectors, gamma = Columns.load(arrays), arrays["vectors"], float(arrays["gamma"])

    def score(asked: Floats) -> Floats:
        y = columns.apply(asked)
        squared = np.maximum((y**2).sum(axis=1)[:, None] - 2 * y @ vectors.T + (vectors**2).sum(axis=1), 0)
        return -(np.exp(-gamma * squared) @ arrays["shares"] + arrays["offset"][0])

    return score


HEADS: dict[str, tuple[Callable[[Floats, int, int], State], Callable[[State], Scorer]]] = {
    "knn": (store_codes, knn),
    "knn_cosine": (store_directions, knn_cosine),
    "centroid": (lambda codes, neighbours, seed: {"centre": codes.mean(axis=0)}, centroid),
    "centroid_cosine": (
        lambda codes, neighbours, seed: {"centre": unit(unit(codes).mean(axis=0, keepdims=True))[0]},
        centroid_cosine,
    ),
    "mahalanobis": (fit_scatter, mahalanobis),
    "gmm": (fit_mixture, gmm),
    "kde": (fit_kernels, kde),
    "iforest": (fit_forest, iforest),
    "ocsvm": (fit_svm, ocsvm),
}


@dataclass(frozen=True)
class Axes:
    """The leading principal axes of the codes, each scaled to unit variance."""

    centre: Floats
    axes: Floats  # (d, k)

    @classmethod
    def fit(cls, codes: Floats) -> Self:
        """At most ``FEW`` axes, those along which the codes vary."""
        centre = codes.mean(axis=0)
        _, size, axes = np.linalg.svd(codes - centre, full_matrices=False)
        keep = np.flatnonzero(size[:FEW] > 1e-6 * max(size[0], 1e-30))
        return cls(centre, (axes[keep] / size[keep, None]).T * np.sqrt(len(codes)))

    def state(self) -> State:
        """Arrays for a head."""
        return {"axes.centre": self.centre, "axes.axes": self.axes}

    @classmethod
    def load(cls, state: State) -> Self:
        """Back from ``state``."""
        return cls(state["axes.centre"], state["axes.axes"])

    def apply(self, codes: Floats) -> Floats:
        """(n, d) -> (n, k)."""
        return (codes - self.centre) @ self.axes
