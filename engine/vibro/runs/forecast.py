"""What a run is about to do, and about how long and how large it will be."""

from __future__ import annotations

from vibro.core.plan import Plan
from vibro.core.rows import Rows
from vibro.data import SignalBatch
from vibro.words import counted

LONG_RUN = 300.0  # seconds above which the printed plan names a shorter way


def forecast(plan: Plan, batch: SignalBatch, rows: Rows, executor: str) -> list[str]:
    """What is about to be done, and how long and how large it will be about."""
    workers = int(executor.partition("processes:")[2] or 1)
    seconds = 3.0 + seconds_of(plan, batch) / workers
    megabytes = 450 * (workers if workers == 1 else 1 + workers) + 3 * len(batch) * 4800 / 1e6
    lines = [
        f"{counted(len(batch), 'record')} of {batch.length} samples at {batch.fs:g} Hz,"
        f" {counted(len(batch.sensors), 'sensor')}, {counted(len(batch.machines), 'machine')};"
        f" fitting on {len(rows.fit)} ({rows.strategy})",
        f"ensemble {plan.name}: {counted(len(plan.detectors), 'detector')} on {counted(len(plan.views), 'view')};"
        f" about {_duration(seconds)} and {megabytes:.0f} MB",
    ]
    if seconds > LONG_RUN and plan.name != "quick":
        lines.append("the short way: --ensemble quick")
    return lines


def seconds_of(plan: Plan, batch: SignalBatch) -> float:
    """Expected seconds of a fit on one core."""
    return plan.seconds_per_thousand() * len(batch) / 1000 * batch.length * batch.channels / 8192


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
