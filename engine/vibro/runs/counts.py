"""What a run counts: records a level, a sensor and above each cut, transients, the highest records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vibro.data import SignalBatch
from vibro.scoring.machines import lone_sensors
from vibro.scoring.regression import sensor_rows
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, LEVELS, REASONS, Verdict

TOP = 10  # highest records listed


def levels(verdict: Verdict) -> dict[str, int]:
    """Records a level."""
    return {name: int((verdict.level == code).sum()) for code, name in enumerate(LEVELS)}


def sensors(batch: SignalBatch, verdict: Verdict, cuts: Cuts, baselines: Mapping[str, str]) -> list[dict[str, Any]]:
    """Counts a sensor; ``baselines`` tells what each is compared with, ``alone`` which deviate by themselves."""
    rows, alone = [], {sensor for _, sensor in lone_sensors(batch, verdict, cuts)}
    for code, rows_of in enumerate(sensor_rows(batch.sensor)):
        if not len(rows_of):
            continue
        mine = verdict.level[rows_of]
        name = batch.sensors[code]
        rows.append(
            {
                "sensor_id": name,
                "machine_id": batch.machines[batch.machine[rows_of[0]]],
                "records": len(mine),
                "invalid": int((mine == INVALID).sum()),
                "attention": int((mine == ATTENTION).sum()),
                "alarm": int((mine == ALARM).sum()),
                "calibration": baselines.get(name, "pooled"),
                "alone": name in alone,
            }
        )
    return rows


def realised(verdict: Verdict, cuts: Cuts) -> dict[str, float | None]:
    """Share of the valid records above each cut."""
    judged = verdict.persistent[(verdict.level != INVALID) & np.isfinite(verdict.persistent)]
    return {
        name: float(np.mean(judged > cut)) if len(judged) else None
        for name, cut in (("attention", cuts.attention), ("alarm", cuts.alarm))
    }


def transients(verdict: Verdict) -> list[dict[str, Any]]:
    """One row an event, in order of machine and time."""
    return [
        {"machine_id": e.machine, "time": e.time, "sensors": e.sensors, "records": len(e.rows)}
        for e in verdict.transients.events
    ]


def top(batch: SignalBatch, verdict: Verdict, hypotheses: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ten highest records that are not invalid; alarms with the first of their hypotheses, None without any."""
    score = np.where(verdict.level == INVALID, -np.inf, np.nan_to_num(verdict.persistent, nan=-np.inf))
    order = np.lexsort((batch.ids, -score))[:TOP]
    return [
        {
            **batch.named(i),
            "score": float(verdict.score[i]),
            "persistent_score": float(verdict.persistent[i]),
            "level": LEVELS[verdict.level[i]],
            "reason": REASONS[verdict.reason[i]],
            "hypothesis": hypotheses.get(str(batch.ids[i])) if verdict.level[i] == ALARM else None,
        }
        for i in order
        if np.isfinite(score[i])
    ]
