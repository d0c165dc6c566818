"""What a run tells of its members: detectors, how they are calibrated and fused, what they catch of injected faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import settings_of
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.task import DetectorResult
from vibro.injection.disturbed import KINDS as TAUGHT
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.trial import PER_SENSOR, Trial, judge
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import Verdict

LEAST_PART = 0.001  # of the injected faults: what a detector must add to what the others catch
ALIKE = 0.95  # rank correlation above which two detectors count as one


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


def baselines_of(fitted: FittedEnsemble) -> dict[str, str]:
    """What each of the model's sensors is compared with, as ``Calibration.baselines`` names it."""
    return dict(zip(fitted.schema["sensors"], fitted.calibration.baselines().tolist(), strict=False))


def persistence(fitted: FittedEnsemble) -> dict[str, Any]:
    """Whether levels follow ``persistent_score``, and what decided it at the fit; None where no record has a neighbour."""
    arrays = fitted.persistence.arrays
    numbers = {name: float(arrays[key]) for name, key in (("times_chance", "ratio"), ("deviations", "sure"))}
    return {"on": fitted.persistence.on} | {k: v if np.isfinite(v) else None for k, v in numbers.items()}


def fault_injection(
    trial: Trial | None, cuts: Cuts, detectors: Sequence[str], sensors: Sequence[str], fuser: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a model catches of injected faults: detectors by usefulness (None: not tried), and the least severity caught.

    ``detectors``, ``sensors``: those of the model. ``parts``: shares of the faults that raise an alarm only ``with`` and
    only ``without`` each detector; ``adds_nothing``: those of which the former is not larger by ``LEAST_PART``, but for what the
    ``fuser`` calls independent: no fault moves the mean of a record, so nothing is known of a member that judges it. ``taught``:
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
        "adds_nothing": [
            name
            for name, (only, lost) in parts.items()
            if only - lost < LEAST_PART and name not in fuser.get("independent", ())
        ],
        "caught": {kind: found.caught[i, :, -1].tolist() for i, kind in enumerate(KINDS)},
        "smallest": [
            {"sensor_id": name, "records": int(n), **dict(zip(KINDS, row.tolist(), strict=True))}
            for name, n, row in zip([*sensors, None], found.count, found.smallest, strict=True)
            if name is None or n >= PER_SENSOR
        ],
    }
