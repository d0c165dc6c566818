"""The tables of a watch: what one file adds to them, and the events that follow from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.core.fitted import FittedEnsemble
from vibro.ingest.accounting import QUARANTINED, REASONS
from vibro.io import files
from vibro.runs.lacking import lacking
from vibro.runs.outputs import score_columns
from vibro.runs.scorer import Judged
from vibro.runs.window import machine_levels
from vibro.scoring.drift import ALPHA, BLOCK, drift, reference_of
from vibro.scoring.machines import N
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID
from vibro.store.journal import Journal, Transaction
from vibro.store.tables import json_line, quarantine_lines, score_lines

SCORES, QUARANTINE, EVENTS = "scores.csv", "quarantine.csv", "alarms.jsonl"


class Ledger:
    """Enters files into the tables of a journal; ``waiting``: events are to be delivered to somebody."""

    def __init__(self, journal: Journal, fitted: FittedEnsemble, *, waiting: bool) -> None:
        self._journal, self._fitted, self._waiting = journal, fitted, waiting

    def enter(self, change: Transaction, source: str, judged: Judged) -> tuple[int, list[dict[str, Any]]]:
        """Enters one file: its new records and findings, the levels of their machines; how many records, and the events."""
        keys = (sha256(json.dumps(files.plain(finding)).encode()).hexdigest() for finding in judged.findings)
        fresh = [finding for finding, key in zip(judged.findings, keys, strict=True) if self._new(change, key, source)]
        if fresh:
            change.append(QUARANTINE, *quarantine_lines(fresh))
        if judged.batch is None:
            return 0, []
        assert judged.matrix is not None and judged.verdict is not None
        columns = score_columns(judged.batch, judged.matrix, judged.verdict)
        new = np.array([self._new(change, ident, source) for ident in judged.batch.ids.tolist()], np.bool_)
        self._repeated(change, columns, ~new, source)
        if not new.any():
            return 0, []
        change.append(SCORES, *score_lines({name: column[new] for name, column in columns.items()}))
        rows = np.flatnonzero(new)
        events = [
            *self._lacks(change, source, judged),
            *self._levels(change, judged, rows),
            *self._drifts(change, judged, rows),
        ]
        for event in events:
            line = json_line(event)
            change.append(EVENTS, b"", line.encode())
            change.run("INSERT INTO events (line, waiting) VALUES (?, ?)", line, int(self._waiting))
        return len(rows), events

    def _lacks(self, change: Transaction, source: str, judged: Judged) -> Iterator[dict[str, Any]]:
        """Records without the covariates of the fit: told for the first file of a machine that lacks them, then after one
        that does not."""
        batch = judged.batch
        assert batch is not None
        lack, said = lacking(self._fitted, batch)
        machines = set(batch.machine[lack].tolist())
        for code in set(batch.machine.tolist()) - machines:
            change.run("DELETE FROM known WHERE key = ?", f"lacks {batch.machines[code]}")
        fresh = [
            batch.machines[code]
            for code in sorted(machines)
            if self._new(change, f"lacks {batch.machines[code]}", source)
        ]
        if fresh:
            yield {"event": "covariates", "source": source, "machines": fresh, "warning": said[0]}

    def _levels(self, change: Transaction, judged: Judged, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
        """Changes of machines' levels, instant by instant, by the last instants of each sensor.

        A machine that is normal, and has no record above its cuts in the file, is looked at once.
        """
        batch, verdict = judged.batch, judged.verdict
        assert batch is not None and verdict is not None
        raised = (verdict.level[rows] == ATTENTION) | (verdict.level[rows] == ALARM)
        loud = {batch.machines[code] for code in batch.machine[rows[raised]]}
        loud |= {row[0] for row in self._journal.rows("SELECT machine FROM machines WHERE level != 'normal'")}
        ordered = rows[np.argsort(batch.time[rows], kind="stable")]
        stamps = batch.time[ordered]
        ends = np.flatnonzero(np.append(stamps[1:] != stamps[:-1], True)) + 1
        events: list[dict[str, Any]] = []
        touched: set[str] = set()
        start = 0
        for end in ends.tolist():
            for i in ordered[start:end]:
                touched.add(self._remember(change, judged, int(i)))
            last = end == len(ordered)
            for machine in sorted(name for name in touched if last or name in loud):
                events += self._level(change, machine)
            touched, start = {name for name in touched if name not in loud}, end
        return events

    def _remember(self, change: Transaction, judged: Judged, i: int) -> str:
        """Keeps a record among the last ones of its sensor; its machine."""
        batch, verdict = judged.batch, judged.verdict
        assert batch is not None and verdict is not None
        machine, sensor = str(batch.machines[batch.machine[i]]), str(batch.sensors[batch.sensor[i]])
        change.run(
            "INSERT INTO recent VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(machine, sensor, int(batch.time[i].astype("datetime64[ns]").astype(np.int64))),
            *(_real(verdict.score[i]), int(verdict.level[i]), int(verdict.reason[i]), _real(verdict.confidence[i])),
        )
        change.run(
            "DELETE FROM recent WHERE machine = ? AND sensor = ? AND rowid NOT IN"
            " (SELECT rowid FROM recent WHERE machine = ? AND sensor = ? ORDER BY time DESC, rowid DESC LIMIT ?)",
            *(machine, sensor, machine, sensor, N),
        )
        return machine

    def _level(self, change: Transaction, machine: str) -> Iterator[dict[str, Any]]:
        """The event of a machine whose level is another one now."""
        held = self._journal.rows(
            "SELECT sensor, time, score, level, reason, confidence FROM recent WHERE machine = ? ORDER BY rowid",
            machine,
        )
        row, level = machine_levels(machine, held, self._fitted)
        before = self._journal.rows("SELECT level FROM machines WHERE machine = ?", machine)
        was = before[0][0] if before else "normal"
        if level != was or not before:
            change.run("INSERT OR REPLACE INTO machines VALUES (?, ?)", machine, level)
        if level != was:
            yield {"event": "level", **row, "level": level, "before": was}

    def _drifts(self, change: Transaction, judged: Judged, rows: NDArray[np.intp]) -> Iterator[dict[str, Any]]:
        """Sensors whose last block of scores is not that of the fit."""
        batch, verdict = judged.batch, judged.verdict
        assert batch is not None and verdict is not None
        fitted = self._fitted
        sensors = set()
        for i in rows:
            if np.isfinite(verdict.score[i]) and verdict.level[i] not in (INVALID, INDETERMINATE):
                sensors.add(batch.sensors[batch.sensor[i]])
                change.run("INSERT INTO scores VALUES (?, ?)", batch.sensors[batch.sensor[i]], float(verdict.score[i]))
        known = list(fitted.schema["sensors"])
        for sensor in sorted(sensors):
            held = [row[0] for row in self._journal.rows("SELECT score FROM scores WHERE sensor = ?", sensor)]
            if len(held) < BLOCK:
                continue
            change.run("DELETE FROM scores WHERE sensor = ?", sensor)
            code = known.index(sensor) if sensor in known else -1
            found = drift(np.array(held), reference_of(code, fitted.reference["fused"], fitted.reference["sensor"]))
            if found.found:
                yield {
                    "event": "drift",
                    "sensor_id": sensor,
                    "records": len(held),
                    "statistic": found.statistic,
                    "p": found.p,
                    "above": found.above,
                    "false_alarms": ALPHA,
                    "proposal": "fit again on records of late, or after a repair: vibro accept",
                }

    def _new(self, change: Transaction, key: str, source: str) -> bool:
        """Whether a record or finding is met for the first time; then it is noted."""
        if self._journal.rows("SELECT 1 FROM known WHERE key = ?", key):
            return False
        change.run("INSERT INTO known VALUES (?, ?)", key, source)
        return True

    def _repeated(self, change: Transaction, columns: Mapping[str, Any], rows: Any, source: str) -> None:
        """Records that another file has held already are quarantined, as those of one batch are (Q012)."""
        findings = []
        for i in np.flatnonzero(rows):
            ident = str(columns["record_id"][i])
            first = self._journal.rows("SELECT source FROM known WHERE key = ?", ident)[0][0]
            if first != source and self._new(change, f"{ident} {source}", source):
                detail = f"the same record as in {first}"
                findings.append(
                    {"source": source, "row": int(columns["row"][i]), "record_id": ident, "code": "Q012"}
                    | {"reason": REASONS["Q012"], "disposition": QUARANTINED, "detail": detail}
                    | {name: columns[name][i] for name in ("sensor_id", "data_time")}
                )
        if findings:
            change.append(QUARANTINE, *quarantine_lines(findings))


def _real(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
