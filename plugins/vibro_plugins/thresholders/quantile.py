"""The plain cut: the quantile of the reference scores at the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Thresholder
from vibro_plugins._cuts import upper_quantile, usable


class Quantile(Thresholder):
    """Quantile 1 - budget of the reference; a budget of alarms, not a probability of a fault (traps T21, T23)."""

    name = "quantile"
    summary = "quantile of the reference at the budget"

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known = usable(scores, budget)
        few = budget * (len(known) + 1) < 1
        self._details = {
            "fallback": f"{len(known)} scores are too few for a budget of {budget:g}: the largest one" if few else None,
            "n": len(known),
        }
        return upper_quantile(known, budget)

    def details(self) -> Mapping[str, Any]:
        """Of the last cut."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Quantile)
