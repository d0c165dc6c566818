"""Sentences that keep the parts of a verdict from contradicting each other: records, detectors, machines, cuts, budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibro.data import SignalBatch
from vibro.io import files
from vibro.scoring.machines import ISOLATED, SINGLE_SENSOR, K, N
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, LEVELS, REASONS, Verdict
from vibro.words import counted

NAMELESS = "(no name)"
NAMED = 3  # names in a sentence; the others are counted
MINORITY = 0.5  # agreement below which a verdict stands against most of the detectors
AFTER_ALL = np.datetime64(np.iinfo(np.int64).max, "ns")
OFF = 2.0  # a share is told where it is off its budget by more than this factor
BY_CHANCE = 2.0  # and by more than this many standard deviations of a count


def sentences(
    batch: SignalBatch,
    verdict: Verdict,
    cuts: Cuts,
    machines: Sequence[Mapping[str, Any]],
    sensors: Sequence[Mapping[str, Any]],
    thresholds: Mapping[str, Any],
) -> list[str]:
    """All that must be said beside the numbers; ``machines``, ``sensors``, ``thresholds`` as a run tells them."""
    return [
        *quiet_machines(machines),
        *alone(sensors),
        *passing(verdict, cuts),
        *persisting(verdict, cuts),
        *minority(verdict, cuts),
        *unseen(batch, verdict, cuts),
        *off_budget(batch, verdict, cuts, machines, thresholds),
    ]


def names(found: Sequence[str]) -> str:
    """``A, B, C and 27 more``; what has no name is said to have none."""
    shown = ", ".join(name or NAMELESS for name in found[:NAMED])
    return shown if len(found) <= NAMED else f"{shown} and {len(found) - NAMED} more"


def percent(share: float) -> str:
    """``4.6 %``."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def quiet_machines(machines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why machines are in attention although records of theirs are in alarm."""
    said = []
    isolated = [row for row in machines if row["reason"] == ISOLATED]
    for timed, rule in (
        (True, f"{K} of {N} consecutive instants"),
        (False, "one in five records of a sensor, as no times are given"),
    ):
        held = [row for row in isolated if np.isnat(row["since"]) != timed]
        n = sum(row["records_alarm"] for row in held)
        if n:
            who = counted(n, "record raises an alarm", "records raise alarms")
            said.append(f"{who} too seldom for an alarm of the machine ({rule}): attention of {_machines(held)}")
    held = [row for row in machines if row["reason"] == SINGLE_SENSOR]
    n = sum(row["sensors_alarm"] for row in held)
    if n:
        said.append(
            f"{counted(n, 'sensor keeps', 'sensors keep')} up an alarm without a second one at the same instants that"
            f" would make it an alarm of the machine: attention of {_machines(held)}"
        )
    return said


def _machines(rows: Sequence[Mapping[str, Any]]) -> str:
    return machines_named([str(row["machine_id"]) for row in rows])


def machines_named(listed: Sequence[str]) -> str:
    """``machine U1``, ``4 machines (U1, U2, U3 and 1 more)``."""
    return f"machine {names(listed)}" if len(listed) == 1 else f"{len(listed)} machines ({names(listed)})"


