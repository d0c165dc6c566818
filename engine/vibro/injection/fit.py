"""A checked fit: detectors, their sensitivity, their combination, and what the ensemble catches of injected faults."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vibro.core.engine import Engine
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.plan import Plan
from vibro.core.rows import Rows
from vibro.data import SignalBatch
from vibro.injection.disturbed import disturb_rows
from vibro.injection.left_out import leave_one_out
from vibro.injection.masked import score_masked
from vibro.injection.sensitivity import check_sensitivity
from vibro.injection.trial import inject_all, usefulness, with_fused
from vibro.scoring.thresholds import fuse
from vibro.scoring.verdict import ScoreMatrix


def fit_ensemble(
    engine: Engine,
    plan: Plan,
    batch: SignalBatch,
    rows: Rows,
    y: NDArray[np.int16] | None = None,
    *,
    sensitivity: bool = True,
    trial: bool = True,
) -> tuple[FittedEnsemble, FitReport, ScoreMatrix]:
    """Fits on ``rows`` and scores the whole batch with the frozen result; ``y`` (n,) only reaches learners of labels.

    A detector that no perturbation of a record moves is excluded, unless ``sensitivity`` is False. Without ``trial``
    faults are injected only for a fuser that weighs by them. QuorumError if too few detectors are left.
    """
    copies = None
    if any(d.cls.wants_copies(d.params) for d in plan.detectors):
        copies = disturb_rows(batch, rows.by_id(batch).fit, engine.ctx.child("disturbed").seed)
    detectors = engine.fit_detectors(plan, batch, rows, y, copies)
    checked = check_sensitivity(engine, detectors) if sensitivity else {}
    detectors = detectors.without({i: s.reason for i, s in checked.items() if not s.passed})
    engine.check_survivors(detectors)
    found = inject_all(engine, detectors) if trial or plan.fuser.wants_trial else None
    ensemble, report, matrix = engine.combine(
        detectors, None if found is None else partial(usefulness, found), score_masked(engine, detectors)
    )
    if found is not None:
        together = partial(fuse, engine.make_fuser(ensemble))
        found = with_fused(found, together)
        found = replace(found, parts=leave_one_out(found, ensemble.reference["z"], ensemble.cuts.alarm, together))
    return ensemble, replace(report, sensitivity=checked, trial=found), matrix
