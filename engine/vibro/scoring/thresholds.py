"""Cuts of scores: the budgets they keep, the guarded calls of a thresholder, and how sure a level is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, Params, Thresholder
from vibro.errors import ContractError

STRICT, FARTHER = 0.1, 1.5  # share of the alarm budget, and how much farther out, for states that the reference lacks
DRAWS = 25  # resampled references
CEILING = 0.2  # largest share of equal scores on top that are told from the body of the others

Floats = NDArray[np.float64]
Labels = NDArray[np.int16]


@dataclass(frozen=True)
class Budgets(Params):
    """Wished shares among normal records at or above attention and alarm."""

    attention: float = 0.05
    alarm: float = 0.01


@dataclass(frozen=True)
class Cuts:
    """Cuts of the fused score, and ``own`` (d,): each detector's cut of its z at the alarm budget.

    ``unseen``: half as far again as the cut at a tenth of the alarm budget, for operating states beyond those of the
    reference.
    ``resampled`` (draws, 2): what both cuts would be from resampled references; none = confidence is not known.
    """

    attention: float
    alarm: float
    own: Floats
    unseen: float = np.inf
    resampled: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def named(self) -> dict[str, float]:
        """The cuts of the fused score as JSON holds them."""
        return {"attention": self.attention, "alarm": self.alarm, "unseen": self.unseen}


def fuse(fuser: Fuser, z: Floats) -> Floats:
    """The fused score (n,) of z (n, d), guarded: NaN exactly where no detector that has weight gave a score."""
    fused = fuser.fuse(z)
    if not isinstance(fused, np.ndarray) or fused.shape != (len(z),) or fused.dtype.kind not in "fiub":
        raise ContractError(
            f"fuser {fuser.name} returned {getattr(fused, 'shape', type(fused).__name__)} for {len(z)} rows"
        )
    weights, given = fuser.weights(), np.isfinite(z)
    some = (given if weights is None else given & (weights > 0)).any(axis=1)
    if not np.isfinite(fused[some]).all():
        raise ContractError(f"fuser {fuser.name} returned scores that are not finite")
    return np.where(some, fused, np.nan).astype(np.float64)


def guarded_cut(
    thresholder: Thresholder, scores: Floats, budget: float, y: Labels | None = None, most: float | None = None
) -> float:
    """One cut, guarded: finite, and at most ``most``, by default below a score at which several stand and none above."""
    cut: object = thresholder.cut(scores, budget, y)
    if not isinstance(cut, int | float | np.number) or not np.isfinite(cut):
        raise ContractError(f"thresholder {thresholder.name} gave {cut!r:.40} as a cut, which is no finite number")
    return min(float(np.real(cut)), _below_ceiling(scores) if most is None else most)


def _below_ceiling(scores: Floats) -> float:
    """Halfway to the highest score that several share, at most CEILING of all: they may be unable to rise; inf without such."""
    known = np.sort(scores[np.isfinite(scores)])
    below = known[: np.searchsorted(known, known[-1], "left")] if len(known) else known
    if not len(below) or not 2 <= len(known) - len(below) <= CEILING * len(known):
        return np.inf
    return float(0.5 * (below[-1] + known[-1]))


def own_cuts(thresholder: Thresholder, z: Floats, budget: float) -> Floats:
    """(d,) each detector's cut of its reference z (r, d) at a budget."""
    own = np.full(z.shape[1], np.inf)  # no cut for a detector that gave no score
    for j, column in enumerate(z.T):
        known = column[np.isfinite(column)]
        if not len(known):
            continue
        own[j] = guarded_cut(thresholder, known, budget, None)
    return own


def find_cuts(
    thresholder: Thresholder,
    scores: Floats,
    budgets: Budgets,
    own: Floats,
    seed: int,
    y: Labels | None = None,
) -> tuple[Cuts, dict[str, Any]]:
    """Cuts of fused scores (r,) at both budgets, with ``own`` as each detector's, and those of resampled scores.

    Also gives what the thresholder says of its alarm cut.
    """
    attention = guarded_cut(thresholder, scores, budgets.attention, y)
    alarm = guarded_cut(thresholder, scores, budgets.alarm, y)
    details = dict(thresholder.details())
    strict = max(alarm, guarded_cut(thresholder, scores, STRICT * budgets.alarm, y))
    unseen = max(strict, FARTHER * strict)
    rng = np.random.default_rng(seed)
    again = partial(guarded_cut, thresholder, most=_below_ceiling(scores))  # drawn twice is no ceiling
    resampled = resampled_cuts(again, scores, (budgets.attention, budgets.alarm), rng, y)
    return Cuts(min(attention, alarm), alarm, own, unseen, resampled), details


def resampled_cuts(
    cut: Callable[[Floats, float, Labels | None], float],
    reference: Floats,
    budgets: tuple[float, float],
    rng: np.random.Generator,
    y: Labels | None = None,
    draws: int = DRAWS,
) -> Floats:
    """(draws, 2) cuts for attention and alarm, each from a bootstrap sample of the scores (r,) that the cuts come from.

    ``cut`` finds one from scores, a budget and labels; ``budgets``: those of attention and alarm; ``y`` (r,) the labels of
    the scores for a thresholder that learns from them: faults and normals are then resampled separately. The
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


def confidence(
    score: Floats, level: NDArray[np.int8], cuts: Floats, alarm_suppressed: NDArray[np.bool_] | None = None
) -> Floats:
    """(n,) share of the resampled cuts (draws, 2) that leave a record its level; NaN where the level says nothing.

    ``level``: 0 normal, 1 attention, 2 alarm, as in ``vibro.scoring.verdict.LEVELS``. Without resampled cuts all is NaN.
    ``alarm_suppressed`` (n,): records that no cut can raise above attention.
    """
    sure = np.full(len(score), np.nan)
    if not len(cuts):
        return sure
    attention, alarm = (np.sort(column) for column in cuts.T)
    over_attention = np.searchsorted(attention, score, side="left") / len(cuts)
    over_alarm = np.searchsorted(alarm, score, side="left") / len(cuts)
    if alarm_suppressed is not None:
        over_alarm = np.where(alarm_suppressed, 0.0, over_alarm)
    for which, share in enumerate((1.0 - over_attention, over_attention - over_alarm, over_alarm)):
        mine = (level == which) & np.isfinite(score)
        sure[mine] = share[mine]
    return sure
