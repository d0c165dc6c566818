"""Robust cut by median and MAD, made safe for skewed scores by working on their logarithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from vibro import hookimpl
from vibro.api import Thresholder
from vibro_plugins._cuts import usable


class Mad(Thresholder):
    """median + q * upper spread on the scores or their shifted logarithm, q the normal quantile at the budget.

    Scores are skewed, so median +- k MAD is wrong on both sides (trap T21). The shift of log(s - shift) makes the quartiles
    lie evenly about the median, after which the upper half-spread, (84 % quantile - median), stands for one sigma.
    """

    name = "mad"
    summary = "median and spread on a symmetrised scale, skew-safe"

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known = usable(scores, budget)
        low, middle, high = np.quantile(known, (0.1, 0.5, 0.9))
        spread = high - low
        if not spread > 1e-12 * max(1.0, abs(middle)):
            self._details = {"fallback": "constant scores: their common value"}
            return float(known[-1])
        # log(s - shift) is symmetric in these quantiles when (middle - shift)^2 = (low - shift)(high - shift)
        lean = (high + low - 2.0 * middle) / spread
        log = lean > 0.02
        shift = float((low * high - middle**2) / (low + high - 2.0 * middle)) if log else 0.0
        scale = np.log(np.maximum(known - shift, 1e-12 * spread)) if log else known
        centre = float(np.median(scale))
        sigma = 1.4826 * float(np.median(np.abs(scale - centre)))
        self._details = {"fallback": None, "log": bool(log), "shift": shift}
        value = centre - ndtri(budget) * sigma
        return float(shift + np.exp(value)) if log else float(value)

    def details(self) -> Mapping[str, Any]:
        """Of the last cut."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Mad)
