"""Whether a network has learned: explained error against principal axes, and the rank of its codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.deep.standardise import BLOCK
from vibro_plugins.stats.columns import leading_axes

AXES, SAMPLE = 4, 256  # principal axes that a network is measured against, and rows that they are found on


LEAST_SHARE, SLACK = 0.25, 0.02  # of what they explain a network must explain, less this


def explained(error: NDArray[np.float64], usual: NDArray[np.float64]) -> float:
    """Share of the ``usual`` error (n,), that of the median row, which a model does away with; medians over rows."""
    return float(1 - np.median(error) / max(np.median(usual), 1e-12))


def linear(
    standardised: Callable[[NDArray[Any]], NDArray[Any]],
    x: NDArray[Any],
    rows: NDArray[np.intp],
    held: NDArray[np.intp],
    error: Callable[[NDArray[Any]], NDArray[np.float64]],
) -> float:
    """What four principal axes of ``rows`` of x explain of the error of those ``held`` out: is there anything to learn?

    ``error`` of what is left, (n, values) -> (n,). Of a view from which load and sensor have been taken out, which is noise
    about zero, nothing is explained by anybody.
    """
    z, y = (
        np.concatenate([standardised(x[few[i : i + BLOCK]]) for i in range(0, min(len(few), SAMPLE), BLOCK)])
        for few in (rows, held)
    )
    z, y = z.reshape(len(z), -1), y.reshape(len(y), -1)
    axes = leading_axes(z, min(AXES, *np.subtract(z.shape, 1)), 0)
    return explained(error(y - y @ axes @ axes.T), error(y))


def enough(gain: float, by_axes: float) -> bool:
    """Whether a network explains a quarter of what principal axes do; or next to nothing where they do not either.

    That it learned this, another figure must say: an untrained one may explain next to nothing too.
    """
    return gain > LEAST_SHARE * max(by_axes, 0.0) - SLACK


def effective_rank(codes: NDArray[np.float64]) -> float:
    """exp of the entropy of the shares of variance along the principal axes (after Roy and Vetterli, EUSIPCO 2007).

    0 where nothing varies or a code is not finite.
    """
    if not np.isfinite(codes).all():
        return 0.0
    variance = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False) ** 2
    share = variance[variance > 0] / max(variance.sum(), 1e-300)
    return float(np.exp(-np.sum(share * np.log(share)))) if len(share) else 0.0
