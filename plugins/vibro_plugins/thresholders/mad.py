"""Robust cut by median and MAD, made safe for skewed scores by working on their logarithm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Thresholder
from vibro_plugins.thresholders.normal_body import NORMAL, body, usable


class Mad(Thresholder):
    """median + q 1.4826 MAD, q the normal quantile at the budget, on scores or on log(score - shift) where they lean.

    Scores are skewed, so median +- k MAD of the scores themselves is wrong on both sides: no normals below, several per
    cent of alarms above (trap T21). The shift makes the quantiles lie evenly about the median.
    """

    name = "mad"
    summary = "median and MAD on a symmetrised scale, skew-safe"

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known = usable(scores, budget)
        shape = body(known)
        if shape is None:
            self._details = {"fallback": "half of the reference scores are equal: the cut is the largest of them"}
            return float(known[-1])
        scale = known if shape.shift is None else np.log(np.maximum(known - shape.shift, 1e-300))
        centre = float(np.median(scale))
        value = centre - NORMAL.inv_cdf(budget) * 1.4826 * float(np.median(np.abs(scale - centre)))
        self._details = {"fallback": None, "shift": shape.shift}
        return value if shape.shift is None else float(shape.shift + np.exp(min(value, 700.0)))

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: the ``shift`` of the logarithm, None where it worked on the scores themselves."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Mad)
