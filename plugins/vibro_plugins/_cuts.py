"""What thresholders share: checks of their input, the body of normal scores, and how many scores lie far beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, StandAside

Floats = NDArray[np.float64]

NORMAL = NormalDist()
BODY = 0.85  # upper quantile of the normal scores that their body is fitted to
REACH = NORMAL.inv_cdf(BODY)
FAR = 1e-3  # share of the normal scores that the body places beyond what is called far out
BENIGN = 0.04  # far-out share that a healthy plant has by itself: tap changes, instants without load
MOST, ROUNDS = 0.2, 12  # share of faults from which the search for their number comes down, and its steps
HIDDEN = 1.25  # faults for each one far out: some lie within the reach of the normals


def usable(scores: Floats, budget: float) -> Floats:
    """The finite scores, sorted; ConfigError for a budget outside (0, 1), StandAside without any score."""
    if not 0.0 < budget < 1.0:
        raise ConfigError(
            f"budget {budget!r} must lie strictly between 0 and 1", hint="0.01 = one normal record in 100"
        )
    known = np.sort(np.asarray(scores, dtype=np.float64)[np.isfinite(scores)])
    if not len(known):
        raise StandAside("no reference score to put a cut on")
    return known


def upper_quantile(known: Floats, budget: float) -> float:
    """Cut that a fresh score exceeds with probability ``budget``: order statistic (n + 1)(1 - budget) of the sorted scores, at
    most the largest.

    Weibull's plotting position is the unbiased one for a continuous distribution (Gumbel, Statistics of Extremes, 1958).
    """
    place = (len(known) + 1) * (1.0 - budget) - 1.0
    return _at(known, min(max(place, 0.0), len(known) - 1.0))


def too_few(known: Floats, budget: float) -> str | None:
    """The sentence of a fallback where the budget asks for less than one of the scores."""
    if budget * (len(known) + 1) >= 1:
        return None
    return f"{len(known)} reference scores are too few for a budget of {budget:g}: the cut is the largest of them"


@dataclass(frozen=True)
class Body:
    """A log-normal with a shift, or a normal: three quantiles of the normal scores, whose upper tail it extends.

    The shift makes the 15 %, 50 % and 85 % quantiles symmetric about the median on the log scale.
    """

    centre: float
    spread: float
    shift: float
    log: bool

    def quantile(self, share: float) -> float:
        """Score that a share of the normal scores exceeds."""
        value = self.centre - NORMAL.inv_cdf(share) * self.spread
        return float(self.shift + np.exp(value)) if self.log else value


def body(known: Floats, faulty: float = 0.0) -> Body | None:
    """The body of sorted scores of which a share ``faulty`` lies on top; None where half of them are (nearly) equal."""
    last = (1.0 - faulty) * (len(known) - 1)
    low, middle, high = (_at(known, share * last) for share in (1.0 - BODY, 0.5, BODY))
    width = high - low
    if not width > 1e-12 * max(1.0, abs(middle)) or not low < middle < high:
        return None
    lean = low + high - 2.0 * middle
    if lean <= 1e-3 * width:
        return Body(middle, (high - middle) / REACH, 0.0, log=False)
    shift = (low * high - middle**2) / lean
    centre = float(np.log(middle - shift))
    return Body(centre, float(np.log(high - shift) - centre) / REACH, float(shift), log=True)


def _at(known: Floats, place: float) -> float:
    """The value at a place between two sorted scores."""
    below = int(place)
    above = min(below + 1, len(known) - 1)
    return float(known[below] + (place - below) * (known[above] - known[below]))


def far_out(known: Floats, level: float = FAR) -> float:
    """Share of sorted scores beyond the point that the body of the others leaves a share ``level`` to."""
    share = MOST  # from above: begun at 0, many faults would hide behind the spread that they themselves make
    for _ in range(ROUNDS):
        normal = body(known, HIDDEN * share)
        if normal is None:
            return 0.0
        last, share = share, 1.0 - np.searchsorted(known, normal.quantile(level), side="right") / len(known)
        share = min(share, 2.0 * MOST)
        if share == last:
            break
    return float(share)


def without_faults(known: Floats, benign: float = BENIGN) -> tuple[Floats, float]:
    """Sorted scores without the top share that is held to be faults, and that share.

    Dropped is what lies far out beyond the share ``benign`` and two standard errors of it. Scores alone cannot tell a
    rare benign state from a fault: on clean data nothing should go, or the cut would give more alarms than its budget.
    """
    chance = 2.0 * np.sqrt(benign * (1.0 - benign) / len(known))
    share = max(far_out(known) - benign - chance, 0.0)
    return known[: len(known) - round(share * len(known))], float(share)
