"""The default cut: what normal records would exceed at the budget, whether or not faults are among the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Thresholder
from vibro_plugins.stats.contaminated_tail import SHARES, ContaminatedTail
from vibro_plugins.thresholders.normal_body import upper_quantile, usable

FEW = 20  # scores below which the tail is a guess from other data more than an observation
DOUBTFUL = 2.0  # times as far above the start of the tail may the cut have to lie
GAP, INTO, LEFT = (
    3.0,
    0.1,
    0.2,
)  # how many times farther out a group begins, how far into the gap on a log scale, budget left


class Auto(Thresholder):
    """Quantile of the normal part of the scores at the budget, averaged over what that part may be.

    The highest quarter of the scores is explained by a tail of normal records and, perhaps, faults beyond some edge
    (``vibro_plugins.stats.contaminated_tail``). The share of faults, 0 to 20 %, is not told and not assumed. A gap or a hump
    far out is explained by faults, so that the cut lies below it; a smooth tail by normal records, so that the cut keeps the
    budget; what could be either gives a cut in between.

    Where a wide gap parts the faults from all others, the cut goes into the gap, as far as that leaves a fifth of the budget,
    less in a small sample, whose false alarms would be those next to the gap.
    """

    name = "auto"
    summary = "tail of the normal part of the scores, whatever share of them are faults"

    _known: NDArray[np.float64] | None = None
    _tail: ContaminatedTail | None = None
    _budget: float = 0.0
    _value: float = 0.0

    def cut(self, scores: NDArray[np.float64], budget: float, y: NDArray[np.int16] | None = None) -> float:
        """The cut."""
        known = usable(scores, budget)
        if not np.array_equal(known, self._known):
            self._known, self._tail = known, ContaminatedTail.fit(known)
        self._budget = budget
        self._value = upper_quantile(known, budget) if self._tail is None else _cut(self._tail, budget)
        return self._value

    def details(self) -> Mapping[str, Any]:
        """Of the last cut.

        ``fallback``: None, or the sentence why it cannot be trusted; ``n`` reference scores; ``interval`` (90 %) of the cut;
        ``far_out``: reference scores that are faults rather than normal; ``contamination``: their expected share; ``clean``:
        the probability that there are none; ``normal_above``: share of the others above the cut.
        """
        known, tail, budget = self._known, self._tail, self._budget
        if known is None:
            return {}
        if tail is None:
            few = f"only {len(known)} reference scores" if len(known) < FEW else "too many reference scores are equal"
            return {"fallback": f"{few}; a plain quantile, which cannot be trusted", "n": len(known)}
        faulty, (low, high) = tail.faulty, tail.interval(budget)
        far_out = int((faulty > 0.5).sum())
        return {
            "fallback": self._doubt(tail, far_out, high),
            "n": len(known),
            "interval": [min(low, self._value), max(high, self._value)],
            "far_out": far_out,
            "contamination": tail.contamination,
            "clean": tail.clean,
            "normal_above": float(np.sum((1.0 - faulty)[known > self._value]) / np.sum(1.0 - faulty)),
        }

    def _doubt(self, tail: ContaminatedTail, far_out: int, high: float) -> str | None:
        """Why the cut cannot be trusted, or None."""
        n, value = len(tail.known), self._value
        if n < FEW:
            return f"only {n} reference scores; it rests on how such scores usually spread and cannot be trusted"
        if tail.contamination > 0.9 * SHARES[-1]:
            return (
                f"{far_out} of {n} reference scores lie far out, too many to know what is normal; it cannot be trusted:"
                " fit on a time when the machine was well (--fit-on)"
            )
        if high - tail.start > DOUBTFUL * (value - tail.start):
            return (
                f"the scores do not tell whether the {int((tail.known > value).sum())} highest of {n} reference records are"
                f" faults or a long tail of normal ones; were they normal, it would be {high:.3g} instead of {value:.3g}"
            )
        return None


def _cut(tail: ContaminatedTail, budget: float) -> float:
    """The quantile of the normal part at the budget, or a point in the gap above it."""
    value, far_out = tail.quantile(budget), tail.faulty > 0.5
    first = int(np.argmax(far_out))
    if not far_out[first:].all():  # none, or normal ones among them
        return value
    low, high = tail.known[first - 1] - tail.start, tail.known[first] - tail.start
    if not 0.0 < GAP * low <= high:
        return value
    expected = budget * len(tail.known)  # false alarms among so many; the fewer, the more of them lie next to the gap
    least = tail.quantile(LEFT * budget * expected / (expected + 1.0))
    return max(value, min(tail.start + float(low * (high / low) ** INTO), least))


@hookimpl
def register_thresholders(register: Callable[[type[Thresholder]], None]) -> None:
    """Registers the thresholder."""
    register(Auto)
