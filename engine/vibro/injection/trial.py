"""Fault-injection trial: faults of graded severity in presumably normal records show what each detector catches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.core.engine import Engine
from vibro.core.fitted import FittedDetectors
from vibro.data import SignalBatch
from vibro.injection.altered import score_altered
from vibro.injection.faults import KINDS, SEVERITIES, inject
from vibro.scoring.calibration import median
from vibro.scoring.thresholds import Cuts

PER_SENSOR, LEAST, MOST = 3, 12, 60  # records taken of each sensor; in all, where there are that many
RECORDS_PER_COPY = (
    60  # records of the batch for each one taken above LEAST: at most about half as many copies as records
)
CAUGHT = 0.5  # share of a sensor's records that must be caught at a severity and above

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """z of m presumably normal records as they are, ``clean`` (m, d), and ``corrupted`` (kinds, severities, m, d).

    ``sensor`` (m,): their sensor codes; ``fused`` (kinds, severities, m): the ensemble's scores of the corrupted ones.
    ``parts`` (d, 2): shares of the corrupted ones that raise an alarm only with, and only without each detector, at the cuts
    of the fit; empty = not known.
    """

    clean: Floats
    corrupted: Floats
    sensor: NDArray[np.int32]
    fused: Floats
    parts: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    def state(self) -> State:
        """The plain arrays."""
        return {name: getattr(self, name) for name in ("clean", "corrupted", "sensor", "fused", "parts")}


@dataclass(frozen=True)
class TrialResult:
    """What was caught, without any label.

    ``caught`` (kinds, severities, d + 1): share of the records over a detector's own cut, last the fused score over the
    alarm cut; ``usefulness`` (d,) mean over kinds and severities of what a detector catches beyond its clean records, NaN
    for one that could not be tried;
    ``smallest`` (sensors + 1, kinds): least severity from which half of a sensor's records, or last of all records,
    raise an alarm, NaN = none does or none was tried; ``count`` (sensors + 1,) records tried.
    """

    caught: Floats
    usefulness: Floats
    smallest: Floats
    count: NDArray[np.int64]


def inject_all(engine: Engine, detectors: FittedDetectors) -> Trial | None:
    """Every fault at every severity in presumably normal records of the lowest fold, by detectors that have not seen it.

    None where no record of that fold can be presumed normal.
    """
    batch, rows, states = detectors.batch, detectors.rows, detectors.holdout_states
    calibration, z = detectors.calibrated
    unseen = rows.fold == rows.fold.min(initial=0)
    chosen = presumed_normal_rows(batch, rows.fit[unseen], median(z)[unseen])
    if not len(chosen):
        return None

    def score(copies: SignalBatch) -> Floats:
        found = score_altered(engine, detectors, states, copies, "fault injection")
        lost = np.full(len(copies), np.nan)
        raw = np.stack([found.get(ident, lost) for ident in states], axis=1)
        return calibration.apply(raw, copies.sensor, copies.covariates)

    return inject_into(
        batch, chosen, score, engine.ctx.child("audition").seed
    )  # the stream's name is part of every result


def presumed_normal_rows(batch: SignalBatch, rows: NDArray[np.intp], score: Floats) -> NDArray[np.intp]:
    """Some of these rows: of each sensor those in the lower half by ``score`` (len(rows),), evenly spread over that half.

    At most ``PER_SENSOR`` of a sensor, and in all one in ``RECORDS_PER_COPY`` of the batch within ``LEAST`` and ``MOST``;
    where that is fewer than one per sensor, of evenly chosen sensors.
    """
    known = np.isfinite(score) & batch.valid[rows]
    rows, score = rows[known], score[known]
    sensors = np.unique(batch.sensor[rows])
    room = min(MOST, max(LEAST, len(batch) // RECORDS_PER_COPY))
    each = max(1, min(PER_SENSOR, room // max(1, len(sensors))))
    if len(sensors) * each > room:
        sensors = sensors[np.unique(np.linspace(0, len(sensors) - 1, room // each).astype(np.intp))]
    chosen = [np.zeros(0, np.intp)]
    for s in sensors:
        mine = np.flatnonzero(batch.sensor[rows] == s)
        half = mine[np.argsort(score[mine], kind="stable")][: (len(mine) + 1) // 2]
        chosen.append(rows[half[np.unique(np.linspace(0, len(half) - 1, min(each, len(half))).astype(np.intp))]])
    return np.sort(np.concatenate(chosen))


def inject_into(batch: SignalBatch, rows: NDArray[np.intp], score: Callable[[SignalBatch], Floats], seed: int) -> Trial:
    """Injects every kind at every severity into these rows; ``score`` gives z (n, d) of a batch by frozen detectors.

    Each kind draws from its own stream of the seed, the same for every severity.
    """
    clean, m = batch.take(rows), len(rows)
    before = score(clean)
    corrupted = np.empty((len(KINDS), len(SEVERITIES), m, before.shape[1]))
    again = clean.take(np.tile(np.arange(m), len(SEVERITIES)))
    for i, kind in enumerate(KINDS):
        x = [inject(clean, kind, severity, np.random.default_rng([seed, i])).x for severity in SEVERITIES]
        corrupted[i] = score(replace(again, x=np.concatenate(x))).reshape(len(SEVERITIES), m, -1)
    return Trial(before, corrupted, clean.sensor, np.full(corrupted.shape[:3], np.nan))


def usefulness(trial: Trial, own: Floats) -> Floats:
    """(d,) mean share of corrupted records over each detector's cut (d,), beyond that of clean ones; NaN without a score."""
    caught, false = (trial.corrupted > own).mean(axis=2), (trial.clean > own).mean(axis=0)
    tried = np.isfinite(trial.corrupted).any(axis=(0, 1, 2))
    return np.where(tried, np.maximum(caught - false, 0.0).mean(axis=(0, 1)), np.nan)


def with_fused(trial: Trial, fuse: Callable[[Floats], Floats]) -> Trial:
    """The trial with the fused scores of its corrupted records; ``fuse`` (n, d) -> (n,)."""
    return replace(
        trial, fused=fuse(trial.corrupted.reshape(-1, trial.corrupted.shape[-1])).reshape(trial.corrupted.shape[:3])
    )


def judge(trial: Trial, cuts: Cuts, sensors: int) -> TrialResult:
    """What detectors and the ensemble catch at their cuts; ``sensors``: how many sensor codes there are."""
    alarm = trial.fused > cuts.alarm
    caught = np.concatenate([(trial.corrupted > cuts.own).mean(axis=2), alarm.mean(axis=2)[..., None]], axis=2)
    smallest, count = np.full((sensors + 1, len(KINDS)), np.nan), np.zeros(sensors + 1, np.int64)
    everyone = np.ones(len(trial.sensor), np.bool_)
    for s, mine in [*((int(s), trial.sensor == s) for s in np.unique(trial.sensor)), (sensors, everyone)]:
        caught_here = alarm[:, :, mine].mean(axis=2) >= CAUGHT
        from_here = np.logical_and.accumulate(caught_here[:, ::-1], axis=1)[:, ::-1]
        some = from_here.any(axis=1)
        smallest[s, some] = np.array(SEVERITIES)[from_here.argmax(axis=1)[some]]
        count[s] = mine.sum()
    return TrialResult(caught, usefulness(trial, cuts.own), smallest, count)
