"""From fitted detectors to a fitted ensemble: calibrated, fused and cut on the scores of held-out rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, Thresholder
from vibro.core.fitted import FitReport, FittedDetectors, FittedEnsemble, Floats
from vibro.core.plan import Plan
from vibro.core.rows import evenly_spaced
from vibro.core.task import DetectorResult
from vibro.data import SignalBatch, let_go, schema_of
from vibro.errors import QuorumError
from vibro.scoring.calibration import Calibration
from vibro.scoring.cut_reference import cut_reference
from vibro.scoring.instants import instant_numbers, periods
from vibro.scoring.marks import Marks
from vibro.scoring.persistence import Persistence
from vibro.scoring.signature import Signature, measure
from vibro.scoring.thresholds import find_cuts, fuse, own_cuts
from vibro.scoring.transients import standing_out
from vibro.scoring.verdict import ScoreMatrix

ROWS = 512  # records whose signatures are measured at a time
PROBES = 16  # records kept with a model, to see whether it still gives the same scores elsewhere


def combine(
    detectors: FittedDetectors,
    fuser: Fuser,
    thresholder: Thresholder,
    seeds: tuple[int, int],
    usefulness: Callable[[Floats], Floats] | None,
    masked: tuple[NDArray[np.intp], Floats] | None,
) -> tuple[FittedEnsemble, FitReport, ScoreMatrix]:
    """The ensemble, what is told of it, and its scores of the whole batch; ``seeds``: of the run, and of resampled cuts.

    ``usefulness`` and ``masked`` as in ``Engine.combine``.
    """
    plan, batch, rows = detectors.plan, detectors.batch, detectors.rows
    calibration, z = detectors.calibrated
    usable = _usable(z, plan.ensemble.quorum)
    z, fit_rows = z[usable], rows.fit[usable]
    own = own_cuts(thresholder, z, plan.ensemble.budgets.alarm)
    labels = None if detectors.y is None or not fuser.needs_labels else detectors.y[fit_rows]
    fuser.fit(z, labels, usefulness(own) if usefulness is not None and fuser.wants_trial else None)
    fused = fuse(fuser, z)
    levels = signatures(batch)
    signature = Signature.fit(levels[rows.fit], batch.sensor[rows.fit], len(batch.sensors))
    look = signature.look(levels[fit_rows], z, batch.sensor[fit_rows])
    normal = look.take(fused <= standing_out(fused))
    scores = cut_reference(batch, fit_rows, fused, look.signature[:, 0])
    cuts, details = find_cuts(thresholder, scores, plan.ensemble.budgets, own, seeds[1])
    ensemble = FittedEnsemble(
        plan=plan,
        schema={**schema_of(batch), "absent_features": detectors.absent_features, "periods": periods(batch)},
        seed=seeds[0],
        states=detectors.states,
        views=detectors.views,
        calibration=calibration,
        without_covariates=None if masked is None else _calibrate_masked(detectors, *masked, thresholder, own),
        fuser_state=fuser.state(),
        weights=_weights(fuser, len(detectors.survivors)),
        cuts=cuts,
        signature=signature,
        marks=Marks.none(normal),
        persistence=Persistence.fit(batch, fit_rows, fused),
        reference={"z": z, "fused": fused, "sensor": batch.sensor[fit_rows], "row": fit_rows, "cut": scores},
        probes={},
    )
    ensemble = replace(ensemble, probes=_probes(detectors, ensemble, fuser))
    report = FitReport(
        tuple(result.told() for result in detectors.results.values()),
        tuple(fuser.notes()),
        details,
        {
            "fit": len(rows.fit),
            "left_out": detectors.left_out,
            "reference": len(fused),
            "strategy": rows.strategy,
        },
    )
    return ensemble, report, score_matrix(ensemble, batch, detectors.raw, levels)


def signatures(batch: SignalBatch) -> Floats:
    """(n, k) raw signatures; the samples do not stay in memory."""
    parts = []
    for start in range(0, max(1, len(batch)), ROWS):
        parts.append(measure(batch.x[start : start + ROWS]))
        let_go(batch.x)
    return np.concatenate(parts)


def score_matrix(fitted: FittedEnsemble, batch: SignalBatch, raw: Floats, levels: Floats) -> ScoreMatrix:
    """Scores (n, d) as z, and what the records look like; the batch in the model's codes, ``levels`` (n, k) its measure."""
    z = fitted.calibrate(raw, batch)
    return ScoreMatrix(fitted.detectors, batch.ids, raw, z, fitted.signature.look(levels, z, batch.sensor))


