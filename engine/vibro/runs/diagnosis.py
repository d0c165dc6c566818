"""The first hypothesis of each alarm of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibro.data import SignalBatch
from vibro.diagnosis.diagnose import Known, diagnose, mates_of, shaft_of
from vibro.diagnosis.knowledge import Machine
from vibro.scoring.verdict import ALARM, NORMAL, Verdict

MOST = 50  # alarms, the highest first: a diagnosis takes tenths of a second


def first_hypotheses(
    batch: SignalBatch,
    verdict: Verdict,
    machines: Mapping[str, Machine],
    mains_hz: float | None,
    cases: Sequence[Mapping[str, Any]] = (),
    most: int = MOST,
) -> dict[str, dict[str, Any]]:
    """Record id -> ``{name, grade, evidence[], against[], marks[]}`` of ``most`` alarms that look like something.

    First those that stand for one of the ``cases``, then the highest.
    """
    alarms = np.flatnonzero(verdict.level == ALARM)
    of_case = np.isin(batch.ids[alarms], [case["record_id"] for case in cases[:most]])
    alarms = alarms[np.lexsort((batch.ids[alarms], -verdict.score[alarms], ~of_case))][:most]
    found = {}
    for row in alarms:
        sensor = batch.sensor[row]
        machine = machines.get(batch.sensors[sensor], Machine())
        normal = np.flatnonzero((batch.sensor == sensor) & (verdict.level == NORMAL)).tolist()
        mates = mates_of(normal, int(row), batch.covariates, batch.length * batch.channels)
        known = Known(batch.fs, batch.unit, mains_hz, machine, speed_of(batch, int(row), machine))
        speeds = np.array([speed_of(batch, i, machine) or np.nan for i in mates.rows])
        named = diagnose(np.asarray(batch.x[row]), known, np.asarray(batch.x[mates.rows]), speeds, mates.state).named
        if named:
            found[str(batch.ids[row])] = named[0].table
    return found


def with_hypotheses(cases: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The cases with the first hypothesis of their highest record, None without any."""
    return [{**case, "hypothesis": found.get(case["record_id"])} for case in cases]


def speed_of(batch: SignalBatch, row: int, machine: Machine) -> float | None:
    """Shaft speed of a record in Hz."""
    return shaft_of(machine, dict(zip(batch.covariate_names, batch.covariates[row].tolist(), strict=True)))
