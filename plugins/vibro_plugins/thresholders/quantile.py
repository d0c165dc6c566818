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
from vibro_plugins.thresholders.normal_body import (
    BENIGN,
    faulty_share,
    too_few,
    upper_quantile,
    upper_quantiles,
    usable,
    without_faults,
)


class Quantile(Thresholder):
    """Quantile 1 - budget of the reference without its far-out share; a budget of alarms, not a probability of a fault.

    Reference scores may hold faults. Scores far beyond the body of the others, counted against a shifted log-normal
    through its quantiles, are set aside as far as they are more than ``benign`` (traps T21, T23).
    """

    name = "quantile"
    summary = "quantile of the reference at the budget, far-out scores set aside"

    @dataclass(frozen=True)
    class Params(Params):
        """``benign``: share of far-out scores that a healthy plant has by itself; 1 keeps the whole reference."""

        benign: Annotated[float, Field(ge=0, le=1)] = BENIGN

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known, aside = without_faults(usable(scores, budget), self.params.benign)
        self._details = {"fallback": too_few(known, budget), "n": len(known), "set_aside": aside}
        return upper_quantile(known, budget)

    def cut_each(self, scores: NDArray[np.float64], budget: float) -> NDArray[np.float64]:
        """The cuts (m,) of m references at once, finite scores (m, r), each as ``cut`` puts it."""
        known = np.sort(scores, axis=1)
        aside = np.round(faulty_share(known, self.params.benign) * known.shape[1])
        return np.asarray(upper_quantiles(known, known.shape[1] - aside, budget))

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: ``n`` scores used, ``set_aside`` share left out."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Quantile)
