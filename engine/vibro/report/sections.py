"""What each section of the report shows, made from the files of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report import background, cases, charts, messages, trends
from vibro.report.attribution import AttributionMaps
from vibro.report.charts import ALARM, ATTENTION, INVALID
from vibro.report.data import LEVELS, RunData, Signals
from vibro.report.explain_page import script_words
from vibro.report.packing import data_block
from vibro.report.scale import Scale, score_scale
from vibro.report.svg import Svg
from vibro.report.texts import Texts, texts
from vibro.scoring.regression import sensor_rows
from vibro.store.tables import printable

TOP = 20  # records with the highest scores
PANELS = 8  # trends that are shown before one asks for more
ROWS = 40  # sensors in the heat map
TABLE = 200  # rows of a table
GAPS = 0.5  # share of empty stretches from which on the map leaves gaps out
WORST = 5  # machines named in the verdict
_BINS = 72


def sections(
    run: RunData, lang: str, signals: Signals | None = None, maps: AttributionMaps | None = None
) -> dict[str, Any]:
    """All values of the template."""
    t = texts(lang)
    order = worst_first(run)
    found, notes = cases.cards(run, t, lang, signals, maps)
    drawn = trends.trends(run, order)
    said = messages.remarks(run.summary.get("warnings") or [], lang)
    return {
        "cases": found,
        "cases_count": (run.summary.get("cases") or {}).get("count", 0),
        "cases_notes": notes,
        "cases_open": cases.OPEN,
        "cases_listed": cases.LISTED,
        "todo": [remark for remark in said if remark.group == messages.DO],
        "remarks": [(group, [r for r in said if r.group == group]) for group in (messages.TRUST, messages.KNOW)],
        "remarks_count": sum(remark.group != messages.DO for remark in said),
        "trends": [{key: trend[key] for key in ("code", "name", "machine", "level")} for trend in drawn],
        "drawn": {trend["code"] for trend in drawn},
        "covariates": list(dict.fromkeys(one["name"] for trend in drawn for one in trend["covariates"])),
        "rank": {"alarm": 2, "attention": 1},
        "bar": charts.bar,
        "overlapping": trends.overlapping(run),
        "filters": filters(run),
        "block": data_block(for_script(run, drawn, found, t)),
        "head": head(run, t),
        "levels": levels(run),
        "say": say(run, t),
        "summary": run.summary,
        "machines": machines(run, t),
        "transients": transients(run),
        "when": when(run, order, t),
        "timed": run.timed,
        "panels": PANELS,
        "sensors_left": max(0, len(run.sensors) - TABLE),
        "histogram": distribution(run, t),
        "thresholds": thresholds(run),
        "top": top(run),
        "sensors": sensors(run, order),
        "detectors": background.detectors(run),
        "fault_injection": background.fault_injection(run),
        "alike": background.alike(run, t),
        "metrics": background.metrics(run, t),
        "data": background.data(run),
        "how": background.how(run),
        "table": TABLE,
        "mapped": ROWS,
        "charted": trends.DRAWN,
        "run_sensors": len(run.sensors),
    }


def filters(run: RunData) -> dict[str, Any]:
    """What the page can be narrowed to: machines, where there are several."""
    names = sorted({row["machine_id"] for row in run.machines if row.get("machine_id")}, key=_natural)
    return {"machines": names if len(names) > 1 else []}


def for_script(
    run: RunData, drawn: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], t: Texts
) -> dict[str, Any]:
    """What the scripts of the page draw."""
    attention, alarm = run.cuts
    signal = run.summary.get("signal") or {}
    unit = signal.get("unit") or "unknown"
    return {
        "timed": run.timed,
        "unit": t["unit_unknown"] if unit == "unknown" else unit,
        "cuts": {"attention": attention, "alarm": alarm},
        "mains": signal.get("mains_hz") or None,
        "trends": drawn,
        "cases": [
            {key: card[key] for key in ("case", "machine", "code", "x", "span", "charts", "lines", "marks")}
            for card in found
        ],
        "words": script_words(t),
    }


def worst_first(run: RunData) -> list[int]:
    """Sensor codes, those with the most alarms, then attention, then the highest score first."""
    judged, of = run.judged, sensor_rows(run.sensor)

    def key(code: int) -> tuple[float, ...]:
        mine = of[code]
        level, score = run.level[mine], judged[mine[run.level[mine] != INVALID]]
        highest = float(np.nanmax(score)) if np.isfinite(score).any() else -np.inf
        return (-int((level == ALARM).sum()), -int((level == ATTENTION).sum()), -highest)

    return sorted(range(len(run.sensors)), key=key)


def head(run: RunData, t: Texts) -> list[str]:
    """The facts under the title."""
    summary, signal = run.summary, run.summary.get("signal", {})
    facts = [f"{t['ensemble']} {summary.get('ensemble', '')}", _counted(len(run), t["records"])]
    facts.append(_counted(len(run.sensors), t["sensors"]))
    if run.machines:
        facts.append(_counted(len(run.machines), t["machines"]))
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


def _counted(n: int, what: str) -> str:
    """``3 sensors``, ``1 sensor``."""
    return f"{n:,} {what.removesuffix('s') if n == 1 else what}"


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
    if found and len(run.machines) > 1:
        alarms = sum(row["level"] == "alarm" for row in found)
        lines.append(t["say_machines"].format(n=len(run.machines), alarm=alarms, attention=len(found) - alarms))
    for row in found[:WORST]:
        key = "say_machine_since" if row["since"] else "say_machine"
        lines.append(
            t[key].format(machine=row["machine_id"], level=t[row["level"]], since=row["since"], why=row["why"])
        )
    if len(found) > WORST:
        lines.append(t["and_more"].format(n=len(found) - WORST))
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
            "growth": rise if (rise := _float(row.get("growth_per_day"))) is not None and rise > 0 else None,
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
    if reason == "sustained" and row["sensors_total"] == "1":
        reason = "kept_up" if row["level"] == "alarm" else "above_attention"
    elif reason == "sustained" and row["sensors_alarm"] in ("", "0"):
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
    edges = _stretches(distinct)
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
    return charts.heat_map(names, worst, level, edges, shades(run), run.timed, t, codes=shown)


def _stretches(distinct: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of the map's columns: of equal length, or of equally many places where most of the equal ones would be empty."""
    bins = min(_BINS, len(distinct))
    edges = np.linspace(distinct[0], distinct[-1], bins + 1)
    if (np.histogram(distinct, edges)[0] == 0).mean() > GAPS:
        edges = distinct[np.linspace(0, len(distinct) - 1, bins + 1).round().astype(int)]
    return np.append(edges[:-1], edges[-1] + max(1e-6, abs(edges[-1]) * 1e-12))


