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

    None where the calibration takes out nothing that covariates explain.
    """
    calibration, _ = detectors.calibrated
    if "columns" not in calibration.arrays:
        return None
    batch, rows, states = detectors.batch, detectors.rows, detectors.holdout_states
    unseen = rows.fit[rows.fold == rows.fold.min(initial=0)]
    chosen = evenly_spaced(unseen[np.lexsort((batch.time[unseen], batch.sensor[unseen]))], MOST)
    copies = batch.take(chosen)
    copies = replace(copies, covariates=np.full_like(copies.covariates, np.nan))
    found = score_altered(engine, detectors, states, copies, "calibration without covariates")
    lost = np.full(len(copies), np.nan)
    return chosen, np.stack([found.get(ident, lost) for ident in states], axis=1)
