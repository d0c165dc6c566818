"""The scores that cuts come from: those of the reference without transients, which raise no alarm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scoring.transients import find_transients

Floats = NDArray[np.float64]


def cut_reference(batch: SignalBatch, rows: NDArray[np.intp], fused: Floats, impulse: NDArray[np.floating]) -> Floats:
    """Scores (r,) for the cuts, NaN at transients: what does not alarm takes no part of the budget.

    ``fused`` (r,) held-out scores of the ``rows`` (r,) of a batch, ``impulse`` (r,) how impulsive each is.
    """
    score, strength = np.full(len(batch), np.nan), np.zeros(len(batch))
    score[rows], strength[rows] = fused, impulse
    transients = find_transients(batch, score, strength, fused, np.isfinite(score))
    return np.where(transients.mask(len(batch))[rows], np.nan, fused)
