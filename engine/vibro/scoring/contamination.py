"""Whether the rows that a model was fitted on hold faults: far-out rows of a machine that all lie after some time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME

FEWEST = 5  # far-out rows of a machine below which nothing is said
TIMES = 3.0  # how many times the budget the far-out share must be
SINCE = 0.05  # quantile of the times of far-out rows from which they count as one period
LATE = 0.2  # share of the machine's rows that must lie before that period
CLUSTERED = 5.0  # how many times as frequent far-out rows are in the period as before it
EARLY, SCALES = (
    0.2,
    5.0,
)  # first share of a machine's rows, and robust scales of these from which a row is far from them

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Contamination:
    """Far-out fit rows of one machine: their ``share``, and since when, NaT where they are spread over all its time."""

    machine: int
    share: float
    since: np.datetime64


def find_contamination(
    score: Floats, machine: NDArray[np.int32], time: NDArray[np.datetime64], cut: float, budget: float
) -> list[Contamination]:
    """Machines of whose fit rows more are far out than three times the budget.

    Far out is above the alarm cut; or, since a fit on a long period of faults has learned those too, far above the
    machine's own first records, if such rows gather in a late period.
    ``score`` (r,) fused scores, NaN = does not count, ``machine`` (r,) codes, ``time`` (r,), NaT = not known.
    """
    found = []
    for code in np.unique(machine):
        mine = np.flatnonzero((machine == code) & np.isfinite(score))
        value, when = score[mine], time[mine]
        above = value > cut
        over_first = above if np.isnat(when).any() or len(mine) < FEWEST / EARLY else value > _first_cut(value, when)
        for far, dated in ((above, False), (over_first, True)):
            since = _since(when, far) if far.sum() >= FEWEST and far.mean() > TIMES * budget else None
            if since is not None and not (dated and np.isnat(since)):
                found.append(Contamination(int(code), float(far.mean()), since))
                break
    return found


def _first_cut(value: Floats, time: NDArray[np.datetime64]) -> float:
    """Five robust scales above the median of a machine's first rows."""
    first = value[np.argsort(time, kind="stable")][: int(EARLY * len(value))]
    middle = np.median(first)
    return float(middle + SCALES * 1.4826 * max(np.median(np.abs(first - middle)), 1e-9))


def _since(time: NDArray[np.datetime64], far: NDArray[np.bool_]) -> np.datetime64:
    """When a late period of far-out rows began, NaT where there is none."""
    if np.isnat(time).any():
        return NO_TIME
    begin = np.sort(time[far])[int(SINCE * far.sum())]
    before = time < begin
    if before.mean() < LATE or far[~before].mean() < CLUSTERED * max(far[before].mean(), 1.0 / len(time)):
        return NO_TIME
    return np.datetime64(begin, "ns")
