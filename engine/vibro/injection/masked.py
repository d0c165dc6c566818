"""Records with their covariates taken away: what a model that was fitted with load or temperature makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.core.engine import Engine
from vibro.core.fitted import FittedDetectors
from vibro.core.rows import evenly_spaced
from vibro.injection.altered import score_altered

MOST = 3_000  # records scored again; a calibration needs no more


def score_masked(engine: Engine, detectors: FittedDetectors) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
    """Rows of the lowest fold and their raw scores (r, d) without covariates, by detectors that have not seen them.

    A detector whose view reads no covariates keeps the held-out scores that it has. None where the calibration takes out
    nothing that covariates explain.
    """
    calibration, _ = detectors.calibrated
    if "columns" not in calibration.arrays:
        return None
    batch, rows, plan = detectors.batch, detectors.rows, detectors.plan
    unseen = np.flatnonzero(rows.fold == rows.fold.min(initial=0))
    of = rows.fit[unseen]
    place = evenly_spaced(unseen[np.lexsort((batch.time[of], batch.sensor[of]))], MOST)
    copies = batch.take(rows.fit[place])
    copies = replace(copies, covariates=np.full_like(copies.covariates, np.nan))
    states = {i: state for i, state in detectors.holdout_states.items() if plan.reads(i, "covariates")}
    raw = detectors.column("reference")[place]
    found = score_altered(engine, detectors, states, copies, "calibration without covariates")
    for j, ident in enumerate(detectors.survivors):
        if ident in states:
            raw[:, j] = found.get(ident, np.nan)
    return rows.fit[place], raw
