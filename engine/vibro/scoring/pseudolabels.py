"""Pseudo-labels: the records that an ensemble calls normal or anomalous for sure, judged by scores of fits that had not
seen them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scoring.instants import instants
from vibro.scoring.regression import sensor_rows
from vibro.scoring.verdict import ALARM, ATTENTION, NORMAL, REASONS, ScoreMatrix, Verdict

LOW = 0.8  # quantile of the fitted records of its sensor below which a record is low for a detector
LEAST = 20  # records of a sensor below which the quantile is that of all records
OFTEN = 0.2  # share of raised records of a machine above which none of it is taken for normal
REAL = 0.5  # weight of a pseudo-label on which all agree, beside 1 of a real label
PERCENTILES = (0.05, 0.99)  # below which a record is normal, above which anomalous, by the rule ``percentile``
MADS = 4.0  # scaled median absolute deviations above the median, by the rule ``mad``
STEADY = (REASONS.index(""), REASONS.index("single_sensor"))  # reasons that a pseudo-anomaly may have

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Consensus:
    """How much agreement a pseudo-label takes.

    ``normal_share`` of the weight of the detectors must be low, ``anomaly_share`` above its own cut; an anomaly must last
    ``persist`` records of its sensor; of each sensor ``max_per_sensor`` of either class are kept, None = all.
    """

    normal_share: float = 0.8
    anomaly_share: float = 0.4
    persist: int = 3
    max_per_sensor: int | None = None


@dataclass(frozen=True)
class PseudoLabels:
    """``label`` int16 (n,): 0 normal, 1 anomalous, -1 abstention; ``weight`` float64 (n,): share of the weight of the
    detectors that agrees, times ``REAL``, 0 for abstentions; ``often``: share of raised records by the code of each machine
    that is raised so often that none of its records is taken for normal."""

    label: NDArray[np.int16]
    weight: Floats
    often: Mapping[int, float] = field(default_factory=dict)


def by_consensus(
    batch: SignalBatch, matrix: ScoreMatrix, weights: Floats, verdict: Verdict, fitted: Mask, rule: Consensus
) -> PseudoLabels:
    """Labels where detectors agree; ``matrix`` and ``verdict`` of held-out scores, ``weights`` (d,) of the fuser, ``fitted``
    (n,) the records that were fitted.

    Normal: level normal at an instant at which no sensor of the machine is raised, and low for enough of the weight of
    the detectors that have a score: at most the 80 % quantile of the fitted records of its sensor, so that a quiet sensor is
    not "more normal", and records of a later time not normal by themselves. Of a machine of which more than a fifth of the
    records is raised none is: what is so frequent has moved the baseline of its sensors, and milder faults look usual.
    Anomalous: raised to attention or alarm, above their own cuts for enough of the weight, and so for ``persist`` records
    of the sensor in a row. Transients, unseen states, benign and invalid records and those of sensors of which none was
    fitted abstain.
    """
    judged = np.isfinite(verdict.score) & batch.valid & np.isin(batch.sensor, batch.sensor[fitted])
    low = np.zeros(matrix.z.shape, np.bool_)
    known = judged & fitted
    pool = np.flatnonzero(known)
    of_all = _quantile(matrix.z[pool])
    for mine in sensor_rows(batch.sensor):
        own = mine[known[mine]]
        low[mine] = matrix.z[mine] <= (_quantile(matrix.z[own]) if len(own) >= LEAST else of_all)
    normal_share, over_share = (_share(given, matrix.z, weights) for given in (low, verdict.exceedances))
    raised = judged & np.isin(verdict.level, (ATTENTION, ALARM))
    often = _often(batch, judged, raised)
    quiet = judged & (verdict.level == NORMAL) & (verdict.reason == 0) & ~_shared(batch, raised)
    quiet &= ~np.isin(batch.machine, list(often))
    normal = quiet & (normal_share >= rule.normal_share - 1e-9)
    steady = raised & np.isin(verdict.reason, STEADY) & (over_share >= rule.anomaly_share - 1e-9)
    anomalous = lasting(batch, steady, rule.persist)
    label = np.where(anomalous, 1, np.where(normal, 0, -1)).astype(np.int16)
    label[~_within_quota(batch, label, rule.max_per_sensor)] = -1
    weight = REAL * np.where(label == 1, over_share, np.where(label == 0, normal_share, 0.0))
    return PseudoLabels(label, weight, often)


def by_cuts(batch: SignalBatch, score: Floats, low: float, high: float) -> PseudoLabels:
    """Labels by two cuts of held-out fused scores (n,) alone: normal up to ``low``, anomalous above ``high``."""
    judged = np.isfinite(score) & batch.valid
    label = np.where(judged & (score > high), 1, np.where(judged & (score <= low), 0, -1)).astype(np.int16)
    return PseudoLabels(label, np.where(label >= 0, REAL, 0.0))


def mad_cut(score: Floats) -> float:
    """Median + 4 x 1.4826 median absolute deviations of the known scores."""
    known = score[np.isfinite(score)]
    middle = float(np.median(known))
    return middle + MADS * 1.4826 * float(np.median(np.abs(known - middle)))


def lasting(batch: SignalBatch, raised: Mask, persist: int) -> Mask:
    """(n,) raised records that stand in a row of ``persist`` raised ones of their sensor, in order of time or, without
    times, of source and row; of a sensor with fewer records in a row of all."""
    kept = np.zeros(len(batch), np.bool_)
    for sensor in np.unique(batch.sensor):
        rows = np.flatnonzero(batch.sensor == sensor)
        rows = rows[np.lexsort((batch.row[rows], batch.source[rows], batch.time[rows]))]
        edges = np.flatnonzero(np.diff(np.r_[False, raised[rows], False].astype(np.int8)))
        for first, end in edges.reshape(-1, 2):
            kept[rows[first:end]] = end - first >= min(persist, len(rows))
    return kept


def _often(batch: SignalBatch, judged: Mask, raised: Mask) -> dict[int, float]:
    """Share of raised records of each machine where it is above ``OFTEN``, by the machine's code."""
    count, up = (np.bincount(batch.machine[rows], minlength=len(batch.machines)) for rows in (judged, raised))
    share = up / np.maximum(count, 1)
    return {int(code): float(share[code]) for code in np.flatnonzero(share > OFTEN)}