def check_quorum(plan: Plan, results: Sequence[DetectorResult]) -> None:
    """QuorumError unless the quorum of all but the excluded detectors survives, and at least one of all."""
    ok = [r for r in results if r.status == "ok"]
    lost = len(plan.absent) + sum(r.status == "failed" for r in results)
    why: defaultdict[str, list[str]] = defaultdict(list)
    for r in results:
        if r.status != "ok":
            why[r.reason].append(r.id)
    reasons = "; ".join(f"{', '.join(ids)}: {reason}" for reason, ids in why.items())
    if not ok:
        raise QuorumError(
            f"no detector could be used: {reasons}", hint="give more records, or vibro ensemble show NAME"
        )
    if len(ok) / (len(ok) + lost) < plan.ensemble.quorum:
        raise QuorumError(
            f"{lost} of {len(ok) + lost} detectors failed, which leaves less than the quorum of"
            f" {plan.ensemble.quorum:g}: {reasons}",
            hint="vibro plugins list",
        )


def _usable(z: Floats, quorum: float) -> NDArray[np.bool_]:
    """(r,) reference rows with enough scores to be fused, or with as many as any row has."""
    given = np.isfinite(z).mean(axis=1)
    return np.asarray(given >= min(quorum, given.max(initial=0.0)))


def _calibrate_masked(
    detectors: FittedDetectors, rows: NDArray[np.intp], raw: Floats, thresholder: Thresholder, own: Floats
) -> Calibration:
    """The calibration of raw scores (r, d) of fit rows without covariates, in which each detector keeps its own cut (d,)."""
    batch, entry = detectors.batch, detectors.plan.ensemble.calibration
    sensor, alike = batch.sensor[rows], detectors.rows.alike
    found, z = Calibration.fit(raw, sensor, len(batch.sensors), entry.method, entry.linear, alike=alike)
    wider = own_cuts(thresholder, z, detectors.plan.ensemble.budgets.alarm) / own
    return found.widened(wider, detectors.calibrated[0].arrays["columns"])


def _probes(detectors: FittedDetectors, fitted: FittedEnsemble, fuser: Fuser) -> dict[str, NDArray[Any]]:
    """Some records with the scores that the final detectors give them now, whatever a baseline keeps.

    Where a detector judges records by their companions, one whole instant is among them.
    """
    batch, rows = detectors.batch, evenly_spaced(detectors.rows.fit, PROBES)
    raw, instant = detectors.column("scores"), np.full(len(batch), -1)
    together = np.flatnonzero([detectors.plan.needs_companions(i) for i in detectors.survivors])
    if len(together):
        number = instant_numbers(batch, {})
        judged = detectors.rows.fit[np.isfinite(raw[detectors.rows.fit][:, together]).all(axis=1)]
        whole = np.flatnonzero(number == number[judged[0]]) if len(judged) else judged
        instant[whole] = 0
        rows = np.concatenate([whole, np.setdiff1d(rows, whole)])
        raw[np.ix_(np.setdiff1d(rows, whole), together)] = np.nan
    raw, instant = raw[rows], instant[rows]
    return {
        "instant": instant,
        "x": np.array(batch.x[rows]),
        "sensor": batch.sensor[rows],
        "covariates": batch.covariates[rows],
        "raw": raw,
        "fused": fuse(fuser, fitted.calibrate(raw, batch.take(rows))),
    }


def _weights(fuser: Fuser, d: int) -> Floats:
    """(d,) weights of the members; equal ones for a rule that has none."""
    weights = fuser.weights()
    return np.full(d, 1.0 / d) if weights is None else np.asarray(weights, np.float64)
