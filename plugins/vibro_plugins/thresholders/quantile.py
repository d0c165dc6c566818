"""The plain cut: the quantile of the reference scores at the budget, faults in the reference set aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Params, Thresholder
from vibro_plugins.thresholders.normal_body import too_few, upper_quantile, usable, without_far_out


class Quantile(Thresholder):
    """Quantile 1 - budget of the reference without its far-out scores; a budget of alarms, not a probability of a fault.

    Reference scores may hold faults. Scores that are rather faults than the tail of the others are left out, as ``auto`` tells
    them apart (traps T21, T23).
    """

    name = "quantile"
    summary = "quantile of the reference at the budget, far-out scores left out"

    @dataclass(frozen=True)
    class Params(Params):
        """``benign``: share of far-out scores that is known to be no faults; 1 keeps the whole reference."""

        benign: Annotated[float, Field(ge=0, le=1)] = 0.0

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known, aside = without_far_out(usable(scores, budget), self.params.benign)
        self._details = {"fallback": too_few(known, budget), "n": len(known), "set_aside": aside}
        return upper_quantile(known, budget)

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: ``n`` scores used, ``set_aside`` share left out."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Quantile)
