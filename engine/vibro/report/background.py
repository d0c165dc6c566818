"""What a verdict rests on: detectors, fault injection, labels, the records read, and how the run can be repeated."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibro.io import files
from vibro.report import cells, charts
from vibro.report.data import RunData
from vibro.report.svg import Svg
from vibro.report.texts import Texts

CONFOUND = (
    "machine_from_score_auc",
    "sensor_from_score_auc",
    "source_from_score_auc",
    "level_auc",
    "level_rank_correlation",
)


def detectors(run: RunData) -> list[dict[str, Any]]:
    """One row per detector, with a bar for its weight."""
    told = run.summary.get("detectors", [])
    most = max((d.get("weight") or 0.0 for d in told), default=0.0)
    metrics = (run.summary.get("metrics") or {}).get("detectors", {})
    injected = run.summary.get("fault_injection") or {}
    useful, parts = injected.get("detectors", {}), injected.get("parts", {})
    rows = []
    for d in told:
        sensitivity = d.get("sensitivity") or {}
        seconds = [d.get("fit_seconds"), d.get("score_seconds")]
        rows.append(
            {
                "id": d["id"],
                "component": d.get("component", ""),
                "view": str(d.get("view", "")).replace("of=", ""),
                "status": d.get("status", ""),
                "reason": d.get("reason") or "",
                "weight": d.get("weight"),
                "bar": cells.meter(d.get("weight"), most),
                "cut": d.get("cut"),
                "passed": sensitivity.get("passed"),
                "margin": sensitivity.get("margin"),
                "health": d.get("health") or {},
                "loss": cells.loss_curve(d.get("loss") or []),
                "useful": useful.get(d["id"]),
                "adds": parts[d["id"]]["with"] - parts[d["id"]]["without"] if d["id"] in parts else None,
                "seconds": sum(s for s in seconds if s is not None) if any(s is not None for s in seconds) else None,
                "auc": metrics.get(d["id"], {}).get("roc_auc"),
            }
        )
    return rows


def fault_injection(run: RunData) -> dict[str, Any] | None:
    """Injected faults that raise an alarm: share by kind and severity, smallest severity by sensor and kind."""
    table = run.summary.get("fault_injection")
    if not table:
        return None
    kinds, severities = table["kinds"], table["severities"]
    every: Mapping[str, Any] = next((row for row in table["smallest"] if row["sensor_id"] is None), {})
    caught = [
        {"kind": kind, "smallest": every.get(kind), "cells": [_shaded(share) for share in table["caught"][kind]]}
        for kind in kinds
    ]
    sensors = [
        {
            "sensor": row["sensor_id"],
            "records": row["records"],
            "cells": [_shaded(_ease(row[kind], severities), row[kind]) for kind in kinds],
        }
        for row in table["smallest"]
        if row["sensor_id"] is not None
    ]
    return {"kinds": kinds, "severities": severities, "caught": caught, "sensors": sensors, "n": table["records"]}


def _ease(smallest: float | None, severities: Sequence[float]) -> float:
    """1 where the smallest of all severities raises an alarm, 0 where none does."""
    return 0.0 if smallest is None else 1.0 - severities.index(smallest) / len(severities)


def _shaded(share: float, value: float | None = None) -> dict[str, Any]:
    """A table cell, darker for a larger share."""
    return {"value": value, "share": share, "class": f"h{min(cells.SHADES - 1, int(share * cells.SHADES))}"}


def alike(run: RunData, t: Texts) -> Svg | None:
    """The matrix of rank correlations, or None with less than two detectors."""
    fusion = run.summary.get("fusion") or {}
    rows = fusion.get("correlation") or []
    names = list(fusion.get("weights") or run.detectors)
    values = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
    if values.ndim != 2 or values.shape != (len(names), len(names)) or len(names) < 2:
        return None
    return charts.matrix(names, values, t)


def metrics(run: RunData, t: Texts) -> dict[str, Any] | None:
    """Metrics against the labels, None without labels."""
    table = run.summary.get("metrics")
    if not table:
        return None
    fused = table.get("fused") or {}
    rows = [(t["fused"], "fused", fused.get("roc_auc"), fused.get("average_precision"))]
    lasting = table.get("persistent") or {}
    if (run.summary.get("persistence") or {}).get("on"):
        rows.append(("persistent_score", "fused", lasting.get("roc_auc"), lasting.get("average_precision")))
    for group, entries in (("detectors", table.get("detectors")), ("baselines", table.get("baselines"))):
        listed = [(name, *_pair(value)) for name, value in (entries or {}).items()]
        listed.sort(key=lambda row: -(row[1] if row[1] is not None else -1.0))
        rows += [(name, group, auc, ap) for name, auc, ap in listed]
    names = ("roc_auc", "average_precision", "precision_at_k", "recall_at_budget")
    alarms = table.get("alarms") or {}
    parts = ("train", "test") if alarms.get("train") else ("all",)
    interval = fused.get("interval") or {}
    return {
        "labels": table.get("labels") or {},
        "prior": table.get("prior"),
        "figures": [{"name": n, "value": fused.get(n), "interval": interval.get(n)} for n in names],
        "raised": [{"part": part, **alarms[part]} for part in parts if alarms.get(part)],
        "below": [name for name, group, auc, _ in rows if group != "baselines" and auc is not None and auc < 0.5],
        "dots": charts.dots(rows, table.get("prior"), t),
        "per_class": [
            {
                "name": name,
                "n": c.get("n"),
                "roc_auc": c.get("roc_auc"),
                "recall_at_budget": c.get("recall_at_budget"),
                "recall": c.get("recall"),
            }
            for name, c in (table.get("per_class") or {}).items()
        ],
        "confound": [(name, v) for name in CONFOUND if (v := (table.get("confound") or {}).get(name)) is not None],
        "warnings": table.get("warnings") or [],
    }


def data(run: RunData) -> dict[str, Any]:
    """Counts of the records read, and the findings about them."""
    codes = sorted(run.codes.items())
    records = run.summary.get("records") or {}
    return {
        "records": {key: f"{int(records.get(key) or 0):,}" for key in ("read", "accepted", "quarantined")},
        "by_file": records.get("by_file") or [],
        "codes": [{"code": c, "reason": r, "disposition": d, "n": n} for (c, r, d), n in codes],
        "findings": run.findings,
        "total": sum(run.codes.values()),
    }


def how(run: RunData) -> dict[str, Any]:
    """What is needed to repeat the run: facts by the key of their text, and the decisions on cuts."""
    m, summary = run.manifest, run.summary
    machine, resources = m.get("machine") or {}, summary.get("resources") or {}
    memory = resources.get("max_rss_mb")
    computer = [machine.get("cpu"), f"{machine.get('cores')} × CPU", machine.get("gpu"), machine.get("system")]
    facts = {
        "command": shlex.join(map(str, m.get("command", []))),
        "seed": m.get("seed"),
        "device": m.get("device"),
        "started": m.get("started"),
        "finished": m.get("finished"),
        "computer": ", ".join(filter(None, computer)) if machine else None,
        "versions": _listed({"vibro": m.get("vibro"), **m.get("libraries", {})}),
        "fingerprint": m.get("fingerprint"),
        "rows": _listed(m.get("rows") or {}),
        "timings": _listed({k: f"{v:.3g}" for k, v in (summary.get("timings") or {}).items() if v is not None}),
        "memory": files.human_bytes(memory * 2**20) if memory else None,
    }
    decisions = []
    for entry in m.get("decisions", []):
        budget, cuts = entry.get("budget"), entry.get("cuts") or {}
        decisions.append(
            {
                "time": entry.get("time"),
                "method": entry.get("method"),
                "budget": budget.get("alarm") if isinstance(budget, Mapping) else budget,
                "attention": cuts.get("attention"),
                "alarm": cuts.get("alarm"),
            }
        )
    shown = [(name, value) for name, value in facts.items() if value not in (None, "")]
    return {"facts": shown, "decisions": decisions, "fusion": summary.get("fusion") or {}}


def _listed(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in table.items() if value is not None)


def _pair(value: Any) -> tuple[float | None, float | None]:
    if isinstance(value, Mapping):
        return value.get("roc_auc"), value.get("average_precision")
    return value, None
