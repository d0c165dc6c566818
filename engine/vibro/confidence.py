"""How sure a level is: the share of resampled references under which a record would get the same level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.api import Thresholder
from vibro.plan import Budgets
from vibro.scores import ALARM, ATTENTION, NORMAL

DRAWS = 50
Floats = NDArray[np.float64]


def resampled_cuts(
    thresholder: Thresholder, reference: Floats, budgets: Budgets, rng: np.random.Generator, draws: int = DRAWS
) -> Floats:
    """(draws, 2) cuts for attention and alarm, each from a bootstrap sample of the fused reference scores (r,)."""
    known = reference[np.isfinite(reference)]
    cuts = np.empty((draws, 2))
    for i in range(draws):
        drawn = rng.choice(known, len(known))
        attention, alarm = (thresholder.cut(drawn, budget) for budget in (budgets.attention, budgets.alarm))
        cuts[i] = min(attention, alarm), alarm
    return cuts


def confidence(score: Floats, level: NDArray[np.int8], cuts: Floats) -> Floats:
    """(n,) share of the resampled cuts (draws, 2) that leave a record its level; NaN for invalid and indeterminate ones."""
    attention, alarm = (np.sort(column) for column in cuts.T)
    over_attention = np.searchsorted(attention, score, side="left") / len(cuts)
    over_alarm = np.searchsorted(alarm, score, side="left") / len(cuts)
    sure = np.full(len(score), np.nan)
    for which, share in ((NORMAL, 1.0 - over_attention), (ATTENTION, over_attention - over_alarm), (ALARM, over_alarm)):
        mine = (level == which) & np.isfinite(score)
        sure[mine] = share[mine]
    return sure
