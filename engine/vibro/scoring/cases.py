"""Cases: records in alarm of one machine that belong together, so that an alarm is looked into once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME, SignalBatch
from vibro.scoring.instants import instants
from vibro.scoring.machines import N
from vibro.scoring.verdict import ALARM, INDETERMINATE, INVALID, LEVELS, Verdict

GAP = N  # instants of a machine without an alarm that end a case; so many make its verdict


def case_rows(batch: SignalBatch, verdict: Verdict, machines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``cases.csv``, the most urgent first.

    A case is a run of instants of one machine with records in alarm, without a gap of more than five instants between them;
    without times all records in alarm of a machine are one case. ``level``: ``alarm`` for the case that makes the verdict of
    its machine in ``machines`` (rows of ``machines.csv``), else ``attention``. ``since``, ``until``: first and last alarm;
    ``open``: whether fewer than five instants came after it. ``instants``: with an alarm, of ``instants_total`` from since
    to until; ``sensors``: those with a record in alarm, the most records first; ``record_id``: the highest record;
    ``score``: that of it with its neighbours in time, by which levels go; ``confidence``: mean of all its records.
    """
    told = {str(row["machine_id"]): row for row in machines}
    judged = (verdict.level != INVALID) & (verdict.level != INDETERMINATE)
    rows = []
    for code in np.unique(batch.machine[verdict.level == ALARM]):
        name = batch.machines[code]
        mine = np.flatnonzero((batch.machine == code) & judged)
        for alarms, course in _runs(batch, mine, verdict.level[mine] == ALARM):
            rows.append({"machine_id": name, **_told(batch, verdict, alarms), **course})
            rows[-1]["level"] = LEVELS[ALARM] if _decides(told.get(name, {}), rows[-1]) else "attention"
    rows.sort(key=lambda row: (row["level"] != LEVELS[ALARM], -row["score"], row["record_id"]))
    return [{"case": i + 1, **row} for i, row in enumerate(rows)]


def _runs(
    batch: SignalBatch, rows: NDArray[np.intp], alarm: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.intp], dict[str, Any]]]:
    """The records in alarm of each case of one machine, with its course in time; ``alarm`` (r,) of its ``rows`` (r,)."""
    time = batch.time[rows]
    if np.isnat(time).any():
        yield rows[alarm], {"since": NO_TIME, "until": NO_TIME, "open": True, "instants": None, "instants_total": None}
        return
    found = instants(time, batch.sensor[rows])
    held = np.unique(found.of[alarm])
    for part in np.split(held, np.flatnonzero(np.diff(held) > GAP) + 1):
        mine = rows[alarm & (found.of >= part[0]) & (found.of <= part[-1])]
        yield (
            mine,
            {
                "since": batch.time[mine].min(),
                "until": batch.time[mine].max(),
                "open": len(found.times) - 1 - int(part[-1]) < GAP,
                "instants": len(part),
                "instants_total": int(part[-1] - part[0]) + 1,
            },
        )


def _told(batch: SignalBatch, verdict: Verdict, rows: NDArray[np.intp]) -> dict[str, Any]:
    codes, counts = np.unique(batch.sensor[rows], return_counts=True)
    highest = rows[np.lexsort((batch.ids[rows], -verdict.persistent[rows]))[0]]
    known = verdict.confidence[rows][np.isfinite(verdict.confidence[rows])]
    return {
        "sensors": [batch.sensors[code] for code in codes[np.argsort(-counts, kind="stable")]],
        "records": len(rows),
        "record_id": str(batch.ids[highest]),
        "score": float(verdict.persistent[highest]),
        "confidence": float(known.mean()) if len(known) else np.nan,
    }


def _decides(machine: Mapping[str, Any], case: Mapping[str, Any]) -> bool:
    """Whether the alarm of a machine began in this case."""
    if machine.get("level") != LEVELS[ALARM]:
        return False
    since = machine["since"]
    return bool(np.isnat(since) or case["since"] <= since <= case["until"])
