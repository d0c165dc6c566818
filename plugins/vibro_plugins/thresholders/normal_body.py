"""What thresholders share: checks of their input, the body of normal scores, and how many scores lie far beyond it.

Where scores are (..., n), a thousand samples go the same way at once as one sample (n,).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, NotApplicableError

Floats = NDArray[np.float64]

NORMAL = NormalDist()
BODY = 0.85  # upper quantile of the normal scores that their body is fitted to
REACH = NORMAL.inv_cdf(BODY)
FAR = 1e-3  # share of the normal scores that the body places beyond what is called far out
BENIGN = 0.04  # far-out share that a healthy plant has by itself: tap changes, instants without load
MOST, ROUNDS = 0.2, 12  # share of faults from which the search for their number comes down, and its steps
HIDDEN = 1.25  # faults for each one far out: some lie within the reach of the normals


def usable(scores: Floats, budget: float) -> Floats:
    """The finite scores, sorted; ConfigError for a budget outside (0, 1), NotApplicableError without any score."""
    if not 0.0 < budget < 1.0:
        raise ConfigError(
            f"budget {budget!r} must lie strictly between 0 and 1", hint="0.01 = one normal record in 100"
        )
    known = np.sort(np.asarray(scores, dtype=np.float64)[np.isfinite(scores)])
    if not len(known):
        raise NotApplicableError("no reference score to put a cut on")
    return known


def upper_quantile(known: Floats, budget: float) -> float:
    """Cut that a fresh score exceeds with probability ``budget``: order statistic (n + 1)(1 - budget) of the sorted scores, at
    most the largest.

    Weibull's plotting position is the unbiased one for a continuous distribution (Gumbel, Statistics of Extremes, 1958).
    """
    return float(upper_quantiles(known, len(known), budget))


def upper_quantiles(known: Floats, kept: Any, budget: float) -> Any:
    """The same (...) of the lowest ``kept`` (...) of the sorted scores (..., n)."""
    return _at(known, np.clip((kept + 1) * (1.0 - budget) - 1.0, 0.0, kept - 1.0))


def too_few(known: Floats, budget: float) -> str | None:
    """The sentence of a fallback where the budget asks for less than one of the scores."""
    if budget * (len(known) + 1) >= 1:
        return None
    return f"{len(known)} reference scores are too few for a budget of {budget:g}: the cut is the largest of them"


@dataclass(frozen=True)
class Body:
    """A log-normal with a shift, or a normal: three quantiles of the normal scores, whose upper tail it extends.

    The shift makes the 15 %, 50 % and 85 % quantiles symmetric about the median on the log scale. Of scores (..., n) the
    fields are (...); ``none`` where half of the scores are (nearly) equal.
    """

    centre: Any
    spread: Any
    shift: Any
    log: Any
    none: Any

    def quantile(self, share: float) -> Any:
        """Score that a share of the normal scores exceeds."""
        value = self.centre - NORMAL.inv_cdf(share) * self.spread
        return np.where(self.log, self.shift + np.exp(np.where(self.log, value, 0.0)), value)[()]


def body(known: Floats, faulty: Any = 0.0) -> Body:
    """The body of sorted scores (..., n) of which a share ``faulty`` (...) lies on top."""
    last = (1.0 - faulty) * (known.shape[-1] - 1)
    low, middle, high = (_at(known, share * last) for share in (1.0 - BODY, 0.5, BODY))
    width, lean = high - low, low + high - 2.0 * middle
    none = ~((width > 1e-12 * np.maximum(1.0, np.abs(middle))) & (low < middle) & (middle < high))
    log = (lean > 1e-3 * width) & ~none
    shift = np.where(log, (low * high - middle**2) / np.where(log, lean, 1.0), 0.0)[()]
    centre, top = (np.where(log, np.log(np.where(log, q - shift, 1.0)), q)[()] for q in (middle, high))
    return Body(centre, (top - centre) / REACH, shift, log, none)


def _at(known: Floats, place: Any) -> Any:
    """The values (...) at places (...) between two sorted scores (..., n)."""
    below = np.asarray(place).astype(np.intp)
    low, high = _pick(known, below), _pick(known, np.minimum(below + 1, known.shape[-1] - 1))
    return low + (place - below) * (high - low)


def _pick(known: Floats, place: NDArray[np.intp]) -> Any:
    """The scores (..., n) at one place (...) each."""
    rows = known.reshape(-1, known.shape[-1])
    return rows[np.arange(len(rows)), place.ravel()].reshape(place.shape)[()]


def _up_to(known: Floats, value: Any) -> Any:
    """How many of the sorted scores (..., n) are at most a value (...): binary search in all rows at once."""
    n = known.shape[-1]
    found = np.zeros(known.shape[:-1], np.intp)
    for step in (1 << bit for bit in reversed(range(n.bit_length()))):
        further = np.minimum(found + step, n)
        found = np.where(_pick(known, further - 1) <= value, further, found)
    return found


def far_out(known: Floats, level: float = FAR) -> Any:
    """Share (...) of sorted scores (..., n) beyond the point that the body of the others leaves a share ``level`` to."""
    share: Any = np.full(known.shape[:-1], MOST)  # from above: begun at 0, many faults hide behind the spread they make
    none = np.zeros(share.shape, np.bool_)
    for _ in range(ROUNDS):
        normal = body(known, HIDDEN * share)
        none = none | normal.none
        beyond = 1.0 - _up_to(known, normal.quantile(level)) / known.shape[-1]
        last, share = share, np.where(none, 0.0, np.minimum(beyond, 2.0 * MOST))
        if (share == last).all():
            break
    return share[()]


def faulty_share(known: Floats, benign: float = BENIGN) -> Any:
    """Top share (...) of sorted scores (..., n) that is held to be faults.

    It is what lies far out beyond the share ``benign`` and two standard errors of it. Scores alone cannot tell a rare
    benign state from a fault: on clean data nothing should go, or the cut would give more alarms than its budget.
    """
    chance = 2.0 * np.sqrt(benign * (1.0 - benign) / known.shape[-1])
    return np.maximum(far_out(known) - benign - chance, 0.0)


def without_faults(known: Floats, benign: float = BENIGN) -> tuple[Floats, float]:
    """Sorted scores (n,) without the top share that is held to be faults, and that share."""
    share = float(faulty_share(known, benign))
    return known[: len(known) - round(share * len(known))], share
