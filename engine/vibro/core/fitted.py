"""A fitted ensemble: all that scoring new records needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State, ViewKey
from vibro.core.plan import Plan
from vibro.core.worker import DetectorResult
from vibro.injection.sensitivity import Sentinel
from vibro.injection.trial import Trial
from vibro.scoring.domain import Domain
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import Calibration


@dataclass(frozen=True)
class FittedEnsemble:
    """All that scoring needs, as plain arrays and names; ``vibro.store.bundle`` writes it, nothing else knows files."""

    plan: Plan
    schema: Mapping[str, Any]  # fs, length, channels, unit, sensors, covariate_names
    seed: int
    states: Mapping[str, State]  # detector id -> state, survivors only, in ensemble order
    views: Mapping[ViewKey, State]
    calibration: Calibration
    domain: Domain
    fuser_state: State
    weights: NDArray[np.float64]  # (d,) over the survivors
    cuts: Cuts
    reference: State  # held-out rows: z (r, d), fused (r,), sensor (r,)
    probes: State  # x, sensor, covariates, raw, fused
    results: tuple[DetectorResult, ...]  # every planned detector, without its arrays
    sentinels: Mapping[str, Sentinel]
    notes: tuple[str, ...]  # of the fuser
    cut_details: Mapping[str, Any]
    trial: Trial | None  # of the audition; None: no calm record could be tried
    fusers: Mapping[str, float]  # name -> what a fuser would have caught in the trial
    rows: Mapping[str, Any]

    @property
    def detectors(self) -> tuple[str, ...]:
        """Ids of the survivors, in ensemble order."""
        return tuple(self.states)
