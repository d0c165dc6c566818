"""How much farther out normal scores lie in states that were seldom seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROWTHS = np.append(0.0, 2.0 ** np.arange(-5, 8))  # tried for the best
WORTH = 2.0  # twice the gain in log likelihood that more growth must bring (Akaike)
ROUNDS = 20
TINY = 1e-12

Floats = NDArray[np.float64]


def growth_of(z: Floats, rarity: Floats) -> Floats:
    """(d,) c of the variance s^2 (1 + c rarity) that fits each column of z (n, d) best; 0 where none is better than without.

    The fewer of the fit rows are like a state, the less a detector knows of it: the variance of a prediction grows with the
    leverage of the row. One cut for all states would alarm sound records at full load, at no load and in the cold. The
    likelihood is that of a Cauchy distribution, for which it hardly matters how far out faults lie.

    NaN in ``z`` where there is no score; ``rarity`` (n,) of the states as for a fit without the row (``Domain.rarity``).
    """
    return np.array([_growth(column, rarity) for column in z.T])


def _growth(z: Floats, rarity: Floats) -> float:
    """Of one detector."""
    known = np.isfinite(z)
    z, rarity = z[known], rarity[known]
    if not len(z) or not rarity.any():
        return 0.0
    best, least = 0.0, np.inf
    for growth in GROWTHS:
        wider = np.sqrt(1.0 + growth * rarity)
        unit = z / wider
        scale = float(np.median(np.abs(unit)))
        for _ in range(ROUNDS):  # of the equation that the most likely scale solves
            scale = max(scale * 2.0 * float(np.mean(unit**2 / (scale**2 + unit**2 + TINY))), TINY)
        loss = 2.0 * float(np.sum(np.log(scale * wider) + np.log1p((unit / scale) ** 2)))
        if loss < least - WORTH:
            best, least = float(growth), loss
    return best
