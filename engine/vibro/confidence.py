"""How sure a level is: the share of resampled references under which a record would get the same level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

DRAWS = 25
Floats = NDArray[np.float64]


def resampled_cuts(
    cut: Callable[[Floats, float, NDArray[np.int16] | None], float],
    reference: Floats,
    budgets: tuple[float, float],
    rng: np.random.Generator,
    y: NDArray[np.int16] | None = None,
    draws: int = DRAWS,
) -> Floats:
    """(draws, 2) cuts for attention and alarm, each from a bootstrap sample of the scores (r,) that the cuts come from.

    ``cut`` finds one from scores, a budget and labels; ``budgets``: those of attention and alarm; ``y`` (r,) the labels of
    the scores for a thresholder that learns from them: faults and normals are then drawn each for themselves. The
    bootstrap is Efron's (Annals of Statistics, 1979).
    """
    known = np.flatnonzero(np.isfinite(reference))
    groups = [known] if y is None else [known[y[known] == value] for value in np.unique(y[known])]
    cuts = np.empty((draws, 2))
    for i in range(draws):
        drawn = np.concatenate([rng.choice(group, len(group)) for group in groups])
        label = None if y is None else y[drawn]
        attention, alarm = (cut(reference[drawn], budget, label) for budget in budgets)
        cuts[i] = min(attention, alarm), alarm
    return cuts


def confidence(score: Floats, level: NDArray[np.int8], cuts: Floats, held: NDArray[np.bool_] | None = None) -> Floats:
    """(n,) share of the resampled cuts (draws, 2) that leave a record its level; NaN where the level says nothing.

    ``level``: 0 normal, 1 attention, 2 alarm, as in ``vibro.scores.LEVELS``. Without resampled cuts all is NaN.
    ``held`` (n,): records that no cut can raise above attention.
    """
    sure = np.full(len(score), np.nan)
    if not len(cuts):
        return sure
    attention, alarm = (np.sort(column) for column in cuts.T)
    over_attention = np.searchsorted(attention, score, side="left") / len(cuts)
    over_alarm = np.searchsorted(alarm, score, side="left") / len(cuts)
    if held is not None:
        over_alarm = np.where(held, 0.0, over_alarm)
    for which, share in enumerate((1.0 - over_attention, over_attention - over_alarm, over_alarm)):
        mine = (level == which) & np.isfinite(score)
        sure[mine] = share[mine]
    return sure
