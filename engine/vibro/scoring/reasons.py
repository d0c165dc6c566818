"""Why a level is what it is: what the user said, transients, operating states never seen, sensors that deviate alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scoring.instants import instants
from vibro.scoring.machines import lone_sensors
from vibro.scoring.marks import FAULT, Look, Marks
from vibro.scoring.thresholds import Cuts
from vibro.scoring.transients import find_transients
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID, NORMAL, REASONS, Verdict

TRANSIENT, UNSEEN_STATE, SINGLE_SENSOR, DATA, BENIGN = map(
    REASONS.index, ("transient", "unseen_state", "single_sensor", "data", "benign")
)


def with_reasons(
    batch: SignalBatch, verdict: Verdict, cuts: Cuts, reference: NDArray[np.float64], look: Look, marks: Marks
) -> Verdict:
    """A verdict by cuts alone, with the reasons that change or explain its levels.

    ``reference`` (r,) fused held-out scores; ``look`` what the n records look like; ``marks`` the user's word. Records of
    a transient get ``attention``; those that the user called normal or benign and those near to a benign one get
    ``normal``; one that is marked as a fault keeps its level. No cut can change such a level: its confidence is 1.
    """
    level = verdict.level.copy()
    judged = (level != INVALID) & (level != INDETERMINATE)
    fault = marks.said(batch.ids) == FAULT
    harmless = judged & (level != NORMAL) & marks.harmless(batch.ids, look)
    found = find_transients(batch, verdict.score, look.signature[:, 0], reference, judged).without(fault | harmless)
    transient = found.mask(len(batch))
    level[transient], level[harmless] = ATTENTION, NORMAL

    reason = np.zeros(len(batch), np.int8)
    held = verdict.alarm_suppressed & (verdict.persistent > cuts.alarm)
    for code, rows in ((UNSEEN_STATE, held & (level == ATTENTION)), (TRANSIENT, transient), (BENIGN, harmless)):
        reason[rows] = code
    reason[level == INVALID] = DATA
    confidence = np.where(transient | harmless, 1.0, verdict.confidence)
    settled = replace(verdict, level=level, reason=reason, confidence=confidence, transients=found)
    alone = _alone(batch, settled, cuts) & (reason == 0)
    return replace(settled, reason=np.where(alone, SINGLE_SENSOR, reason).astype(np.int8))


def _alone(batch: SignalBatch, verdict: Verdict, cuts: Cuts) -> NDArray[np.bool_]:
    """(n,) raised records of a sensor that deviates alone, at instants at which no other sensor of its machine is raised."""
    raised = (verdict.level == ATTENTION) | (verdict.level == ALARM)
    trusted = np.isfinite(verdict.score) & (verdict.level != INVALID) & (verdict.level != INDETERMINATE)
    alone = np.zeros(len(batch), np.bool_)
    for machine, sensor in lone_sensors(batch, verdict, cuts):
        rows = np.flatnonzero(trusted & (batch.machine == batch.machines.index(machine)))
        mine, up = batch.sensor[rows] == batch.sensors.index(sensor), raised[rows]
        timed = not np.isnat(batch.time[rows]).any()
        shared = np.isin(of := instants(batch.time[rows], batch.sensor[rows]).of, of[up & ~mine]) if timed else ~mine
        alone[rows[mine & up & ~shared]] = True
    return alone
