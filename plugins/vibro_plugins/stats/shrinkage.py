"""Spread of one sensor's rows in every column, drawn to the pool's: shared by the views that standardise others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.scoring.regression import spread

COMMON = 5.0  # times the rows of the prior that a widening of all columns together must stand up to


def drawn_spread(
    residual: NDArray[np.float64], within: NDArray[np.float64], base: NDArray[np.float64], prior: float
) -> NDArray[np.float64]:
    """Logarithm of the spread (f,) of the residuals (n, f) of one sensor, drawn to ``base`` (f,) by n / (n + ``prior``).

    What all columns are wider in than ``within``, the spread (f,) of all sensors, counts by n / (n + 5 ``prior``) alone:
    sensors differ from column to column, while a fault among a sensor's own rows, a quarter of them or more, widens most
    columns at once and would hide behind the spread that it makes.
    """
    n = len(residual)
    own = np.log(spread(residual, within))
    common = max(float(np.median(own - np.log(within))), 0.0)
    return np.asarray(base + n / (n + prior) * (own - common - base) + n / (n + COMMON * prior) * common)
