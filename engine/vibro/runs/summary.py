"""``summary.json``: what came out of a run, in numbers; ``docs/run-directory.md`` names the keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import settings_of
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.worker import DetectorResult
from vibro.data import SignalBatch
from vibro.injection.disturbed import KINDS as TAUGHT
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.trial import PER_SENSOR, Trial, judge
from vibro.runs import voice
from vibro.scoring.machines import lone_sensors
from vibro.scoring.regression import sensor_rows
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, LEVELS, REASONS, ScoreMatrix, Verdict

SCHEMA = 1
TOP = 10
CASES = 50  # named in the summary and shown on the page; cases.csv has all
LEAST_PART = 0.001  # of the injected faults: what a detector must add to what the others catch
ALIKE = 0.95  # rank correlation above which two detectors count as one


def levels(verdict: Verdict) -> dict[str, int]:
    """Records a level."""
    return {name: int((verdict.level == code).sum()) for code, name in enumerate(LEVELS)}


def sensors(batch: SignalBatch, verdict: Verdict, cuts: Cuts, baselines: Mapping[str, str]) -> list[dict[str, Any]]:
    """Counts a sensor; ``baselines`` tells what each is compared with, ``alone`` which deviate by themselves."""
    rows, alone = [], {sensor for _, sensor in lone_sensors(batch, verdict, cuts)}
    for code, rows_of in enumerate(sensor_rows(batch.sensor)):
        if not len(rows_of):
            continue
        mine = verdict.level[rows_of]
        name = batch.sensors[code]
        rows.append(
            {
                "sensor_id": name,
                "machine_id": batch.machines[batch.machine[rows_of[0]]],
                "records": len(mine),
                "invalid": int((mine == INVALID).sum()),
                "attention": int((mine == ATTENTION).sum()),
                "alarm": int((mine == ALARM).sum()),
                "calibration": baselines.get(name, "pooled"),
                "alone": name in alone,
            }
        )
    return rows


def top(batch: SignalBatch, verdict: Verdict, hypotheses: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ten highest records that are not invalid; alarms with the first of their hypotheses, None without any."""
    score = np.where(verdict.level == INVALID, -np.inf, np.nan_to_num(verdict.persistent, nan=-np.inf))
    order = np.lexsort((batch.ids, -score))[:TOP]
    return [
        {
            "record_id": str(batch.ids[i]),
            "source": batch.sources[batch.source[i]],
            "row": int(batch.row[i]),
            "sensor_id": batch.sensors[batch.sensor[i]],
            "data_time": batch.time[i],
            "score": float(verdict.score[i]),
            "persistent_score": float(verdict.persistent[i]),
            "level": LEVELS[verdict.level[i]],
            "reason": REASONS[verdict.reason[i]],
            "hypothesis": hypotheses.get(str(batch.ids[i])) if verdict.level[i] == ALARM else None,
        }
        for i in order
        if np.isfinite(score[i])
    ]


def detectors(fitted: FittedEnsemble, report: FitReport) -> list[dict[str, Any]]:
    """One row a planned detector, those that failed or were excluded with their reason."""
    plan = fitted.plan
    result = {r.id: r for r in report.results}
    weight = dict(zip(fitted.detectors, fitted.weights, strict=True))
    cut = dict(zip(fitted.detectors, fitted.cuts.own, strict=True))
    rows = []
    for d in plan.detectors:
        r = result.get(d.id, DetectorResult(d.id, "absent"))
        sensitivity = report.sensitivity.get(d.id)
        rows.append(
            {
                "id": d.id,
                "component": d.cls.name,
                "plugin": d.plugin,
                "version": d.version,
                "view": str(d.view),
                "params": settings_of(d.params),
                "status": r.status,
                "reason": r.reason,
                "health": dict(r.health),
                "loss": list(r.loss),
                "sensitivity": asdict(sensitivity) if sensitivity else None,
                "weight": weight.get(d.id, 0.0),
                "cut": cut.get(d.id),
                "fit_seconds": r.fit_seconds,
                "score_seconds": r.score_seconds,
            }
        )
    for ident, reason in plan.absent:
        rows.append(
            {"id": ident, "status": "absent", "reason": reason, "weight": 0.0, "health": {}, "sensitivity": None}
        )
    return rows


def transients(verdict: Verdict) -> list[dict[str, Any]]:
    """One row an event, in order of machine and time."""
    return [
        {"machine_id": e.machine, "time": e.time, "sensors": e.sensors, "records": len(e.rows)}
        for e in verdict.transients.events
    ]


