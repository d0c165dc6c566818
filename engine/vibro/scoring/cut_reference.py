"""The scores that cuts come from: without transients, which raise no alarm, and with the states that can be no fault."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scoring.transients import find_transients

Floats = NDArray[np.float64]


def cut_reference(
    batch: SignalBatch, rows: NDArray[np.intp], fused: Floats, impulse: NDArray[np.floating]
) -> tuple[Floats, NDArray[np.int16]]:
    """Scores (r,) for the cuts, NaN at transients, and labels (r,): 0 = no fault, -1 = not known.

    ``fused`` (r,) held-out scores of the ``rows`` (r,) of a batch, ``impulse`` (r,) how impulsive each is. A transient does
    not alarm, so it takes no part of the budget. What strikes most sensors of a machine at one instant and is gone at the
    next without being impulsive is a state of operation: far out, but no fault either.
    """
    score, strength = np.full(len(batch), np.nan), np.zeros(len(batch))
    score[rows], strength[rows] = fused, impulse
    judged = np.isfinite(score)
    bursts = find_transients(batch, score, strength, fused, judged).mask(len(batch))[rows]
    shared = find_transients(batch, score, np.full(len(batch), np.inf), fused, judged).mask(len(batch))[rows]
    return np.where(bursts, np.nan, fused), np.where(shared & ~bursts, 0, -1).astype(np.int16)