def shades(run: RunData) -> NDArray[np.float64]:
    """Five equal steps from the median score to the attention cut, or to the highest score without a cut."""
    judged = run.judged[(run.level < INVALID) & np.isfinite(run.judged)]
    if not len(judged):
        return np.zeros(5)
    middle, end = float(np.median(judged)), run.cuts[0]
    return np.linspace(middle, max(middle, end if end is not None else float(judged.max())), 6)[:-1]


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
                "time": _moment(run.x[i]) if run.timed else "–",
                "score": float(run.scores["score"][i]),
                "persistent": float(score[i]),
                "p": float(run.scores["p_value"][i]),
                "level": LEVELS[run.level[i]],
                "reason": str(run.scores["reason"][i]),
                "agreement": float(run.scores["agreement"][i]),
                "confidence": float(run.scores["confidence"][i]),
                "over": sum(z[d] > cut[d] for d in judged),
                "judged": len(judged),
                "strip": charts.strip([(d, z[d], cut.get(d), bool(weight.get(d))) for d in run.detectors]),
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
                "course": charts.sparkline(run.x[mine], score, level, across, up),
            }
        )
    return rows


def _machine_of(run: RunData) -> dict[str, str]:
    rows = run.summary.get("sensors", [])
    return {row["sensor_id"]: row["machine_id"] for row in rows if row.get("machine_id")}


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
