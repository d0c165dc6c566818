"""Scale of one sensor's rows in every column, shrunk towards the pooled estimate: for the views that standardise others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COMMON = 5.0  # times the prior's rows by which a widening of all columns is shrunk


def shrunk_log_scale(
    own: NDArray[np.float64], n: int, within: NDArray[np.float64], base: NDArray[np.float64], prior: float
) -> NDArray[np.float64]:
    """Logarithm of the robust scale ``own`` (f,) of one sensor's n rows, shrunk towards ``base`` (f,) by prior / (n + prior).

    The median excess over ``within``, the scale (f,) of all sensors, is shrunk by 5 prior / (n + 5 prior): sensors differ from
    column to column, while a fault in a quarter of a sensor's rows or more widens most columns at once and would mask
    itself.
    """
    log = np.log(own)
    common = max(float(np.median(log - np.log(within))), 0.0)
    return np.asarray(base + n / (n + prior) * (log - common - base) + n / (n + COMMON * prior) * common)
