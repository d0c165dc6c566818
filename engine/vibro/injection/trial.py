"""Audition: physical faults of graded severity put into calm records show what each detector and the ensemble catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.data import SignalBatch
from vibro.injection.faults import KINDS, SEVERITIES, inject
from vibro.scoring.thresholds import Cuts

A_SENSOR, LEAST, MOST = 3, 12, 60  # calm records taken of each sensor; in all, where there are that many
A_RECORD = 60  # records of the batch for each calm one above LEAST: at most about half as many copies as records
CAUGHT = 0.5  # share of a sensor's records that must be caught at a severity and above

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """Calibrated scores of m calm records as they are, ``clean`` (m, d), and hurt, ``hurt`` (kinds, severities, m, d).

    ``sensor`` (m,): their sensor codes; ``fused`` (kinds, severities, m): the ensemble's scores of the hurt ones.
    """

    clean: Floats
    hurt: Floats
    sensor: NDArray[np.int32]
    fused: Floats

    def state(self) -> State:
        """The plain arrays."""
        return {name: getattr(self, name) for name in ("clean", "hurt", "sensor", "fused")}

    def part(self, start: int) -> Trial:
        """Every second record from this one on."""
        return Trial(self.clean[start::2], self.hurt[:, :, start::2], self.sensor[start::2], self.fused[:, :, start::2])


@dataclass(frozen=True)
class Audition:
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


def calm_rows(batch: SignalBatch, rows: NDArray[np.intp], score: Floats) -> NDArray[np.intp]:
    """Some of these rows: of each sensor those in the lower half by ``score`` (len(rows),), evenly spread over that half.

    At most ``A_SENSOR`` of a sensor, and in all one in ``A_RECORD`` of the batch within ``LEAST`` and ``MOST``; where that is
    fewer than one a sensor, of evenly chosen sensors.
    """
    known = np.isfinite(score) & batch.valid[rows]
    rows, score = rows[known], score[known]
    sensors = np.unique(batch.sensor[rows])
    room = min(MOST, max(LEAST, len(batch) // A_RECORD))
    each = max(1, min(A_SENSOR, room // max(1, len(sensors))))
    if len(sensors) * each > room:
        sensors = sensors[np.unique(np.linspace(0, len(sensors) - 1, room // each).astype(np.intp))]
    chosen = [np.zeros(0, np.intp)]
    for s in sensors:
        mine = np.flatnonzero(batch.sensor[rows] == s)
        half = mine[np.argsort(score[mine], kind="stable")][: (len(mine) + 1) // 2]
        chosen.append(rows[half[np.unique(np.linspace(0, len(half) - 1, min(each, len(half))).astype(np.intp))]])
    return np.sort(np.concatenate(chosen))


def rehearse(batch: SignalBatch, rows: NDArray[np.intp], score: Callable[[SignalBatch], Floats], seed: int) -> Trial:
    """Injects every kind at every severity into these rows; ``score`` gives z (n, d) of a batch by frozen detectors.

    Each kind draws from its own stream of the seed, the same for every severity.
    """
    clean, m = batch.take(rows), len(rows)
    before = score(clean)
    hurt = np.empty((len(KINDS), len(SEVERITIES), m, before.shape[1]))
    again = clean.take(np.tile(np.arange(m), len(SEVERITIES)))
    for i, kind in enumerate(KINDS):
        x = [inject(clean, kind, severity, np.random.default_rng([seed, i])).x for severity in SEVERITIES]
        hurt[i] = score(replace(again, x=np.concatenate(x))).reshape(len(SEVERITIES), m, -1)
    return Trial(before, hurt, clean.sensor, np.full(hurt.shape[:3], np.nan))


def usefulness(trial: Trial, own: Floats) -> Floats:
    """(d,) mean share of hurt records over each detector's own cut (d,), beyond that of clean ones; NaN if it has no score."""
    caught, false = (trial.hurt > own).mean(axis=2), (trial.clean > own).mean(axis=0)
    tried = np.isfinite(trial.hurt).any(axis=(0, 1, 2))
    return np.where(tried, np.maximum(caught - false, 0.0).mean(axis=(0, 1)), np.nan)


def with_fused(trial: Trial, fuse: Callable[[Floats], Floats]) -> Trial:
    """The trial with the fused scores of its hurt records; ``fuse`` (n, d) -> (n,)."""
    return replace(trial, fused=fuse(trial.hurt.reshape(-1, trial.hurt.shape[-1])).reshape(trial.hurt.shape[:3]))


def judge(trial: Trial, cuts: Cuts, sensors: int) -> Audition:
    """What detectors and the ensemble catch at their cuts; ``sensors``: how many sensor codes there are."""
    alarm = trial.fused > cuts.alarm
    caught = np.concatenate([(trial.hurt > cuts.own).mean(axis=2), alarm.mean(axis=2)[..., None]], axis=2)
    smallest, count = np.full((sensors + 1, len(KINDS)), np.nan), np.zeros(sensors + 1, np.int64)
    everyone = np.ones(len(trial.sensor), np.bool_)
    for s, mine in [*((int(s), trial.sensor == s) for s in np.unique(trial.sensor)), (sensors, everyone)]:
        held = alarm[:, :, mine].mean(axis=2) >= CAUGHT
        from_here = np.logical_and.accumulate(held[:, ::-1], axis=1)[:, ::-1]
        some = from_here.any(axis=1)
        smallest[s, some] = np.array(SEVERITIES)[from_here.argmax(axis=1)[some]]
        count[s] = mine.sum()
    return Audition(caught, usefulness(trial, cuts.own), smallest, count)
