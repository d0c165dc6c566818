"""Two groups in the reference: a parametric body of normal scores and the rest; the rate of faults with an interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Thresholder
from vibro_plugins.thresholders.normal_body import body, far_out, usable

DRAWS = 100


class Mixture(Thresholder):
    """Two-groups model with an empirical null (Efron, JASA 2004).

    The body is a shifted log-normal or normal through quantiles of the central scores. What lies far out of it is the
    other group, whose share is the contamination, rare benign states included. The cut is the body's quantile.
    """

    name = "mixture"
    summary = "parametric body of the normals; estimates the contamination with an interval"

    _known: NDArray[np.float64] | None = None
    _budget: float = 0.0
    _value: float | None = None  # None: no body

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known = usable(scores, budget)
        shape = body(known, far_out(known))
        self._known, self._budget = known, budget
        self._value = None if shape is None else shape.quantile(budget)
        return float(known[-1]) if self._value is None else self._value

    def details(self) -> Mapping[str, Any]:
        """Of the last cut: ``contamination`` and its interval (90 % of the bootstrap), ``interval`` of the cut."""
        known, value = self._known, self._value
        if known is None:
            return {}
        if value is None:
            return {"fallback": "half of the reference scores are equal: the cut is the largest of them"}
        rng, share = self.ctx.rng(), far_out(known)
        shares, cuts = [share], [value]
        for _ in range(DRAWS):
            drawn = np.sort(rng.choice(known, len(known)))
            shares.append(far_out(drawn))
            other = body(drawn, shares[-1])
            cuts.append(value if other is None else other.quantile(self._budget))
        low, high = np.quantile(cuts, (0.05, 0.95))
        return {
            "fallback": None,
            "interval": [min(float(low), value), max(float(high), value)],
            "contamination": share,
            "contamination_interval": [float(q) for q in np.quantile(shares, (0.05, 0.95))],
        }


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Mixture)
