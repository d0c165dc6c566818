"""The generalised-Pareto tail of a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _pareto(excess: Floats) -> tuple[float, float]:
    """Scale and shape in [0, 0.5] of sorted excesses by their weighted moments (Hosking and Wallis, Technometrics 1987)."""
    n = len(excess)
    if n == 0:
        return 1.0, 0.0
    mean = float(excess.mean())
    lower = float(np.mean((1.0 - (np.arange(n) + 0.65) / n) * excess))
    shape = 2.0 - mean / max(mean - 2.0 * lower, 1e-12)
    shape = float(np.clip(shape, 0.0, 0.5))
    return max(mean * (1.0 - shape), 1e-12), shape