def _shared(batch: SignalBatch, raised: Mask) -> Mask:
    """(n,) records taken at an instant at which a sensor of the machine is raised; without times none."""
    shared = raised.copy()
    for machine in np.unique(batch.machine):
        rows = np.flatnonzero((batch.machine == machine) & ~np.isnat(batch.time))
        if len(rows):
            of = instants(batch.time[rows], batch.sensor[rows]).of
            shared[rows] = np.isin(of, of[raised[rows]])
    return shared


def _quantile(z: Floats) -> Floats:
    """(d,) the ``LOW`` quantile of what is known of each column; a column of nothing has none below it."""
    return np.array([np.quantile(known, LOW) if len(known := c[np.isfinite(c)]) else -np.inf for c in z.T])


def _share(chosen: Mask, z: Floats, weights: Floats) -> Floats:
    """(n,) share of the weight of those detectors that have a score."""
    given = np.isfinite(z) * weights
    total = given.sum(axis=1)
    return np.asarray(np.divide((given * chosen).sum(axis=1), total, out=np.zeros(len(z)), where=total > 0))


def _within_quota(batch: SignalBatch, label: NDArray[np.int16], most: int | None) -> Mask:
    """(n,) at most so many of either class of a sensor, evenly spaced in time, not those with the most extreme scores."""
    kept = np.ones(len(batch), np.bool_)
    for sensor in np.unique(batch.sensor) if most is not None else ():
        for value in (0, 1):
            rows = np.flatnonzero((batch.sensor == sensor) & (label == value))
            rows = rows[np.argsort(batch.time[rows], kind="stable")]
            spaced = np.linspace(0, len(rows) - 1, min(most or 0, len(rows))).astype(np.intp)
            kept[np.delete(rows, spaced)] = False
    return kept
