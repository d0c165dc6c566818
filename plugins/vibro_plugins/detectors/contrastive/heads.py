"""Scoring heads: what is far from the stored codes of the fit rows.

A head is a function of stored codes (m, d), the number of neighbours and a seed; it gives a function from codes (n, d) to
scores (n,), larger = farther. Nothing but the codes has to be kept: a head is made again from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vibro_plugins._neighbours import Neighbours
from vibro_plugins._scatter import concentrate
from vibro_plugins._tabular import Columns, in_blocks, one_thread

Floats = NDArray[np.float64]
Scorer = Callable[[Floats], Floats]
FEW = 8  # dimensions left for densities
MOST_PARTS = 8
MOST_ROWS = 4096  # codes that a one-class SVM is made from; its cost grows with their square


def fit_head(name: str, codes: Floats, neighbours: int, seed: int) -> Scorer:
    """The named head, fitted; it scores in blocks of one size, so that no row depends on its company."""
    with one_thread():
        score = HEADS[name](codes, neighbours, seed)
    return lambda asked: in_blocks(score, asked)


def knn(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """Mean distance to the nearest codes; a stored code does not count as its own neighbour."""
    found = Neighbours(neighbours)
    found.store(codes.astype(np.float32))
    return lambda asked: found.query(asked.astype(np.float32))[0].mean(axis=1)


def knn_cosine(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """The same among directions: |u - v|^2 = 2 - 2 cos."""
    score = knn(unit(codes), neighbours, seed)
    return lambda asked: score(unit(asked))


def centroid(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """Euclidean distance from the mean code."""
    centre = codes.mean(axis=0)
    return lambda asked: np.linalg.norm(asked - centre, axis=1)


def centroid_cosine(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """1 - cosine to the mean direction."""
    centre = unit(unit(codes).mean(axis=0, keepdims=True))[0]
    return lambda asked: 1 - unit(asked) @ centre


def mahalanobis(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """Distance in the scatter of the codes, Ledoit-Wolf, refitted without the farthest 5 %."""
    columns = Columns.fit(codes)
    scatter, _ = concentrate(columns.apply(codes), 0.05, 8)
    return lambda asked: scatter.distance(columns.apply(asked), np.zeros(len(asked), bool))


def gmm(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """-log density of a Gaussian mixture on the leading axes; of 1 to 8 parts the number with the lowest BIC."""
    from sklearn.mixture import GaussianMixture

    axes = Axes.fit(codes)
    z = axes.apply(codes)
    fits = [
        GaussianMixture(parts, reg_covar=1e-4, random_state=seed).fit(z)
        for parts in range(1, min(MOST_PARTS, len(z) // (4 * z.shape[1]) + 1) + 1)
    ]
    best = min(fits, key=lambda fit: fit.bic(z))
    return lambda asked: -best.score_samples(axes.apply(asked))


def kde(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """-log density of a Gaussian kernel estimate on the leading axes, bandwidth by Scott's rule."""
    from scipy.special import logsumexp

    axes = Axes.fit(codes)
    z = axes.apply(codes)
    width = len(z) ** (-1 / (z.shape[1] + 4))

    def score(asked: Floats) -> Floats:
        y = axes.apply(asked)
        squared = np.maximum((y**2).sum(axis=1)[:, None] - 2 * y @ z.T + (z**2).sum(axis=1), 0)
        return -logsumexp(-squared / (2 * width**2), axis=1)

    return score


def iforest(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """Isolation forest of 200 trees."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=200, random_state=seed).fit(codes)
    return lambda asked: -forest.score_samples(asked)


def ocsvm(codes: Floats, neighbours: int, seed: int) -> Scorer:
    """One-class SVM, Gaussian kernel, nu 0.05, on standardised codes; minus its decision value."""
    from sklearn.svm import OneClassSVM

    columns = Columns.fit(codes)
    chosen = np.unique(np.linspace(0, len(codes) - 1, MOST_ROWS).astype(int)) if len(codes) > MOST_ROWS else slice(None)
    svm = OneClassSVM(nu=0.05).fit(columns.apply(codes)[chosen])
    return lambda asked: -svm.decision_function(columns.apply(asked))


HEADS: dict[str, Callable[[Floats, int, int], Scorer]] = {
    "knn": knn,
    "knn_cosine": knn_cosine,
    "centroid": centroid,
    "centroid_cosine": centroid_cosine,
    "mahalanobis": mahalanobis,
    "gmm": gmm,
    "kde": kde,
    "iforest": iforest,
    "ocsvm": ocsvm,
}


@dataclass(frozen=True)
class Axes:
    """The leading principal axes of the codes, each in units of its own spread."""

    centre: Floats
    axes: Floats  # (d, k)

    @classmethod
    def fit(cls, codes: Floats) -> Self:
        """At most ``FEW`` axes, those with a spread."""
        centre = codes.mean(axis=0)
        _, size, axes = np.linalg.svd(codes - centre, full_matrices=False)
        keep = np.flatnonzero(size[:FEW] > 1e-6 * max(size[0], 1e-30))
        return cls(centre, (axes[keep] / size[keep, None]).T * np.sqrt(len(codes)))

    def apply(self, codes: Floats) -> Floats:
        """(n, d) -> (n, k)."""
        return (codes - self.centre) @ self.axes


def unit(codes: Floats) -> Floats:
    """Rows at length 1; a row of zeros stays."""
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