def fusion(fitted: FittedEnsemble, report: FitReport, verdict: Verdict) -> dict[str, Any]:
    """How the columns became one score, how alike they are, and what the fuser noticed."""
    plan, z = fitted.plan, fitted.reference["z"]
    correlation = rank_correlation(z)
    warnings = list(report.notes)
    for i, a in enumerate(fitted.detectors):
        for j in range(i):
            if correlation[i, j] > ALIKE:
                warnings.append(
                    f"{fitted.detectors[j]} and {a} rank the records alike (correlation {correlation[i, j]:.2f})"
                )
    baselines, groups = fitted.calibration.baselines().tolist(), fitted.schema.get("groups", {})
    return {
        "fuser": plan.ensemble.fuser["use"],
        "calibration": {
            "method": fitted.calibration.method,
            "linear": fitted.calibration.linear,
            "groups": {name: baselines.count(name) for name in ("own", "pooled", *(["group"] if groups else []))},
            **({"alike": {name: len(members) for name, members in groups.items()}} if groups else {}),
        },
        "weights": {i: float(w) for i, w in zip(fitted.detectors, fitted.weights, strict=True)},
        "n_used": int((fitted.weights > 0).sum()),
        "n_planned": len(plan.detectors) + len(plan.absent),
        "weight_used": float(np.mean(verdict.used)) if len(verdict.used) else None,
        "quorum": plan.ensemble.quorum,
        "correlation": correlation,
        "warnings": warnings,
    }


def persistence(fitted: FittedEnsemble) -> dict[str, Any]:
    """Whether levels follow ``persistent_score``, and what decided it at the fit; None where no record has a neighbour."""
    arrays = fitted.persistence.arrays
    numbers = {name: float(arrays[key]) for name, key in (("times_chance", "ratio"), ("deviations", "sure"))}
    return {"on": fitted.persistence.on} | {k: v if np.isfinite(v) else None for k, v in numbers.items()}


def lacking(fitted: FittedEnsemble, batch: SignalBatch) -> tuple[NDArray[np.bool_], list[str]]:
    """(n,) records that lack covariates which the model knows, and a sentence on how they are judged."""
    coded = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
    rows = fitted.lack_covariates(coded)
    if not rows.any() or fitted.without_covariates is None:
        return rows, []
    columns = fitted.without_covariates.arrays["columns"]
    missing = np.isnan(coded.covariates[:, columns]).any(axis=0)
    names = np.array(fitted.schema["covariate_names"])[columns][missing].tolist()
    return rows, [
        f"{int(rows.sum())} of {len(batch)} records lack {' or '.join(names)}, which the model was fitted with:"
        " they are judged by its calibration without covariates"
    ]


