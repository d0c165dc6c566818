"""Scale of one sensor's rows in every column, shrunk towards the pooled estimate: for the views that standardise others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.scoring.regression import robust_scale

COMMON = 5.0  # times the prior's rows by which a widening of all columns is shrunk


def shrunk_log_scale(
    residual: NDArray[np.float64], within: NDArray[np.float64], base: NDArray[np.float64], prior: float
) -> NDArray[np.float64]:
    """Logarithm of the scale (f,) of one sensor's residuals (n, f), shrunk towards ``base`` (f,) by prior / (n + prior).

    The median excess over ``within``, the scale (f,) of all sensors, is shrunk by 5 prior / (n + 5 prior): sensors differ from
    column to column, while a fault in a quarter of a sensor's rows or more widens most columns at once and would mask
    itself.
    """
    n = len(residual)
    own = np.log(robust_scale(residual, within))
    common = max(float(np.median(own - np.log(within))), 0.0)
    return np.asarray(base + n / (n + prior) * (own - common - base) + n / (n + COMMON * prior) * common)
