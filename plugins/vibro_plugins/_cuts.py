"""What thresholders share: checks of their input and the quantile that keeps its promise on a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, StandAside

Floats = NDArray[np.float64]


def usable(scores: Floats, budget: float) -> Floats:
    """The finite scores, sorted; ConfigError for a budget outside (0, 1), StandAside without any score."""
    if not 0.0 < budget < 1.0:
        raise ConfigError(
            f"budget {budget!r} must lie strictly between 0 and 1", hint="0.01 = one normal record in 100"
        )
    known = np.sort(np.asarray(scores, dtype=np.float64)[np.isfinite(scores)])
    if not len(known):
        raise StandAside("no reference score to put a cut on")
    return known


def upper_quantile(known: Floats, budget: float) -> float:
    """Cut that a fresh score exceeds with probability ``budget``: order statistic (n + 1)(1 - budget), at most the largest.

    Weibull's plotting position is the unbiased one for a continuous distribution (Gumbel, Statistics of Extremes, 1958).
    """
    return float(np.quantile(known, 1.0 - budget, method="weibull"))
