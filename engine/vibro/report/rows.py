"""The rows of two tables: the records with the highest scores, and the sensors, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vibro.report import cells, trends
from vibro.report.axes import time_label
from vibro.report.data import RunData
from vibro.report.scale import Scale, score_scale
from vibro.scoring.regression import sensor_rows
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, LEVELS
from vibro.store.tables import printable

TOP = 20  # records with the highest scores
TABLE = 200  # rows of a table


def worst_first(run: RunData) -> list[int]:
    """Sensor codes, those with the most alarms, then attention, then the highest score first."""
    judged, of = run.judged, sensor_rows(run.sensor)

    def key(code: int) -> tuple[float, ...]:
        mine = of[code]
        level, score = run.level[mine], judged[mine[run.level[mine] != INVALID]]
        highest = float(np.nanmax(score)) if np.isfinite(score).any() else -np.inf
        return (-int((level == ALARM).sum()), -int((level == ATTENTION).sum()), -highest)

    return sorted(range(len(run.sensors)), key=key)


def top(run: RunData) -> list[dict[str, Any]]:
    """The highest records with what every detector says of them."""
    score = np.where(run.level == INVALID, np.nan, run.judged)
    rows = np.flatnonzero(np.isfinite(score))
    rows = rows[np.lexsort((run.scores["record_id"][rows], -score[rows]))][:TOP]
    cut = {d["id"]: d.get("cut") for d in run.summary.get("detectors", [])}
    weight = {d["id"]: d.get("weight") for d in run.summary.get("detectors", [])}
    hypotheses = run.summary.get("hypotheses", {})
    found = []
    for i in rows:
        z = {d: float(run.scores[f"z_{d}"][i]) for d in run.detectors}
        judged = [d for d in run.detectors if cut.get(d) is not None and np.isfinite(z[d]) and weight.get(d)]
        found.append(
            {
                "record_id": str(run.scores["record_id"][i]),
                "code": int(run.sensor[i]),
                "source": printable(str(run.scores["source"][i])),
                "row": int(run.scores["row"][i]),
                "sensor": run.sensors[run.sensor[i]] or "–",
                "time": time_label(run.x[i]) if run.timed else "–",
                "score": float(run.scores["score"][i]),
                "persistent": float(score[i]),
                "p": float(run.scores["p_value"][i]),
                "level": LEVELS[run.level[i]],
                "reason": str(run.scores["reason"][i]),
                "agreement": float(run.scores["agreement"][i]),
                "confidence": float(run.scores["confidence"][i]),
                "over": sum(z[d] > cut[d] for d in judged),
                "judged": len(judged),
                "strip": cells.strip([(d, z[d], cut.get(d), bool(weight.get(d))) for d in run.detectors]),
                "hypothesis": hypotheses.get(str(run.scores["record_id"][i]))
                if LEVELS[run.level[i]] == "alarm"
                else None,
            }
        )
    return found


def sensors(run: RunData, order: Sequence[int]) -> list[dict[str, Any]]:
    """One row per sensor, worst first."""
    told = {row["sensor_id"]: row for row in run.summary.get("sensors", [])}
    machine = _machine_of(run)
    together = trends.overlapping(run)
    up = score_scale(run.judged[run.level < INVALID], 21.0, 3.0, *run.cuts)
    rows = []
    for code in order[:TABLE]:
        mine = run.sensor == code
        level, score = run.level[mine], run.judged[mine]
        judged = score[(level < INVALID) & np.isfinite(score)]
        place = run.x if together else run.x[mine]
        known = place[np.isfinite(place)]
        lo, hi = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        across = Scale(lo, hi if hi > lo else lo + 1, 3.0, 147.0)
        name = run.sensors[code]
        rows.append(
            {
                "sensor": name or "–",
                "code": code,
                "machine": machine.get(name),
                "records": int(mine.sum()),
                **{what: int((level == i).sum()) for i, what in enumerate(LEVELS)},
                "median": float(np.median(judged)) if len(judged) else None,
                "highest": float(judged.max()) if len(judged) else None,
                "calibration": told.get(name, {}).get("calibration"),
                "alone": bool(told.get(name, {}).get("alone")),
                "course": cells.sparkline(run.x[mine], score, level, across, up),
            }
        )
    return rows


def _machine_of(run: RunData) -> dict[str, str]:
    rows = run.summary.get("sensors", [])
    return {row["sensor_id"]: row["machine_id"] for row in rows if row.get("machine_id")}
