"""What a fit gives: detectors before they are combined, the ensemble that scores new records, and what is told of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State, ViewKey
from vibro.core.plan import Plan
from vibro.core.rows import Rows
from vibro.core.task import DetectorResult
from vibro.data import SignalBatch
from vibro.scoring.calibration import Calibration
from vibro.scoring.marks import Marks
from vibro.scoring.persistence import Persistence
from vibro.scoring.signature import Signature
from vibro.scoring.thresholds import Cuts

if TYPE_CHECKING:
    from vibro.injection.sensitivity import Sensitivity
    from vibro.injection.trial import Trial

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedDetectors:
    """Detectors fitted on some rows of a batch, not yet combined.

    ``results`` holds every planned detector in the order of the plan, those that failed or were excluded too; ``views``
    what the extractors learned; ``absent_features`` those that this sampling rate and length cannot give, by view;
    ``left_out``: how many suspicious fit rows only the suspects were fitted on.
    """

    plan: Plan
    batch: SignalBatch
    rows: Rows
    y: NDArray[np.int16] | None
    results: Mapping[str, DetectorResult]
    views: Mapping[ViewKey, State]
    absent_features: Mapping[str, list[int]]
    left_out: int = 0

    @property
    def survivors(self) -> tuple[str, ...]:
        """Ids of the detectors that are to be combined, in the order of the plan."""
        return tuple(i for i, result in self.results.items() if result.status == "ok")

    @property
    def states(self) -> dict[str, State]:
        """What each survivor learned of all fit rows."""
        return {i: self.results[i].state for i in self.survivors}

    @property
    def holdout_states(self) -> dict[str, State]:
        """What each survivor learned without the rows of the lowest fold."""
        return {i: self.results[i].holdout_state for i in self.survivors}

    def column(self, name: str) -> Floats:
        """The survivors' ``reference`` scores (fit rows, d) or ``scores`` of the whole batch (n, d)."""
        return np.stack([np.asarray(getattr(self.results[i], name), np.float64) for i in self.survivors], axis=1)

    @property
    def raw(self) -> Floats:
        """(n, d) scores of the whole batch; of a baseline those that its rows had when they were held out, if they were."""
        raw = self.column("scores")
        if self.rows.judged_held_out:
            held_out = self.column("reference")
            raw[self.rows.fit] = np.where(np.isfinite(held_out), held_out, raw[self.rows.fit])
        return raw

    @cached_property
    def calibrated(self) -> tuple[Calibration, Floats]:
        """The calibration of the survivors and the z (fit rows, d) of their held-out scores."""
        entry, rows, batch = self.plan.ensemble.calibration, self.rows.fit, self.batch
        return Calibration.fit(
            self.column("reference"),
            batch.sensor[rows],
            len(batch.sensors),
            entry.method,
            entry.linear,
            batch.covariates[rows],
            self.rows.alike,
        )

    def without(self, reasons: Mapping[str, str]) -> FittedDetectors:
        """The same, with these detectors excluded for the reasons given."""
        excluded = {i: replace(self.results[i], status="excluded", reason=reason) for i, reason in reasons.items()}
        return replace(self, results={**self.results, **excluded})


@dataclass(frozen=True)
class FittedEnsemble:
    """All that scoring needs, as plain arrays and names; ``vibro.store.bundle`` writes it, nothing else knows files."""

    plan: Plan
    schema: Mapping[str, Any]  # fs, length, channels, unit, sensors, covariate_names, absent_features, machines
    seed: int
    states: Mapping[str, State]  # detector id -> state, survivors only, in ensemble order
    views: Mapping[ViewKey, State]
    calibration: Calibration
    without_covariates: Calibration | None  # for records that lack a covariate; None: the calibration takes out none
    fuser_state: State
    weights: Floats  # (d,) over the survivors
    cuts: Cuts
    signature: Signature
    marks: Marks
    persistence: Persistence
    reference: State  # held-out rows: z (r, d), fused, sensor, row of the batch (r,); cut (r,) of ``cut_reference``
    probes: State  # records with the scores that they had at the fit: x, sensor, covariates, raw, fused

    @property
    def detectors(self) -> tuple[str, ...]:
        """Ids of the survivors, in ensemble order."""
        return tuple(self.states)

    def lack_covariates(self, batch: SignalBatch) -> NDArray[np.bool_]:
        """(n,) records that lack a covariate which the model knows; the batch in the model's codes."""
        if self.without_covariates is None:
            return np.zeros(len(batch), np.bool_)
        return np.asarray(~np.isfinite(batch.covariates[:, self.without_covariates.arrays["columns"]]).all(axis=1))

    def calibrate(self, raw: Floats, batch: SignalBatch) -> Floats:
        """(n, d) raw scores to z, each by the calibration for the covariates that it has; the batch in the model's codes."""
        z = self.calibration.apply(raw, batch.sensor, batch.covariates)
        rows = np.flatnonzero(self.lack_covariates(batch))
        if self.without_covariates is not None and len(rows):
            z[rows] = self.without_covariates.apply(raw[rows], batch.sensor[rows])
        return z


@dataclass(frozen=True)
class FitReport:
    """What is told of a fit and never needed to score.

    ``results``: every planned detector, without its arrays; ``notes`` of the fuser; ``cut_details`` of the thresholder;
    ``rows``: how many rows were fitted, how many calibrate, and how they were chosen; ``sensitivity`` of each detector and
    ``trial`` by injected faults, where these were made.
    """

    results: tuple[DetectorResult, ...]
    notes: tuple[str, ...]
    cut_details: Mapping[str, Any]
    rows: Mapping[str, Any]
    sensitivity: Mapping[str, Sensitivity] = field(default_factory=dict)
    trial: Trial | None = None
