"""The level of a machine by the last records of its sensors, by the rules of ``machines.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vibro.core.fitted import FittedEnsemble
from vibro.data import make_batch
from vibro.scoring.machines import ISOLATED, machine_rows
from vibro.scoring.verdict import ALARM, ATTENTION, NORMAL, Verdict


def machine_levels(machine: str, held: Sequence[tuple[Any, ...]], fitted: FittedEnsemble) -> tuple[dict[str, Any], str]:
    """The row of ``machines.csv`` for records (sensor, time in ns, score, level, reason, confidence), and its level.

    Records in alarm that none kept up are no reason to raise a machine's level here: the next instants will tell.
    """
    sensor, time, score, level, reason, confidence = zip(*held, strict=True)
    n = len(held)
    batch = make_batch(
        np.zeros((n, 1, 0), np.float32),
        fs=1.0,
        sensor=sensor,
        time=list(np.array(time, np.int64).view("datetime64[ns]")),
        machine=[machine] * n,
    )
    none, cuts = np.zeros((n, 0)), fitted.cuts
    scores, levels = _floats(score), np.array(level, np.int8)
    persistent = fitted.persistence.apply(batch, scores, fitted.schema["periods"])
    if fitted.persistence.on:  # its neighbours were not all there when a record was judged
        by_cuts = np.where(persistent > cuts.alarm, ALARM, np.where(persistent > cuts.attention, ATTENTION, NORMAL))
        plain = (np.array(reason) == 0) & np.isin(levels, (NORMAL, ATTENTION, ALARM))
        levels = np.where(plain, by_cuts, levels).astype(np.int8)
    verdict = Verdict(
        score=scores,
        persistent=persistent,
        level=levels,
        p_value=np.full(n, np.nan),
        agreement=np.full(n, np.nan),
        share=none,
        exceedances=none.astype(np.bool_),
        used=np.ones(n),
        confidence=_floats(confidence),
        unseen=np.zeros(n, np.bool_),
        alarm_suppressed=np.zeros(n, np.bool_),
        reason=np.array(reason, np.int8),
    )
    row = machine_rows(batch, verdict, cuts)[0]
    quiet = row["reason"] == ISOLATED or row["level"] not in ("attention", "alarm")
    return row, "normal" if quiet else str(row["level"])


def _floats(values: Sequence[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], np.float64)
