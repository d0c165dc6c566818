"""What records lack of that which a model was fitted with, and how they are judged without: covariates, companions, a kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.data import SignalBatch
from vibro.runs.voice import names
from vibro.scoring.verdict import INDETERMINATE, ScoreMatrix, Verdict


def lacking(fitted: FittedEnsemble, batch: SignalBatch) -> tuple[NDArray[np.bool_], list[str]]:
    """(n,) records that lack covariates which the model knows, and a sentence on how they are judged."""
    coded = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
    rows = fitted.lack_covariates(coded)
    if not rows.any() or fitted.without_covariates is None:
        return rows, []
    columns = fitted.without_covariates.arrays["columns"]
    missing = np.isnan(coded.covariates[:, columns]).any(axis=0)
    lost = np.array(fitted.schema["covariate_names"])[columns][missing].tolist()
    n = int(rows.sum())
    lack, judged = ("lacks", "it is judged") if n == 1 else ("lack", "they are judged")
    return rows, [
        f"{n} of {len(batch)} records {lack} {' or '.join(lost)}, which the model was fitted with:"
        f" {judged} by its calibration without covariates"
    ]


def companions(
    fitted: FittedEnsemble, report: FitReport, matrix: ScoreMatrix, verdict: Verdict, batch: SignalBatch
) -> list[str]:
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
    reasons = (
        (
            "lacks companions, the other sensors of its machine at its instant",
            "lack companions, the other sensors of their machine at their instant",
            alone & grouped,
        ),
        (
            "is of a sensor that had too few instants in common with others at the fit",
            "are of sensors that had too few instants in common with others at the fit",
            alone & ~grouped,
        ),
    )
    ids = " and ".join(matrix.detectors[j] for j in on)
    for one, many, rows in reasons:
        if n := int(rows.sum()):
            reason, it = (one, "it") if n == 1 else (many, "them")
            others = "" if (verdict.level[rows] == INDETERMINATE).any() else f", the other detectors judge {it}"
            give = "gives" if len(on) == 1 else "give"
            said.append(f"{n} of {len(batch)} records {reason}: {ids} {give} {it} no score{others}")
    return said


def other_sensors(fitted: FittedEnsemble, matrix: ScoreMatrix, verdict: Verdict, batch: SignalBatch) -> list[str]:
    """Sentences on detectors whose view is for some sensors only: how many records they give no score."""
    said = []
    for j, ident in enumerate(matrix.detectors):
        silent = np.isnan(matrix.z[:, j]) & batch.valid
        by_nature = np.isnan(fitted.reference["z"][:, j]).any() and not fitted.plan.needs_companions(ident)
        n = int(silent.sum())
        if by_nature and n:
            of, it = ("is of a sensor", "it") if n == 1 else ("are of sensors", "them")
            others = "" if (verdict.level[silent] == INDETERMINATE).any() else f": the other detectors judge {it}"
            said.append(f"{n} of {len(batch)} records {of} that {ident} is not for{others}")
    return said


def undecided(fitted: FittedEnsemble, verdict: Verdict, batch: SignalBatch) -> list[str]:
    """A sentence on the records with good data that get no verdict, since too few detectors give them a score."""
    rows = verdict.level == INDETERMINATE
    if not (n := int(rows.sum())):
        return []
    get, them = ("gets", "it") if n == 1 else ("get", "them")
    sensors = names([batch.sensors[code] for code in np.unique(batch.sensor[rows])])
    return [
        f"{n} of {len(batch)} records {get} no verdict: the detectors that give {them} a score have less than"
        f" {fitted.plan.ensemble.quorum:g} of the weight ({sensors})"
    ]
