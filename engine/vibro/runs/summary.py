"""``summary.json``: what came out of a run, in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import check_settings, settings_of
from vibro.core.fitted import FittedEnsemble
from vibro.core.worker import DetectorResult
from vibro.data import SignalBatch
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.trial import Trial, judge
from vibro.scoring.machines import lone_sensors
from vibro.scoring.thresholds import Cuts, named_cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, LEVELS, ScoreMatrix, Verdict

SCHEMA = 1
TOP = 10
ALIKE = 0.95  # rank correlation above which two detectors vote twice


def levels(verdict: Verdict) -> dict[str, int]:
    """Records a level."""
    return {name: int((verdict.level == code).sum()) for code, name in enumerate(LEVELS)}


BEYOND = "beyond those that the model was fitted on"


def sensors(batch: SignalBatch, verdict: Verdict, cuts: Cuts, own: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Counts a sensor; ``own`` tells which are judged by their own calibration, ``alone`` which deviate by themselves."""
    rows, alone = [], {sensor for _, sensor in lone_sensors(batch, verdict, cuts)}
    for code in np.unique(batch.sensor):
        rows_of = np.flatnonzero(batch.sensor == code)
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
                "calibration": "own" if own.get(name, False) else "pooled",
                "alone": name in alone,
            }
        )
    return rows


def top(batch: SignalBatch, verdict: Verdict) -> list[dict[str, Any]]:
    """The ten highest records that are not invalid."""
    score = np.where(verdict.level == INVALID, -np.inf, np.nan_to_num(verdict.score, nan=-np.inf))
    order = np.lexsort((batch.ids, -score))[:TOP]
    return [
        {
            "record_id": str(batch.ids[i]),
            "source": batch.sources[batch.source[i]],
            "row": int(batch.row[i]),
            "sensor_id": batch.sensors[batch.sensor[i]],
            "data_time": batch.time[i],
            "score": float(verdict.score[i]),
            "level": LEVELS[verdict.level[i]],
        }
        for i in order
        if np.isfinite(score[i])
    ]


def thresholds(
    method: str, budgets: Mapping[str, float], cuts: Cuts, details: Mapping[str, Any], verdict: Verdict
) -> dict[str, Any]:
    """Cuts with their budgets and the share of the valid records above each; no percentage is claimed, only counted."""
    judged = verdict.score[(verdict.level != INVALID) & np.isfinite(verdict.score)]
    realised = {
        name: float(np.mean(judged > cut)) if len(judged) else None
        for name, cut in (("attention", cuts.attention), ("alarm", cuts.alarm))
    }
    return {
        "method": method,
        "budget": dict(budgets),
        "cuts": named_cuts(cuts),
        "realised": realised,
        "fallback": details.get("fallback"),
        "interval": details.get("interval"),
        **{key: value for key, value in details.items() if key not in ("fallback", "interval")},
    }


def detectors(fitted: FittedEnsemble) -> list[dict[str, Any]]:
    """One row a planned detector, those that failed or stood aside with their reason."""
    plan = fitted.plan
    result = {r.id: r for r in fitted.results}
    weight = dict(zip(fitted.detectors, fitted.weights, strict=True))
    cut = dict(zip(fitted.detectors, fitted.cuts.own, strict=True))
    rows = []
    for d in plan.detectors:
        r = result.get(d.id, DetectorResult(d.id, "absent"))
        sentinel = fitted.sentinels.get(d.id)
        rows.append(
            {
                "id": d.id,
                "component": d.cls.name,
                "plugin": d.plugin,
                "version": d.version,
                "view": str(d.view),
                "params": settings_of(check_settings(d.cls.Params, d.settings, d.id)),
                "status": r.status,
                "reason": r.reason,
                "health": dict(r.health),
                "sentinel": asdict(sentinel) if sentinel else None,
                "weight": weight.get(d.id, 0.0),
                "cut": cut.get(d.id),
                "fit_seconds": r.fit_seconds,
                "score_seconds": r.score_seconds,
            }
        )
    for ident, reason in plan.absent:
        rows.append({"id": ident, "status": "absent", "reason": reason, "weight": 0.0, "health": {}, "sentinel": None})
    return rows


