"""Generalised Pareto distribution of excesses over a threshold: fit, survival and quantile, continuous through shape 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHAPES = (-0.95, 0.5)  # the likelihood has no maximum below -1; above 0.5 the variance is infinite
NEAR_ZERO = 1e-6


def fit_moments(excess: Floats) -> tuple[float, float]:
    """(scale, shape) by probability-weighted moments, shape within SHAPES (Hosking and Wallis, Technometrics 1987)."""
    x = np.sort(excess)
    n = len(x)
    mean = float(x.mean())
    lower = float(np.mean((1.0 - (np.arange(n) + 0.65) / n) * x))
    shape = float(np.clip(2.0 - mean / max(mean - 2.0 * lower, 1e-300), *SHAPES))
    return max(mean * (1.0 - shape), 1e-300), shape


def fit(excess: Floats) -> tuple[float, float]:
    """(scale, shape) of maximum likelihood, begun at the moments, shape within SHAPES; location 0 throughout."""
    from scipy.optimize import minimize

    start = fit_moments(excess)
    unit = float(np.mean(excess))
    if not unit > 0:
        return max(start[0], 1e-300), 0.0
    x = excess / unit

    def loss(theta: Floats) -> float:
        value = log_likelihood(x, float(np.exp(theta[0])), float(theta[1]))
        return -value if np.isfinite(value) else 1e12

    best = minimize(
        loss, [np.log(start[0] / unit), start[1]], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}
    )
    scale, shape = float(np.exp(best.x[0])) * unit, float(best.x[1])
    if not SHAPES[0] <= shape <= SHAPES[1]:
        shape = float(np.clip(shape, *SHAPES))
        scale = unit * (1.0 - shape)
    return scale, shape


def log_likelihood(excess: Floats, scale: float, shape: float) -> float:
    """Sum of log densities; -inf where an excess lies beyond the end of a bounded tail."""
    y = excess / scale
    if abs(shape) < NEAR_ZERO:
        return float(-len(y) * np.log(scale) - y.sum() * (1.0 + shape) + shape * np.sum(y * y) / 2.0)
    inside = 1.0 + shape * y
    if inside.min() <= 0:
        return -np.inf
    return float(-len(y) * np.log(scale) - (1.0 + 1.0 / shape) * np.log(inside).sum())


def quantile(scale: float, shape: float, ratio: float) -> float:
    """Excess that a share ``ratio`` of the tail exceeds: scale / shape (ratio^-shape - 1), its series near shape 0."""
    if abs(shape) < NEAR_ZERO:
        log = -np.log(ratio)
        return float(scale * log * (1.0 + 0.5 * shape * log))
    return float(scale * np.expm1(-shape * np.log(ratio)) / shape)


def survival(excess: Floats, scale: float, shape: float) -> Floats:
    """Share of the tail beyond each excess >= 0."""
    y = np.maximum(excess, 0.0) / scale
    if abs(shape) < NEAR_ZERO:
        return np.exp(-y)
    return np.asarray(np.maximum(1.0 + shape * y, 0.0) ** (-1.0 / shape))
