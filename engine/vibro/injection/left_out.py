"""Leave-one-out: what the ensemble catches of injected faults with each member, and without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vibro.injection.trial import Floats, Trial


def leave_one_out(trial: Trial, reference: Floats, cut: float, fuse: Callable[[Floats], Floats]) -> Floats:
    """(d, 2): shares of the injected faults that raise an alarm only with a member, and only without it.

    ``reference``: held-out z (n, d) of the fit; ``fuse`` (m, d) -> (m,), NaN = no score, gives what is left to the other
    members. Without a member the cut leaves as many reference records above it as ``cut`` does, and lies as far above the
    next one. A member that is the only one with weight catches all that is caught.
    """
    faults = trial.corrupted.reshape(-1, trial.corrupted.shape[-1])
    usual, caught = fuse(reference), fuse(faults) > cut
    known = np.isfinite(usual)
    above = int((usual[known] > cut).sum())
    beyond = cut - _next(usual[known], above)
    found = np.zeros((faults.shape[1], 2))
    for j in range(len(found)):
        without = [_without(z, j) for z in (reference[known], faults)]
        left, others = (fuse(z) for z in without)
        left = left[np.isfinite(left)]
        now = others > _next(left, min(above, len(left))) + beyond
        found[j] = np.mean(caught & ~now), np.mean(now & ~caught)
    return found


def _without(z: Floats, j: int) -> Floats:
    z = z.copy()
    z[:, j] = np.nan
    return z


def _next(scores: Floats, above: int) -> float:
    """The highest score but ``above`` many; the lowest where there is none."""
    if not len(scores):
        return float("inf")
    return float(np.sort(scores)[max(0, len(scores) - 1 - above)])