def companions(fitted: FittedEnsemble, report: FitReport, matrix: ScoreMatrix, batch: SignalBatch) -> list[str]:
    """Sentences on detectors that judge records by their companions: why they are off, or how many records have none."""
    off: dict[str, list[str]] = {}
    for r in report.results:
        if r.status == "excluded" and fitted.plan.needs_companions(r.id):
            off.setdefault(r.reason, []).append(r.id)
    said = [f"{' and '.join(ids)} off: {reason}" for reason, ids in off.items()]
    on = [j for j, ident in enumerate(matrix.detectors) if fitted.plan.needs_companions(ident)]
    if not on:
        return said
    alone = np.isnan(matrix.z[:, on]).all(axis=1) & batch.valid
    judged = fitted.reference["sensor"][np.isfinite(fitted.reference["z"][:, on]).any(axis=1)]
    grouped = np.isin(batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"]).sensor, judged)
    reasons = {
        "lack companions, the other sensors of their machine at their instant": alone & grouped,
        "are of sensors that had too few instants in common with others at the fit": alone & ~grouped,
    }
    ids = " and ".join(matrix.detectors[j] for j in on)
    for reason, rows in reasons.items():
        if rows.any():
            said.append(
                f"{int(rows.sum())} of {len(batch)} records {reason}: {ids} give them no score, the other detectors judge them"
            )
    return said


def baselines_of(fitted: FittedEnsemble) -> dict[str, str]:
    """What each of the model's sensors is compared with, as ``Calibration.baselines`` names it."""
    return dict(zip(fitted.schema["sensors"], fitted.calibration.baselines().tolist(), strict=False))


def failures(fitted: FittedEnsemble, report: FitReport) -> list[dict[str, Any]]:
    """Detectors that failed, with plugin, version, phase and reason."""
    plan = {d.id: d for d in fitted.plan.detectors}
    rows = [
        {
            "detector": r.id,
            "plugin": plan[r.id].plugin,
            "version": plan[r.id].version,
            "phase": r.phase,
            "error": r.error,
            "message": r.reason,
            "seconds": r.fit_seconds,
        }
        for r in report.results
        if r.status == "failed"
    ]
    rows += [
        {"detector": i, "plugin": "", "version": "", "phase": "load", "error": "absent", "message": why, "seconds": 0.0}
        for i, why in fitted.plan.absent
    ]
    return rows


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
    by_sensor = sensors(batch, verdict, cuts, baselines)
    thresholds: dict[str, Any] = {
        "fallback": None,
        "interval": None,
        "reason": None,
        **details,
        "method": method,
        "budget": dict(budgets),
        "cuts": cuts.named,
        "realised": realised(verdict, cuts),
    }
    said = voice.sentences(batch, verdict, cuts, machines, by_sensor, thresholds)
    return {
        "sensors": by_sensor,
        "levels": levels(verdict),
        "machines": {name: sum(row["level"] == name for row in machines) for name in LEVELS},
        "thresholds": {**thresholds, "warnings": [*said, *advice]},
        "cases": {"count": len(cases), "first": [dict(case) for case in cases[:CASES]]},
        "transients": transients(verdict),
        "fault_injection": injected,
        "hypotheses": dict(hypotheses),
        "top": top(batch, verdict, hypotheses),
    }


def realised(verdict: Verdict, cuts: Cuts) -> dict[str, float | None]:
    """Share of the valid records above each cut."""
    judged = verdict.persistent[(verdict.level != INVALID) & np.isfinite(verdict.persistent)]
    return {
        name: float(np.mean(judged > cut)) if len(judged) else None
        for name, cut in (("attention", cuts.attention), ("alarm", cuts.alarm))
    }


def fault_injection(
    trial: Trial | None, cuts: Cuts, detectors: Sequence[str], sensors: Sequence[str]
) -> dict[str, Any] | None:
    """What a model catches of injected faults: detectors by usefulness (None: not tried), and the least severity caught.

    ``detectors``, ``sensors``: those of the model. ``parts``: shares of the faults that raise an alarm only ``with`` and
    only ``without`` each detector; ``adds_nothing``: those of which the former is not larger by ``LEAST_PART``. ``taught``:
    kinds that detectors may have learned from. ``smallest`` has one row per sensor tried on three records and, last, one
    of all records together with ``sensor_id`` null.
    """
    if trial is None:
        return None
    found = judge(trial, cuts, len(sensors))
    parts = dict(zip(detectors, trial.parts.tolist(), strict=False))
    return {
        "kinds": list(KINDS),
        "taught": list(TAUGHT),
        "severities": list(SEVERITIES),
        "records": int(found.count[-1]),
        "detectors": {
            detectors[j]: float(found.usefulness[j]) if np.isfinite(found.usefulness[j]) else None
            for j in np.argsort(-found.usefulness, kind="stable")
        },
        "parts": {name: {"with": only, "without": lost} for name, (only, lost) in parts.items()},
        "adds_nothing": [name for name, (only, lost) in parts.items() if only - lost < LEAST_PART],
        "caught": {kind: found.caught[i, :, -1].tolist() for i, kind in enumerate(KINDS)},
        "smallest": [
            {"sensor_id": name, "records": int(n), **dict(zip(KINDS, row.tolist(), strict=True))}
            for name, n, row in zip([*sensors, None], found.count, found.smallest, strict=True)
            if name is None or n >= PER_SENSOR
        ],
    }


def rank_correlation(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation between the columns, from rows where all are finite; 0 for a constant column."""
    from scipy.stats import rankdata

    rows = z[np.isfinite(z).all(axis=1)]
    d = z.shape[1]
    if len(rows) < 3:
        return np.eye(d)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.nan_to_num(np.atleast_2d(np.corrcoef(rankdata(rows, axis=0), rowvar=False)))
    np.fill_diagonal(found, 1.0)
    return np.asarray(np.clip(found, -1, 1))


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
    combined = fusion(fitted, report, verdict)
    found = decided(
        batch,
        verdict,
        fitted.cuts,
        machines,
        cases,
        report.cut_details,
        method=entry.thresholder["use"],
        budgets=settings_of(entry.budgets),
        baselines=baselines_of(fitted),
        injected=fault_injection(report.trial, fitted.cuts, fitted.detectors, fitted.schema["sensors"]),
        hypotheses=hypotheses,
        advice=advice,
    )
    said = [*warnings, *combined["warnings"], *found["thresholds"]["warnings"]]
    known = set(fitted.schema["covariate_names"])
    if not known and any("conditioned" in str(d.view) for d in fitted.plan.detectors):
        said.append("no covariates were given: conditioned views equal the views they condition")
    said += [*lacking(fitted, batch)[1], *companions(fitted, report, matrix, batch)]
    return {
        "schema": SCHEMA,
        "status": "complete",
        "ensemble": fitted.plan.name,
        "records": dict(records),
        **found,
        "signal": dict(signal),
        "machines_known": dict(machines_known),
        "detectors": detectors(fitted, report),
        "fusion": combined,
        "persistence": persistence(fitted),
        "fit_spans": dict(fit_spans),
        "timings": dict(timings),
        "resources": dict(resources),
        "metrics": metrics,
        "warnings": said,
        "failures": failures(fitted, report),
    }
