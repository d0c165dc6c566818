"""What each section of the report shows, made from the files of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report import background, charts
from vibro.report.charts import ALARM, ATTENTION, INVALID
from vibro.report.data import LEVELS, RunData
from vibro.report.scale import Scale, score_scale
from vibro.report.svg import Svg
from vibro.report.texts import Texts, texts
from vibro.store.tables import printable

TOP = 20  # records with the highest scores
PANELS = 8  # sensors with a trend of their own
ROWS = 40  # sensors in the heat map
TABLE = 200  # rows of a table
WORST = 5  # machines named in the verdict
_BINS = 72


def sections(run: RunData, lang: str) -> dict[str, Any]:
    """All values of the template."""
    t = texts(lang)
    order = worst_first(run)
    return {
        "head": head(run, t),
        "levels": levels(run),
        "say": say(run, t),
        "summary": run.summary,
        "machines": machines(run, t),
        "transients": transients(run),
        "when": when(run, order, t),
        "timed": run.timed,
        "trend": trend(run, order, t),
        "panels_left": max(0, len(run.sensors) - PANELS),
        "histogram": distribution(run, t),
        "thresholds": thresholds(run),
        "top": top(run),
        "ids": run.detectors,
        "sensors": sensors(run, order),
        "detectors": background.detectors(run),
        "fault_injection": background.fault_injection(run),
        "alike": background.alike(run, t),
        "metrics": background.metrics(run, t),
        "data": background.data(run),
        "how": background.how(run),
        "table": TABLE,
    }


def worst_first(run: RunData) -> list[int]:
    """Sensor codes, those with the most alarms, then attention, then the highest score first."""

    def key(code: int) -> tuple[float, ...]:
        mine = run.sensor == code
        level, score = run.level[mine], run.judged[mine & (run.level != INVALID)]
        highest = float(np.nanmax(score)) if np.isfinite(score).any() else -np.inf
        return (-int((level == ALARM).sum()), -int((level == ATTENTION).sum()), -highest)

    return sorted(range(len(run.sensors)), key=key)


def head(run: RunData, t: Texts) -> list[str]:
    """The facts under the title."""
    summary, signal = run.summary, run.summary.get("signal", {})
    facts = [f"{t['ensemble']} {summary.get('ensemble', '')}", f"{len(run):,} {t['records']}"]
    facts.append(f"{len(run.sensors):,} {t['sensors']}")
    if run.machines:
        facts.append(f"{len(run.machines):,} {t['machines']}")
    if signal.get("fs"):
        estimated = f" ({t['fs_estimated']})" if signal.get("fs_source") == "estimated" else ""
        facts.append(f"{signal['fs']:,g} Hz{estimated}")
        facts.append(f"{signal['length']:,} {t['samples']} = {signal['length'] / signal['fs']:.3g} s")
    if signal.get("channels", 1) > 1:
        facts.append(f"{signal['channels']} {t['channels']}")
    unit = signal.get("unit") or "unknown"
    facts.append(t["unit_unknown"] if unit == "unknown" else unit)
    if run.timed:
        facts.append(f"{_moment(np.nanmin(run.x))} – {_moment(np.nanmax(run.x))} UTC")
    return facts


def levels(run: RunData) -> list[tuple[str, int]]:
    """Number of records per level, most urgent first, then the quarantined ones."""
    counted = dict(zip(LEVELS, np.bincount(run.level, minlength=len(LEVELS)).tolist(), strict=True))
    found = [(name, counted[name]) for name in ("alarm", "attention", "normal", "invalid", "indeterminate")]
    return [*found, ("quarantined", int(run.summary.get("records", {}).get("quarantined", 0)))]


def say(run: RunData, t: Texts) -> dict[str, Any]:
    """The verdict in words, and the worst level for its colour."""
    counted = dict(levels(run))
    lines = [t["say_none"]]
    if counted["alarm"] or counted["attention"]:
        lines = [t["say_some"].format(**{k: f"{v:,}" for k, v in counted.items()}, n=f"{len(run):,}")]
    unjudged = counted["invalid"] + counted["indeterminate"]
    if unjudged:
        lines.append(t["say_invalid"].format(n=f"{unjudged:,}"))
    found = [row for row in machines(run, t) if row["level"] in ("alarm", "attention")]
    if found:
        alarms = sum(row["level"] == "alarm" for row in found)
        lines.append(t["say_machines"].format(n=len(run.machines), alarm=alarms, attention=len(found) - alarms))
    for row in found[:WORST]:
        key = "say_machine_since" if row["since"] else "say_machine"
        lines.append(
            t[key].format(machine=row["machine_id"], level=t[row["level"]], since=row["since"], why=row["why"])
        )
    worst = next((name for name in ("alarm", "attention") if counted[name]), "normal")
    return {"lines": lines, "level": worst}


def machines(run: RunData, t: Texts) -> list[dict[str, Any]]:
    """The rows of machines.csv, worst first, each with the reason of its level in words."""
    urgency = {"alarm": 0, "attention": 1, "normal": 2}
    rows = [
        {
            **row,
            "machine_id": row.get("machine_id") or "–",
            "score": _float(row.get("score")),
            "confidence": _float(row.get("confidence")),
            "growth": _float(row.get("growth_per_day")),
            "since": row.get("since", "")[:16].replace("T", " "),
            "why": why(row, t),
        }
        for row in run.machines
    ]
    order = [(urgency.get(m["level"], 3), -(_float(m.get("score")) or 0.0), i) for i, m in enumerate(run.machines)]
    return [rows[i] for _, _, i in sorted(order)]


def why(row: Mapping[str, str], t: Texts) -> str:
    """Why a machine has its level."""
    reason = row.get("reason", "")
    if reason == "sustained" and row["sensors_alarm"] in ("", "0"):
        reason = "in_turn" if row["level"] == "alarm" else "above_attention"
    words = t[f"why_{reason}"] if reason else ""
    return words.format(bad=row["sensors_alarm"], total=row["sensors_total"], n=row.get("records_alarm", ""))


def transients(run: RunData) -> list[dict[str, Any]]:
    """The events of the run, by machine and time."""
    return [{**event, "time": event["time"][:16].replace("T", " ")} for event in run.summary.get("transients", [])]


def when(run: RunData, order: Sequence[int], t: Texts) -> Svg | None:
    """The map of sensors by time, or None where there is too little to map."""
    known = np.isfinite(run.x)
    distinct = np.unique(run.x[known])
    if len(run.sensors) < 2 or len(distinct) < 3:
        return None
    edges = np.linspace(distinct[0], np.nextafter(distinct[-1], np.inf), min(_BINS, len(distinct)) + 1)
    edges[-1] += max(1e-6, abs(edges[-1]) * 1e-12)
    column = np.clip(np.searchsorted(edges, run.x, side="right") - 1, 0, len(edges) - 2)
    shown = sorted(order[:ROWS], key=lambda code: _natural(run.sensors[code]))
    worst = np.full((len(shown), len(edges) - 1), np.nan)
    level = np.full(worst.shape, -1, dtype=np.int8)
    # A cell shows its most urgent record; a record that could not be judged only where there is no other.
    urgency = np.array([2, 3, 4, 1, 0])
    rank = urgency[run.level]
    score = np.where(run.level >= INVALID, np.nan, run.judged)
    for i, code in enumerate(shown):
        rows = np.flatnonzero((run.sensor == code) & known)
        rows = rows[np.lexsort((np.nan_to_num(score[rows], nan=-np.inf), rank[rows]))]
        worst[i, column[rows]] = score[rows]  # the last one written is the most urgent
        level[i, column[rows]] = run.level[rows]
    names = [run.sensors[code] or "–" for code in shown]
    return charts.heat_map(names, worst, level, edges, shades(run), run.timed, t)


def shades(run: RunData) -> NDArray[np.float64]:
    """Five equal steps from the median score to the attention cut, or to the highest score without a cut."""
    judged = run.judged[(run.level < INVALID) & np.isfinite(run.judged)]
    if not len(judged):
        return np.zeros(5)
    middle, end = float(np.median(judged)), run.cuts[0]
    return np.linspace(middle, max(middle, end if end is not None else float(judged.max())), 6)[:-1]


def trend(run: RunData, order: Sequence[int], t: Texts) -> list[dict[str, Any]]:
    """One panel for each of the worst sensors, all on one scale."""
    known = np.isfinite(run.x)
    if len(np.unique(run.x[known])) < 3:
        return []
    lo, hi = float(run.x[known].min()), float(run.x[known].max())
    across = Scale(lo, hi, 44.0, 520.0)
    up = score_scale(run.judged[run.level < INVALID], 120.0, 8.0, *run.cuts)
    panels = []
    for code in order[:PANELS]:
        mine = run.sensor == code
        drawn = charts.panel(run.x[mine], run.judged[mine], run.level[mine], (across, up), run.cuts, run.timed, t)
        panels.append(
            {"name": run.sensors[code] or "–", "machine": _machine_of(run).get(run.sensors[code]), "svg": drawn}
        )
    return panels


def distribution(run: RunData, t: Texts) -> Svg | None:
    """The histogram of the judged records, or None if none could be judged."""
    judged = run.judged[run.level < INVALID]
    return charts.histogram(judged, run.cuts, t) if np.isfinite(judged).any() else None


def thresholds(run: RunData) -> dict[str, Any]:
    """Method, and a row for each cut."""
    table = run.summary.get("thresholds") or {}
    parts = {key: table.get(key) or {} for key in ("cuts", "budget", "realised")}
    rows = [
        {"level": name, **{what: parts[key].get(name) for key, what in (("cuts", "cut"), ("budget", "budget"))},
         "realised": parts["realised"].get(name)}
        for name in ("attention", "alarm")
    ]  # fmt: skip
    interval = table.get("interval")
    return {
        "method": table.get("method"),
        "fallback": table.get("fallback"),
        "reason": table.get("reason"),
        "interval": interval if isinstance(interval, list) and len(interval) == 2 else None,
        "rows": rows,
    }


def top(run: RunData) -> list[dict[str, Any]]:
    """The highest records with the z of every detector."""
    score = np.where(run.level == INVALID, np.nan, run.judged)
    rows = np.flatnonzero(np.isfinite(score))
    rows = rows[np.lexsort((run.scores["record_id"][rows], -score[rows]))][:TOP]
    cut = {d["id"]: d.get("cut") for d in run.summary.get("detectors", [])}
    weight = {d["id"]: d.get("weight") for d in run.summary.get("detectors", [])}
    hypotheses = run.summary.get("hypotheses", {})
    found = []
    for i in rows:
        cells = [_z_cell(run.scores[f"z_{d}"][i], cut.get(d), weight.get(d)) for d in run.detectors]
        found.append(
            {
                "record_id": str(run.scores["record_id"][i]),
                "source": printable(str(run.scores["source"][i])),
                "row": int(run.scores["row"][i]),
                "sensor": run.sensors[run.sensor[i]] or "–",
                "time": _moment(run.x[i]) if run.timed else "–",
                "score": float(run.scores["score"][i]),
                "persistent": float(score[i]),
                "p": float(run.scores["p_value"][i]),
                "level": LEVELS[run.level[i]],
                "reason": str(run.scores["reason"][i]),
                "agreement": float(run.scores["agreement"][i]),
                "confidence": float(run.scores["confidence"][i]),
                "hypothesis": hypotheses.get(str(run.scores["record_id"][i]))
                if LEVELS[run.level[i]] == "alarm"
                else None,
                "cells": cells,
            }
        )
    return found


def sensors(run: RunData, order: Sequence[int]) -> list[dict[str, Any]]:
    """One row per sensor, worst first."""
    told = {row["sensor_id"]: row for row in run.summary.get("sensors", [])}
    machine = _machine_of(run)
    known = np.isfinite(run.x)
    lo, hi = (float(run.x[known].min()), float(run.x[known].max())) if known.any() else (0.0, 1.0)
    across = Scale(lo, hi if hi > lo else lo + 1, 3.0, 147.0)
    up = score_scale(run.judged[run.level < INVALID], 21.0, 3.0, *run.cuts)
    rows = []
    for code in order[:TABLE]:
        mine = run.sensor == code
        level, score = run.level[mine], run.judged[mine]
        judged = score[(level < INVALID) & np.isfinite(score)]
        name = run.sensors[code]
        rows.append(
            {
                "sensor": name or "–",
                "machine": machine.get(name),
                "records": int(mine.sum()),
                **{what: int((level == i).sum()) for i, what in enumerate(LEVELS)},
                "median": float(np.median(judged)) if len(judged) else None,
                "highest": float(judged.max()) if len(judged) else None,
                "calibration": told.get(name, {}).get("calibration"),
                "alone": bool(told.get(name, {}).get("alone")),
                "course": charts.sparkline(run.x[mine], score, level, across, up),
            }
        )
    return rows


def _machine_of(run: RunData) -> dict[str, str]:
    rows = run.summary.get("sensors", [])
    return {row["sensor_id"]: row["machine_id"] for row in rows if row.get("machine_id")}


def _z_cell(z: float, cut: float | None, weight: float | None) -> dict[str, Any]:
    """Text and style class of one detector's z."""
    if not np.isfinite(z):
        return {"text": "–", "class": "none"}
    over = cut is not None and z > cut
    shade = int(np.clip(z / cut * charts.SHADES, 0, charts.SHADES - 1)) if cut is not None and cut > 0 else 0
    return {"text": f"{z:.1f}", "class": ("over" if over else f"h{shade}") + ("" if weight else " unused"), "z": z}


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts S2 before S10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _float(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _moment(x: float) -> str:
    return f"{np.datetime64(int(x), 's')}"[:16].replace("T", " ") if np.isfinite(x) else "–"
