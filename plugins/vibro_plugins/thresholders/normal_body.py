"""What thresholders share: checks of their input, the body of normal scores, and scores far out of it left out."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, NotApplicableError
from vibro_plugins.stats.contaminated_tail import ContaminatedTail

Floats = NDArray[np.float64]

NORMAL = NormalDist()
BODY = 0.85  # upper quantile of the normal scores that their body is fitted to
REACH = NORMAL.inv_cdf(BODY)
FAR = 1e-3  # share of the normal scores that the body places beyond what is called far out
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
    n = len(known)
    return float(np.interp((n + 1) * (1.0 - budget) - 1.0, np.arange(n), known))


def too_few(known: Floats, budget: float) -> str | None:
    """The sentence of a fallback where the budget asks for less than one of the scores."""
    if budget * (len(known) + 1) >= 1:
        return None
    return f"{len(known)} reference scores are too few for a budget of {budget:g}: the cut is the largest of them"


def without_far_out(known: Floats, benign: float = 0.0) -> tuple[Floats, float]:
    """Sorted scores (n,) without those that are rather faults than normal, and the share left out.

    ``benign``: share of far-out scores that the user knows to be no
    faults; so many stay, the lowest, and two standard errors of them.
    """
    tail = ContaminatedTail.fit(known)
    if tail is None:
        return known, 0.0
    far_out = np.flatnonzero(tail.faulty > 0.5)
    stay = benign * len(known) + 2.0 * sqrt(benign * (1.0 - benign) * len(known))
    out = far_out[len(far_out) - round(max(len(far_out) - stay, 0.0)) :]
    return np.delete(known, out), len(out) / len(known)


@dataclass(frozen=True)
class Body:
    """A log-normal with a shift, or a normal: three quantiles of the normal scores, whose upper tail it extends.

    The shift makes the 15 %, 50 % and 85 % quantiles symmetric about the median on the log scale; None: a normal.
    """

    centre: float
    spread: float
    shift: float | None

    def quantile(self, share: float) -> float:
        """Score that a share of the normal scores exceeds."""
        value = self.centre - NORMAL.inv_cdf(share) * self.spread
        return value if self.shift is None else self.shift + exp(min(value, 700.0))


def body(known: Floats, faulty: float = 0.0) -> Body | None:
    """The body of sorted scores (n,) of which a share ``faulty`` lies on top; None where half of them are (nearly) equal."""
    last = (1.0 - faulty) * (len(known) - 1)
    low, middle, high = np.interp(np.array([1.0 - BODY, 0.5, BODY]) * last, np.arange(len(known)), known).tolist()
    width, lean = high - low, low + high - 2.0 * middle
    if not (width > 1e-12 * max(1.0, abs(middle)) and low < middle < high):
        return None
    if lean <= 1e-3 * width:
        return Body(middle, (high - middle) / REACH, None)
    shift = (low * high - middle**2) / lean
    return Body(log(middle - shift), log((high - shift) / (middle - shift)) / REACH, shift)


def far_out(known: Floats) -> float:
    """Share of sorted scores (n,) beyond the point that the body of the others leaves a share FAR to."""
    share = MOST  # from above: begun at 0, many faults hide behind the spread they make
    for _ in range(ROUNDS):
        normal = body(known, HIDDEN * share)
        if normal is None:
            return 0.0
        beyond = 1.0 - np.searchsorted(known, normal.quantile(FAR), side="right") / len(known)
        last, share = share, min(float(beyond), 2.0 * MOST)
        if share == last:
            break
    return share
