"""What each section of the report shows, made from the files of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibro.report import background, cases, cells, charts, messages, sensor_map, trends
from vibro.report.attribution import AttributionMaps
from vibro.report.axes import time_label
from vibro.report.data import RunData, Signals
from vibro.report.explain_page import script_words
from vibro.report.machines import machines, transients
from vibro.report.packing import data_block
from vibro.report.rows import TABLE, sensors, top, worst_first
from vibro.report.sensor_map import natural
from vibro.report.svg import Svg
from vibro.report.texts import Texts, texts
from vibro.scoring.verdict import INVALID, LEVELS

PANELS = 8  # trends that are shown before one asks for more
WORST = 5  # machines named in the verdict


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
        "bar": cells.bar,
        "overlapping": trends.overlapping(run),
        "filters": filters(run),
        "block": data_block(for_script(run, drawn, found, t)),
        "head": head(run, t),
        "levels": levels(run),
        "say": say(run, t),
        "summary": run.summary,
        "machines": machines(run, t),
        "transients": transients(run),
        "when": sensor_map.when(run, order, t),
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
        "mapped": sensor_map.ROWS,
        "charted": trends.DRAWN,
        "run_sensors": len(run.sensors),
    }


def filters(run: RunData) -> dict[str, Any]:
    """What the page can be narrowed to: machines, where there are several."""
    names = sorted({row["machine_id"] for row in run.machines if row.get("machine_id")}, key=natural)
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
        facts.append(f"{time_label(np.nanmin(run.x))} – {time_label(np.nanmax(run.x))} UTC")
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
