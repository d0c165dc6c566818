"""Ranking metrics of many score columns at once, on arrays sorted once.

Scores are (m, n): one row per score, larger = worse; labels (n,) hold 0 (normal) and 1 (anomalous). The label is
stored in the lowest bit of each float64 score, so that one plain sort orders scores and labels together. Equal scores are one
threshold, as in scikit-learn, which is the reference in the tests. Undefined values are NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int16]

NAMES = ("roc_auc", "average_precision", "precision_at_k", "recall_at_budget", "partial_auc")
HUGE = 1e300
BLOCK = 1 << 15  # scores worked on at a time: they stay in the cache


def score_table(
    y: Labels, scores: Floats, *, budget: float = 0.01, k: int | None = None, max_fpr: float = 0.1
) -> dict[str, Floats]:
    """Every metric of ``NAMES`` for each row of ``scores`` (m, n), as (m,) arrays.

    ``average_precision`` is the sum of precision over the steps of recall; ``precision_at_k`` takes k = number of
    anomalies unless given, equal scores at rank k counted in proportion; ``recall_at_budget`` is the highest recall at a
    threshold whose false-alarm rate does not exceed ``budget``; ``partial_auc`` the area up to ``max_fpr``, standardised
    so that chance is 0.5 (McClish, Medical Decision Making 9, 1989). NaN scores rank lowest.
    """
    scores = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    y = np.asarray(y)
    m, n = scores.shape
    if y.shape != (n,):
        raise ValueError(f"{n} scores but labels of shape {y.shape}")
    positives = int((y == 1).sum())
    out = {name: np.full(m, np.nan) for name in NAMES}
    if positives in (0, n):
        return out
    top = positives if k is None else min(k, n)
    step = max(1, BLOCK // n)
    for start in range(0, m, step):
        rows = slice(start, min(start + step, m))
        for name, values in _block(y, scores[rows], positives, budget, top, max_fpr).items():
            out[name][rows] = values
    return out


def _block(y: Labels, scores: Floats, positives: int, budget: float, k: int, max_fpr: float) -> dict[str, Floats]:
    """Metrics of one block, from the places of the anomalies in the falling order."""
    bits = _sorted_bits(y, scores)
    m, n = bits.shape
    normals = n - positives
    place = np.flatnonzero(bits & 1)
    rank = place.reshape(m, positives) - n * np.arange(m)[:, None]  # from 0 = worst
    value, flat = bits.ravel() >> 1, rank.ravel()
    above = (flat > 0) & (value[place] == value[place - 1])
    below = (flat < n - 1) & (value[place] == value[np.minimum(place + 1, m * n - 1)])
    tied = (above | below).reshape(m, positives).any(axis=1)
    first, end = rank.copy(), rank + 1  # of the scores equal to that of each anomaly
    before = rank - np.arange(positives)  # normal records above them
    until = before.copy()  # and down to the last of them
    if tied.any():
        first[tied], end[tied], before[tied], until[tied] = _ties(bits[tied], rank[tied])
    return {
        "roc_auc": 1 - 0.5 * (before + until).sum(axis=1) / (positives * normals),
        "average_precision": (1 - until / end).mean(axis=1),
        "precision_at_k": (np.clip(k - first, 0, end - first) / (end - first)).sum(axis=1) / k,
        "recall_at_budget": (until <= np.floor(budget * normals + 1e-9)).sum(axis=1) / positives,
        "partial_auc": _partial_auc(before / normals, until / normals, max_fpr),
    }


def _sorted_bits(y: Labels, scores: Floats) -> NDArray[np.int64]:
    """Scores in falling order as integers, the label in the lowest bit."""
    clean = np.fmin(np.fmax(-scores, -HUGE), HUGE)
    np.copyto(clean, HUGE, where=np.isnan(scores))
    clean += 0.0  # -0.0 and 0.0 are one score
    bits = clean.view(np.int64)
    bits &= ~np.int64(1)
    bits |= (y == 1).astype(np.int64)
    clean.sort(axis=1)
    return np.asarray(bits)


def _ties(bits: NDArray[np.int64], rank: NDArray[np.intp]) -> tuple[NDArray[np.intp], ...]:
    """For the anomalies at ``rank`` (m, positives) the first place and the end of their equals, normals before and until."""
    value, n = bits >> 1, bits.shape[1]
    step = np.pad(value[:, 1:] != value[:, :-1], ((0, 0), (1, 1)), constant_values=True)
    place = np.arange(n)
    first = np.maximum.accumulate(np.where(step[:, :-1], place, 0), axis=1)
    end = np.minimum.accumulate(np.where(step[:, 1:], place + 1, n)[:, ::-1], axis=1)[:, ::-1]
    normals = np.pad(np.cumsum(1 - (bits & 1), axis=1), ((0, 0), (1, 0)))  # above each place
    bounds = [np.take_along_axis(edge, rank, axis=1) for edge in (first, end)]
    return (*bounds, *(np.take_along_axis(normals, edge, axis=1) for edge in bounds))


def _partial_auc(low: Floats, high: Floats, max_fpr: float) -> Floats:
    """Standardised area up to ``max_fpr``; each anomaly is found evenly between two false-alarm rates (m, positives)."""
    cut = np.clip(max_fpr - low, 0, None) ** 2 / np.where(high > low, 2 * (high - low), 1.0)
    area = np.where(high > max_fpr, cut, max_fpr - 0.5 * (low + high)).mean(axis=1)
    least = 0.5 * max_fpr**2
    return np.asarray(0.5 * (1 + (area - least) / (max_fpr - least)))


def flag_table(y: Labels, flags: NDArray[np.bool_]) -> dict[str, Floats]:
    """``f1``, ``false_alarm_rate``, ``precision`` and ``recall`` of decisions (m, n) at a cut; 0/0 is NaN, F1 then 0."""
    flags = np.atleast_2d(flags)
    bad = np.asarray(y) == 1
    tp = flags[:, bad].sum(axis=1).astype(float)
    fp = flags.sum(axis=1) - tp
    missed = bad.sum() - tp
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "f1": np.where(tp > 0, 2 * tp / (2 * tp + fp + missed), 0.0 if bad.any() else np.nan),
            "false_alarm_rate": fp / (~bad).sum(),
            "precision": tp / (tp + fp),
            "recall": tp / bad.sum(),
        }


def weighted_table(y: Labels, score: Floats, weights: Floats) -> dict[str, Floats]:
    """ROC AUC and average precision of one score (n,) under many weightings of its records (b, n): bootstrap, priors."""
    order = np.argsort(-np.nan_to_num(score, nan=-HUGE), kind="stable")
    value, bad = np.asarray(score)[order], np.asarray(y)[order] == 1
    last = np.append(value[1:] != value[:-1], True)
    w = np.asarray(weights, np.float64)[:, order]
    tp = np.cumsum(w * bad, axis=1)[:, last]
    fp = np.cumsum(w * ~bad, axis=1)[:, last]
    new = np.diff(tp, prepend=0.0, axis=1)
    mean_tp = tp - 0.5 * new
    positives, normals = tp[:, -1], fp[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(new > 0, tp / (tp + fp), 0.0)
        return {
            "roc_auc": (np.diff(fp, prepend=0.0, axis=1) * mean_tp).sum(axis=1) / (positives * normals),
            "average_precision": np.where(normals > 0, (new * precision).sum(axis=1) / positives, np.nan),
        }


def reweighted_average_precision(y: Labels, score: Floats, prior: float) -> float:
    """Average precision as if the share of anomalies were ``prior``."""
    bad = np.asarray(y) == 1
    if not bad.any() or bad.all():
        return float("nan")
    weight = np.where(bad, prior / bad.sum(), (1 - prior) / (~bad).sum())
    return float(weighted_table(y, score, weight[None])["average_precision"][0])


def midranks(score: Floats) -> Floats:
    """Ranks from 1, equal scores sharing their mean rank, NaN lowest."""
    _, which, count = np.unique(np.nan_to_num(score, nan=-HUGE), return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - 0.5 * (count - 1))[which])


def roc_auc(y: Labels, score: Floats) -> float:
    """Area under the ROC curve of one score (n,)."""
    return float(score_table(y, score)["roc_auc"][0])


def average_precision(y: Labels, score: Floats) -> float:
    """Average precision of one score (n,)."""
    return float(score_table(y, score)["average_precision"][0])
