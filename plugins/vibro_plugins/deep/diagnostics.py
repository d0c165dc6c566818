"""Whether a network has learned: explained error against principal axes, and the rank of its codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.deep.standardise import BLOCK
from vibro_plugins.stats.columns import leading_axes

AXES, SAMPLE = 4, 256  # principal axes that a network is compared with, and rows that they are found on
LEAST_SHARE, SLACK = 0.25, 0.02  # a network must explain this share of what the axes explain, less this much


def explained(error: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """1 - median ``error`` (n,) / median ``usual`` error (n,), that of predicting the median row: 0 learned nothing, 1 all."""
    return float(1 - np.median(error) / max(np.median(usual), 1e-12))


def pca_explained(
    standardised: Callable[[NDArray[Any]], NDArray[Any]],
    x: NDArray[Any],
    rows: NDArray[np.intp],
    holdout: NDArray[np.intp],
    error: Callable[[NDArray[Any]], NDArray[np.float64]],
) -> float:
    """``explained`` by a PCA of four axes, found on ``rows`` of x and evaluated on ``holdout``: is there anything to learn?

    ``error``: residuals (n, values) -> (n,). On a view that is noise about zero, as one without the effects of load and
    sensor may be, neither a PCA nor a network explains anything.
    """
    z, y = (
        np.concatenate([standardised(x[few[i : i + BLOCK]]) for i in range(0, min(len(few), SAMPLE), BLOCK)])
        for few in (rows, holdout)
    )
    z, y = z.reshape(len(z), -1), y.reshape(len(y), -1)
    axes = leading_axes(z, min(AXES, *np.subtract(z.shape, 1)), 0)
    return explained(error(y - y @ axes @ axes.T), error(y))


def explains_enough(gain: float, by_axes: float) -> bool:
    """Whether a network explains at least a quarter of what a PCA explains, less 0.02.

    Where a PCA explains nothing, an untrained network passes too: other figures must show that it was trained.
    """
    return gain > LEAST_SHARE * max(by_axes, 0.0) - SLACK


def root_mean_square(residual: NDArray[Any]) -> NDArray[np.float64]:
    """Root mean square of each row (n, *item) -> (n,), in float64."""
    return np.sqrt(np.mean(residual.reshape(len(residual), -1).astype(np.float64) ** 2, axis=1))


def effective_rank(codes: NDArray[np.float64]) -> float:
    """exp of the entropy of the shares of variance along the principal axes (after Roy and Vetterli, EUSIPCO 2007).

    0 where nothing varies or a code is not finite.
    """
    if not np.isfinite(codes).all():
        return 0.0
    variance = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False) ** 2
    share = variance[variance > 0] / max(variance.sum(), 1e-300)
    return float(np.exp(-np.sum(share * np.log(share)))) if len(share) else 0.0


def separation(sound: NDArray[np.float64], faulty: NDArray[np.float64]) -> float:
    """ROC AUC of the scores of examples of faults (m,) against those of sound rows (n,): 0.5 learned nothing, 1 all."""
    below = np.searchsorted(np.sort(sound), faulty, side="left") + np.searchsorted(np.sort(sound), faulty, side="right")
    return float(below.mean() / (2 * len(sound))) if len(sound) and len(faulty) else 0.5


def overlap(sound: NDArray[np.float64], faulty: NDArray[np.float64]) -> tuple[float, float]:
    """1 - ``separation``, and its standard error (Hanley and McNeil, Radiology 1982): by it trainings with examples stop.

    Of the examples no more count than there are sound rows, since those of one row are alike. NaN where a score is not finite.
    """
    if not (np.isfinite(sound).all() and np.isfinite(faulty).all()):
        return np.nan, np.nan
    area, n = separation(sound, faulty), max(len(sound), 1)
    more = area / (2 - area) + 2 * area**2 / (1 + area) - 2 * area**2
    return 1 - area, float(np.sqrt((area * (1 - area) + (n - 1) * more) / n**2))