def alone(sensors: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sensors of ``counts.sensors`` that deviate alone."""
    lone = [row for row in sensors if row["alone"]]
    if not lone:
        return []
    if len(lone) == 1:
        who = f"sensor {names([lone[0]['sensor_id']])} of machine {names([lone[0]['machine_id']])} deviates alone"
    else:
        listed = [f"{names([row['sensor_id']])} of {names([row['machine_id']])}" for row in lone]
        who = f"{len(lone)} sensors deviate alone on their machines ({names(listed)})"
    return [f"{who}: look at the sensor and its mounting first"]


def passing(verdict: Verdict, cuts: Cuts) -> list[str]:
    """Transients, those that are not over yet, and records that the user said are benign."""
    said, found = [], verdict.transients
    if found.events:
        times: dict[str, list[str]] = {}
        for event in found.events:
            times.setdefault(event.machine, []).append(files.iso_time(event.time))
        when = "; ".join(f"{names([machine])} {names(mine)}" for machine, mine in times.items())
        records = sum(int((verdict.persistent[event.rows] > cuts.alarm).sum()) for event in found.events)
        said.append(
            f"{counted(len(found.events), 'transient')} (at once on most sensors of a machine, impulsive, gone at the next"
            f" instant): {when}; {counted(records, 'record')} of theirs above the alarm cut"
            f" {'counts' if records == 1 else 'count'} as attention, not as alarm"
        )
    for event in found.pending:
        who = counted(event.sensors, "sensor stands", "sensors stand")
        said.append(
            f"machine {names([event.machine])} at {files.iso_time(event.time)}, its newest instant: {who} out at once and"
            " impulsively, as in a transient; only a later instant can show it, until then the level stands"
        )
    if benign := int((verdict.reason == REASONS.index("benign")).sum()):
        count, they = ("counts", "it was") if benign == 1 else ("count", "they were")
        lie = "lies" if benign == 1 else "lie"
        said.append(
            f"{counted(benign, 'record')} over a cut {count} as normal: {they} labelled normal or benign, or {lie} as near"
            " to a benign one as normal records to each other"
        )
    return said


def persisting(verdict: Verdict, cuts: Cuts) -> list[str]:
    """Records whose level would be another without their neighbours in time."""
    known = np.isfinite(verdict.score) & (verdict.level <= ALARM)
    changed = known & (verdict.persistent != verdict.score)
    if not changed.any():
        return []
    held = int((changed & (verdict.score > cuts.alarm) & (verdict.persistent <= cuts.alarm)).sum())
    raised = int((changed & (verdict.score <= cuts.alarm) & (verdict.persistent > cuts.alarm)).sum())
    return [
        "high scores adjoined in time far more often than by chance when the model was fitted, so levels follow the score"
        f" with its neighbours (column persistent_score): {counted(held, 'record')} over the alarm cut by score alone"
        f" {'is' if held == 1 else 'are'} below it, {counted(raised, 'record')} below it {'is' if raised == 1 else 'are'} over"
    ]


def minority(verdict: Verdict, cuts: Cuts) -> list[str]:
    """Verdicts against the greater part of the detectors' own cuts."""
    against = np.isfinite(verdict.agreement) & (verdict.agreement < MINORITY)
    alarm = verdict.level == ALARM
    said = []
    n = int((against & alarm).sum())
    if n:
        said.append(
            f"{n} of {counted(int(alarm.sum()), 'alarm')} {'rests' if n == 1 else 'rest'} on few detectors: most of the"
            " weight stays below its own cuts (column agreement)"
        )
    n = int((against & (verdict.level < ALARM) & (verdict.persistent <= cuts.alarm)).sum())
    if n:
        said.append(
            f"{counted(n, 'record is', 'records are')} no alarm though over the own cuts of most detectors: each of"
            " them is over by little, and the fused score stays below its cut (column agreement)"
        )
    return said


def unseen(batch: SignalBatch, verdict: Verdict, cuts: Cuts) -> list[str]:
    """Records over the alarm cut whose operating state the model has not seen."""
    over = verdict.unseen & (verdict.persistent > cuts.alarm) & (verdict.level != INVALID)
    suppressed = int((verdict.reason == REASONS.index("unseen_state")).sum())
    alarms = int((over & (verdict.level == ALARM)).sum())
    of = f" ({', '.join(batch.covariate_names)})" if batch.covariate_names else ""
    state = f"operating state{of} lies beyond those that the model was fitted on"
    said = []
    if suppressed:
        count, their = ("counts", "its") if suppressed == 1 else ("count", "their")
        said.append(
            f"{counted(suppressed, 'record')} over the alarm cut {count} as attention: {their} {state},"
            " where it does not know what is normal"
        )
    if alarms:
        who, their = counted(alarms, "record raises", "records raise"), "its" if alarms == 1 else "their"
        said.append(f"{who} an alarm although {their} {state}: look at that state first")
    return said


def off_budget(
    batch: SignalBatch,
    verdict: Verdict,
    cuts: Cuts,
    machines: Sequence[Mapping[str, Any]],
    thresholds: Mapping[str, Any],
) -> list[str]:
    """A cut that was found by a fallback, and shares of records above the cuts that are far from their budgets.

    Where those that are too many nearly all follow the beginning of a machine's alarm, the cut keeps its budget and says so.
    """
    said = []
    if thresholds["fallback"]:
        said.append(f"the alarm cut by {thresholds['method']}: {thresholds['fallback']}")
    judged = verdict.level <= ALARM
    raised = {str(row["machine_id"]): row["since"] for row in machines if row["level"] == LEVELS[ALARM]}
    since = np.array([raised.get(name, AFTER_ALL) for name in batch.machines], "datetime64[ns]")[batch.machine]
    calm = judged & (batch.time < since)  # False for records of machines in alarm without times
    for name, level, cut in (("attention", ATTENTION, cuts.attention), ("alarm", ALARM, cuts.alarm)):
        share, budget = thresholds["realised"][name], thresholds["budget"][name]
        if share is None:
            continue
        excess, chance = share - budget, BY_CHANCE * float(np.sqrt(budget * (1 - budget) / max(judged.sum(), 1)))
        if (share > OFF * budget or share < budget / OFF) and abs(excess) > chance:
            if excess < 0:
                what = "the cut is cautious"
            elif raised and calm.any() and (verdict.persistent[calm] > cut).mean() <= OFF * budget:
                what = f"nearly all of them since the alarm of {machines_named(list(raised))} began"
            else:
                what = "faults, or the data differ from those of the fit"
            held = int((judged & (verdict.persistent > cut) & (verdict.level < level)).sum())
            of_them = f" ({held} of them are held back, see their reason)" if held else ""
            said.append(
                f"{percent(share)} of the records lie above the {name} cut{of_them}, for a budget of {percent(budget)}: {what}"
            )
    return said
