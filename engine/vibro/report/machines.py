"""The machines of a run and why each has its level, and the transients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibro.report.data import RunData
from vibro.report.texts import Texts


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


def _float(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None
