"""Whether the scores of late are those of the fit: a test on blocks of records, with a stated rate of false alarms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 200  # records of a sensor in one test
ALPHA = 0.001  # false alarms a test, for records that are independent
SHIFT = 0.15  # least distance of P(new > reference) from one half: what is smaller needs no new fit
FEWEST = 50  # reference rows of a sensor from which on it is compared with itself

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """``statistic``: largest distance of the two distributions; ``p``: its probability without a drift; ``above``: share of
    pairs in which the new score is the higher one; ``found``: whether there is a drift."""

    statistic: float
    p: float
    above: float
    found: bool


def drift(scores: Floats, reference: Floats) -> Drift:
    """Two-sample test of Kolmogorov and Smirnov of new scores (b,) against held-out reference scores (r,).

    A drift is found where p is below ALPHA and the new scores are above or below the reference in clearly more than half of
    all pairs: many records make even a difference of no consequence significant.
    """
    from scipy.stats import ks_2samp

    found = ks_2samp(scores, reference)
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    above = float(below.mean() / (2 * len(ordered)))
    shifted = abs(above - 0.5) >= SHIFT
    return Drift(float(found.statistic), float(found.pvalue), above, bool(found.pvalue < ALPHA and shifted))


def reference_of(sensor: int, fused: Floats, sensors: NDArray[np.integer]) -> Floats:
    """The sensor's own reference scores, or those of all sensors where it has too few."""
    own = fused[(sensors == sensor) & np.isfinite(fused)]
    return own if len(own) >= FEWEST else fused[np.isfinite(fused)]