def alone(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on the sensors of ``sensors`` that deviate alone."""
    return [
        f"sensor {row['sensor_id']} of machine {row['machine_id']} deviates alone: look at the sensor and its mounting first"
        for row in rows
        if row["alone"]
    ]


def unseen(batch: SignalBatch, verdict: Verdict, cuts: Cuts) -> list[str]:
    """Sentences, each with BEYOND in it, on records over the alarm cut whose operating state the model has not seen."""
    over = verdict.unseen & (verdict.score > cuts.alarm) & (verdict.level != INVALID)
    held, alarms = int((over & verdict.held).sum()), int((over & ~verdict.held).sum())
    state = f"operating state ({', '.join(batch.covariate_names)}) lies {BEYOND}"
    said = []
    if held:
        said.append(
            f"{held} records over the alarm cut count as attention: their {state}, where it does not know what is normal"
        )
    if alarms:
        said.append(f"{alarms} records raise an alarm although their {state}: look at that state first")
    return said


def audition(
    trial: Trial | None, fusers: Mapping[str, float], cuts: Cuts, detectors: Sequence[str], sensors: Sequence[str]
) -> dict[str, Any] | None:
    """What a model catches of injected faults: detectors (None: not tried) and fusers by usefulness, the least severity.

    ``detectors``, ``sensors``: those of the model. ``smallest`` has one row a sensor that was tried and, last, one of all
    records together with ``sensor_id`` null.
    """
    if trial is None:
        return None
    found = judge(trial, cuts, len(sensors))
    return {
        "kinds": list(KINDS),
        "severities": list(SEVERITIES),
        "records": int(found.count[-1]),
        "detectors": {
            detectors[j]: float(found.usefulness[j]) if np.isfinite(found.usefulness[j]) else None
            for j in np.argsort(-found.usefulness, kind="stable")
        },
        "fusers": dict(fusers),
        "caught": {kind: found.caught[i, :, -1].tolist() for i, kind in enumerate(KINDS)},
        "smallest": [
            {"sensor_id": name, "records": int(n), **dict(zip(KINDS, row.tolist(), strict=True))}
            for name, n, row in zip([*sensors, None], found.count, found.smallest, strict=True)
            if n
        ],
    }


def fusion(fitted: FittedEnsemble, verdict: Verdict) -> dict[str, Any]:
    """How the columns became one score, how alike they are, and what the fuser noticed."""
    plan, z = fitted.plan, fitted.reference["z"]
    correlation = rank_correlation(z)
    warnings = list(fitted.notes)
    for i, a in enumerate(fitted.detectors):
        for j in range(i):
            if correlation[i, j] > ALIKE:
                warnings.append(
                    f"{fitted.detectors[j]} and {a} rank the records alike (correlation {correlation[i, j]:.2f})"
                )
    own = fitted.calibration.own()
    return {
        "fuser": plan.ensemble.fuser["use"],
        "calibration": {
            "method": fitted.calibration.method,
            "clip": list(fitted.calibration.clip),
            "groups": {"own": int(own.sum()), "pooled": int((~own).sum())},
        },
        "weights": {i: float(w) for i, w in zip(fitted.detectors, fitted.weights, strict=True)},
        "n_used": int((fitted.weights > 0).sum()),
        "n_planned": len(plan.detectors) + len(plan.absent),
        "weight_used": float(np.mean(verdict.used)) if len(verdict.used) else None,
        "quorum": plan.ensemble.quorum,
        "correlation": correlation,
        "warnings": warnings,
    }


def rank_correlation(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation between the columns, from rows where all are finite; 0 for a constant column."""
    from scipy.stats import rankdata

    rows = z[np.isfinite(z).all(axis=1)]
    d = z.shape[1]
    if len(rows) < 3:
        return np.eye(d)
    ranks = np.stack([rankdata(column) for column in rows.T])
    ranks -= ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=1))
    unit = ranks / np.where(size > 0, size, 1.0)[:, None]
    found: NDArray[np.float64] = np.clip(unit @ unit.T, -1, 1)
    np.fill_diagonal(found, 1.0)
    return found


def own_calibration(fitted: FittedEnsemble) -> dict[str, bool]:
    """Which of the model's sensors have a calibration of their own."""
    return dict(zip(fitted.schema["sensors"], map(bool, fitted.calibration.own()), strict=False))


def failures(fitted: FittedEnsemble) -> list[dict[str, Any]]:
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
        for r in fitted.results
        if r.status == "failed"
    ]
    rows += [
        {"detector": i, "plugin": "", "version": "", "phase": "load", "error": "absent", "message": why, "seconds": 0.0}
        for i, why in fitted.plan.absent
    ]
    return rows


def build(
    *,
    batch: SignalBatch,
    records: Mapping[str, Any],
    signal: Mapping[str, Any],
    fitted: FittedEnsemble,
    matrix: ScoreMatrix,
    verdict: Verdict,
    metrics: Mapping[str, Any] | None,
    warnings: Sequence[str],
    timings: Mapping[str, float],
    resources: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole summary of a run or of ``vibro score``."""
    entry = fitted.plan.ensemble
    how = fusion(fitted, verdict)
    by_sensor = sensors(batch, verdict, fitted.cuts, own_calibration(fitted))
    said = [*warnings, *how["warnings"], *alone(by_sensor), *unseen(batch, verdict, fitted.cuts)]
    known = set(fitted.schema["covariate_names"])
    if not known and any("conditioned" in str(d.view) for d in fitted.plan.detectors):
        said.append("no covariates were given: conditioned views equal the views they condition")
    if lost := sorted(known - set(batch.covariate_names)):
        said.append(
            f"the model was fitted with {', '.join(lost)}, which these data lack: taken at each sensor's usual value"
        )
    return {
        "schema": SCHEMA,
        "status": "complete",
        "ensemble": fitted.plan.name,
        "records": dict(records),
        "sensors": by_sensor,
        "signal": dict(signal),
        "levels": levels(verdict),
        "detectors": detectors(fitted),
        "fusion": how,
        "audition": audition(fitted.trial, fitted.fusers, fitted.cuts, fitted.detectors, fitted.schema["sensors"]),
        "thresholds": thresholds(
            entry.thresholder["use"], settings_of(entry.budgets), fitted.cuts, fitted.cut_details, verdict
        ),
        "timings": dict(timings),
        "resources": dict(resources),
        "metrics": metrics,
        "top": top(batch, verdict),
        "warnings": said,
        "failures": failures(fitted),
    }
