"""From z to a verdict: the matrix of scores, conformal p-values, levels, exceedances and shares."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vibro.scoring.calibration import METHODS, Calibration
from vibro.scoring.marks import Look
from vibro.scoring.thresholds import Cuts, confidence
from vibro.scoring.transients import Transients

__all__ = [
    "ALARM",
    "ATTENTION",
    "INDETERMINATE",
    "INVALID",
    "LEVELS",
    "METHODS",
    "NORMAL",
    "REASONS",
    "Calibration",
    "Cuts",
    "ScoreMatrix",
    "Verdict",
    "conformal_p",
    "decide",
]

LEVELS = ("normal", "attention", "alarm", "invalid", "indeterminate")
NORMAL, ATTENTION, ALARM, INVALID, INDETERMINATE = range(5)
REASONS = ("", "transient", "unseen_state", "single_sensor", "data", "benign")
CHUNK = 8_192  # rows whose columns stay in the processor's cache


@dataclass(frozen=True)
class ScoreMatrix:
    """Scores of d detectors for n records: ``raw`` and ``z`` (n, d), NaN = no score; ``look`` what the records look like."""

    detectors: tuple[str, ...]
    ids: NDArray[np.str_]
    raw: NDArray[np.float64]
    z: NDArray[np.float64]
    look: Look | None = None


@dataclass(frozen=True)
class Verdict:
    """The decision on n records.

    ``score`` (n,) fused, NaN if no detector gave one; ``persistent`` (n,) the same with its neighbours in time where the
    model's ``Persistence`` is on: levels, p-values and what follows from them go by it; ``level`` int8 (n,) into
    ``LEVELS``; ``p_value`` (n,) conformal;
    ``agreement`` (n,) 0..1: share of the surviving weight whose detector is on the same side of its own cut as the
    fused score of the alarm cut, NaN without a score; ``share`` (n, d) what each detector adds to a weighted mean, 0
    where it gave nothing; ``exceedances`` (n, d) z above the detector's own cut; ``used`` (n,) surviving share of the weight;
    ``confidence`` (n,) 0..1: share of resampled references that leave the level as it is; ``unseen`` (n,) operating state
    beyond those of the reference, and ``alarm_suppressed`` (n,) those of them that may not raise an alarm; ``reason``
    int8 (n,) into ``REASONS`` and ``transients`` as ``vibro.scoring.reasons`` finds them.
    """

    score: NDArray[np.float64]
    persistent: NDArray[np.float64]
    level: NDArray[np.int8]
    p_value: NDArray[np.float64]
    agreement: NDArray[np.float64]
    share: NDArray[np.float64]
    exceedances: NDArray[np.bool_]
    used: NDArray[np.float64]
    confidence: NDArray[np.float64]
    unseen: NDArray[np.bool_]
    alarm_suppressed: NDArray[np.bool_]
    reason: NDArray[np.int8]
    transients: Transients = field(default_factory=Transients)


def conformal_p(score: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + #{r >= s}) / (1 + n_ref) for every score; NaN gives NaN (Bates et al., Annals of Statistics 2023)."""
    known = np.sort(reference[~np.isnan(reference)])
    above = len(known) - np.searchsorted(known, score, side="left")
    return np.where(np.isnan(score), np.nan, (1.0 + above) / (1.0 + len(known)))


def decide(
    matrix: ScoreMatrix,
    fused: NDArray[np.float64],
    weights: NDArray[np.float64],
    cuts: Cuts,
    reference: NDArray[np.float64],
    valid: NDArray[np.bool_],
    quorum: float,
    unseen: NDArray[np.bool_] | None = None,
    persistent: NDArray[np.float64] | None = None,
) -> Verdict:
    """Levels, p-values, agreement and exceedances of fused scores (n,).

    ``weights`` (d,) >= 0 of the fuser (equal ones for a rule that is not linear); ``reference`` (r,) fused held-out
    scores; ``valid`` (n,) rows whose data can be trusted; ``quorum`` the least surviving share of the weight. A score
    is over a cut only if it is greater: a constant score raises no alarm. ``invalid`` goes before ``indeterminate``.
    ``unseen`` (n,) rows in operating states beyond those of the reference, which cannot say how far normal records would
    lie there: only a score over ``cuts.unseen`` raises an alarm; others reach attention. ``persistent`` (n,)
    takes the place of the fused scores where levels are found.
    """
    n, d = matrix.z.shape
    total = float(weights.sum())
    weight = weights / total if total > 0 else np.full(d, 1.0 / max(d, 1))
    share, exceedances = np.zeros((n, d)), np.zeros((n, d), np.bool_)
    used, same = np.zeros(n), np.zeros(n)
    judged = np.asarray(fused if persistent is None else persistent, dtype=np.float64)
    alarm = judged > cuts.alarm
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        for j in range(d):  # column by column: the order of a sum never depends on the number of rows
            z = matrix.z[rows, j]
            given = np.isfinite(z)
            over = z > cuts.own[j]  # NaN is over nothing
            exceedances[rows, j] = over
            share[rows, j] = np.where(given, weight[j] * z, 0.0)
            used[rows] += weight[j] * given
            same[rows] += weight[j] * (given & (over == alarm[rows]))
    some = used > 0
    np.divide(share, used[:, None], out=share, where=some[:, None])
    agreement = np.divide(same, used, out=np.full(n, np.nan), where=some & ~np.isnan(judged))
    unseen = np.zeros(n, np.bool_) if unseen is None else unseen
    suppressed = unseen & ~(judged > cuts.unseen)
    level = np.where(alarm & ~suppressed, ALARM, np.where(judged > cuts.attention, ATTENTION, NORMAL)).astype(np.int8)
    level[np.isnan(judged) | (used < quorum - 1e-9)] = INDETERMINATE
    level[~valid] = INVALID
    return Verdict(
        score=np.asarray(fused, dtype=np.float64),
        persistent=judged,
        level=level,
        p_value=conformal_p(judged, reference),
        agreement=np.clip(agreement, 0.0, 1.0),
        share=share,
        exceedances=exceedances,
        used=np.clip(used, 0.0, 1.0),
        confidence=confidence(judged, level, cuts.resampled, suppressed),
        unseen=unseen,
        alarm_suppressed=suppressed,
        reason=np.zeros(n, np.int8),
    )
