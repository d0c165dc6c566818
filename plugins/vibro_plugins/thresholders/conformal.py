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
from vibro_plugins._cuts import BENIGN, too_few, usable, without_faults


class Conformal(Thresholder):
    """p = (1 + #{r >= s}) / (1 + n) against the reference r (Bates et al., Annals of Statistics 2023).

    ``control = "alarms"``: p <= budget, so that a fresh normal record raises an alarm with probability at most the
    budget, whatever the distribution. ``control = "discoveries"``: the budget is the false share among the alarms;
    Benjamini and Hochberg (1995) over the reference taken as a report, p against its scores without faults, frozen as a cut.
    """

    name = "conformal"
    summary = "conformal p-values: at most the budget of false alarms, or of false discoveries"

    @dataclass(frozen=True)
    class Params(Params):
        """``control``: what the budget limits; ``benign``: far-out share that a healthy plant has by itself."""

        control: Literal["alarms", "discoveries"] = "alarms"
        benign: Annotated[float, Field(ge=0, le=1)] = BENIGN

    _details: Mapping[str, Any] = {}

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        whole = usable(scores, budget)
        known, aside = without_faults(whole, self.params.benign)
        said = {"fallback": None, "n": len(known), "set_aside": aside}
        if self.params.control == "alarms":
            self._details = said | {"fallback": too_few(known, budget)}
            kept = max(int(budget * (len(known) + 1) + 1e-9), 1)
            return float(known[len(known) - kept])
        descending = whole[::-1]
        above = len(known) - np.searchsorted(known, descending, side="left")
        p = (1.0 + above) / (1.0 + len(known))
        found = np.flatnonzero(p <= budget * np.arange(1, len(whole) + 1) / len(whole))
        count = int(found[-1]) + 1 if len(found) else 0
        none = None if count else f"nothing in the reference can be called a discovery at a rate of {budget:g}"
        self._details = said | {"fallback": none, "discoveries": count}
        return float(descending[count]) if count < len(whole) else float(np.nextafter(whole[0], -np.inf))

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: ``set_aside`` share left out, ``discoveries`` in the reference."""
        return self._details


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Conformal)
