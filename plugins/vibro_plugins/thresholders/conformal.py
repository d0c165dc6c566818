"""Cuts with a guarantee from exchangeability: conformal p-values, and Benjamini-Hochberg on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Params, Thresholder
from vibro_plugins.stats import pareto
from vibro_plugins.thresholders.normal_body import far_out, too_few, usable, without_far_out

TAIL, FEWEST = 0.1, 20  # share of the reference that its tail is fitted to, and the fewest scores for that


class Conformal(Thresholder):
    """p = (1 + #{r >= s}) / (1 + n) against the reference r (Bates et al., Annals of Statistics 2023).

    ``control = "alarms"``: p <= budget, so that a fresh normal record raises an alarm with probability at most the
    budget, whatever the distribution. ``control = "discoveries"``: the budget is the false share among the alarms;
    Benjamini and Hochberg (1995) over the reference taken as a report, frozen as a cut. There the reference stands for the
    normals: its far-out scores are left out, or weighted down to the share ``benign`` that is known to be no faults, which are
    as extreme as faults and would be false discoveries. Where no discovery can be made, the cut lies so far beyond the normals
    that a report of its size has one false alarm with probability at most the budget.
    """

    name = "conformal"
    summary = "conformal p-values: at most the budget of false alarms, or of false discoveries"

    @dataclass(frozen=True)
    class Params(Params):
        """``control``: what the budget limits; ``benign``: share of far-out scores that is known to be no faults."""

        control: Literal["alarms", "discoveries"] = "alarms"
        benign: Annotated[float, Field(ge=0, le=1)] = 0.0

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        whole = usable(scores, budget)
        if self.params.control == "alarms":
            known, aside = without_far_out(whole, self.params.benign)
            self._details = {"fallback": too_few(known, budget), "n": len(known), "set_aside": aside}
            kept = max(int(budget * (len(known) + 1) + 1e-9), 1)
            return float(known[len(known) - kept])
        far, n = far_out(whole), len(whole)
        chance = 2.0 * np.sqrt(self.params.benign * (1.0 - self.params.benign) / n)
        expected = self.params.benign + chance if self.params.benign else 0.0
        weight = np.where(np.arange(n) < n - round(far * n), 1.0, min(1.0, expected / far) if far else 1.0)
        above = np.append(np.cumsum(weight[::-1])[::-1], 0.0)[np.searchsorted(whole, whole, side="left")]
        p = ((1.0 + above) / (1.0 + weight.sum()))[::-1]
        found = np.flatnonzero(p <= budget * np.arange(1, n + 1) / n)
        count = int(found[-1]) + 1 if len(found) else 0
        none = None if count else f"nothing in the reference can be called a discovery at a rate of {budget:g}"
        said = {"fallback": none, "n": n, "far_out": far, "benign_among_them": float(weight[-1]), "discoveries": count}
        self._details = said
        if not count:
            return _beyond(whole if self.params.benign else without_far_out(whole)[0], budget)
        return float(whole[n - 1 - count]) if count < n else float(np.nextafter(whole[0], -np.inf))

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: ``set_aside`` share left out; or ``discoveries`` in the reference, its ``far_out`` share, and which
        part of that is held to be ``benign_among_them``.
        """
        return self._details


def _beyond(known: NDArray[np.float64], budget: float) -> float:
    """A cut that a report of as many normal records stays below with probability 1 - budget: a Pareto tail goes on so far."""
    tail = min(max(round(TAIL * len(known)), FEWEST), len(known) // 2)
    start = float(known[len(known) - tail - 1])
    excess = known[known > start] - start
    reach = 0.0
    if len(excess) >= FEWEST:
        reach = pareto.quantile(*pareto.fit(excess), min(budget / len(excess), 1.0))
    return max(start + reach, float(np.nextafter(known[-1], np.inf)))


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Conformal)
