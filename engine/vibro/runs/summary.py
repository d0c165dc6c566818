"""``summary.json``: what came out of a run, in numbers; ``docs/run-directory.md`` names the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vibro.api import settings_of
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.data import SignalBatch
from vibro.runs import counts, members, voice
from vibro.runs.lacking import companions, lacking, other_sensors, undecided
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import LEVELS, ScoreMatrix, Verdict

SCHEMA = 1
CASES = 50  # named in the summary and shown on the page; cases.csv has all


def decided(
    batch: SignalBatch,
    verdict: Verdict,
    cuts: Cuts,
    machines: Sequence[Mapping[str, Any]],
    cases: Sequence[Mapping[str, Any]],
    details: Mapping[str, Any],
    *,
    method: str,
    budgets: Mapping[str, float],
    baselines: Mapping[str, str],
    injected: Mapping[str, Any] | None,
    hypotheses: Mapping[str, Any],
    advice: Sequence[str] = (),
) -> dict[str, Any]:
    """The parts of a summary that follow from its cuts: levels, thresholds, cases, fault injection, highest records.

    ``machines``, ``cases``: rows of ``machines.csv`` and ``cases.csv``; ``details``: what the thresholder told
    of its alarm cut; ``baselines``: what each sensor is compared with; ``advice``: sentences on what injected faults
    showed. ``thresholds.warnings`` are the sentences that a change of the cuts changes. No share of
    alarms is promised, only counted.
    """
    by_sensor = counts.sensors(batch, verdict, cuts, baselines)
    thresholds: dict[str, Any] = {
        "fallback": None,
        "interval": None,
        "reason": None,
        **details,
        "method": method,
        "budget": dict(budgets),
        "cuts": cuts.named,
        "realised": counts.realised(verdict, cuts),
    }
    said = voice.sentences(batch, verdict, cuts, machines, by_sensor, thresholds)
    return {
        "sensors": by_sensor,
        "levels": counts.levels(verdict),
        "machines": {name: sum(row["level"] == name for row in machines) for name in LEVELS},
        "thresholds": {**thresholds, "warnings": [*said, *advice]},
        "cases": {"count": len(cases), "first": [dict(case) for case in cases[:CASES]]},
        "transients": counts.transients(verdict),
        "fault_injection": injected,
        "hypotheses": dict(hypotheses),
        "top": counts.top(batch, verdict, hypotheses),
    }


def build(
    *,
    batch: SignalBatch,
    records: Mapping[str, Any],
    signal: Mapping[str, Any],
    fitted: FittedEnsemble,
    report: FitReport,
    matrix: ScoreMatrix,
    verdict: Verdict,
    machines: Sequence[Mapping[str, Any]],
    cases: Sequence[Mapping[str, Any]],
    advice: Sequence[str],
    metrics: Mapping[str, Any] | None,
    warnings: Sequence[str],
    fit_spans: Mapping[str, Any],
    machines_known: Mapping[str, Mapping[str, Any]],
    hypotheses: Mapping[str, Any],
    timings: Mapping[str, float],
    resources: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole summary of a run or of ``vibro score``."""
    entry = fitted.plan.ensemble
    combined = members.fusion(fitted, report, verdict)
    found = decided(
        batch,
        verdict,
        fitted.cuts,
        machines,
        cases,
        report.cut_details,
        method=entry.thresholder["use"],
        budgets=settings_of(entry.budgets),
        baselines=members.baselines_of(fitted),
        injected=members.fault_injection(
            report.trial, fitted.cuts, fitted.detectors, fitted.schema["sensors"], entry.fuser
        ),
        hypotheses=hypotheses,
        advice=advice,
    )
    said = [*warnings, *combined["warnings"], *found["thresholds"]["warnings"]]
    known = set(fitted.schema["covariate_names"])
    if not known and any("conditioned" in str(d.view) for d in fitted.plan.detectors):
        said.append("no covariates were given: conditioned views equal the views they condition")
    said += lacking(fitted, batch)[1]
    said += companions(fitted, report, matrix, verdict, batch)
    said += [*other_sensors(fitted, matrix, verdict, batch), *undecided(fitted, verdict, batch)]
    return {
        "schema": SCHEMA,
        "status": "complete",
        "ensemble": fitted.plan.name,
        "records": dict(records),
        **found,
        "signal": dict(signal),
        "machines_known": dict(machines_known),
        "detectors": members.detectors(fitted, report),
        "fusion": combined,
        "persistence": members.persistence(fitted),
        "fit_spans": dict(fit_spans),
        "timings": dict(timings),
        "resources": dict(resources),
        "metrics": metrics,
        "warnings": said,
        "failures": members.failures(fitted, report),
    }
