"""The engine: fits every detector on its view, then calibrates, fuses and cuts; scores and decides with the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, Thresholder, ViewKey
from vibro.context import Context
from vibro.core.cleaning import trusted_rows
from vibro.core.combination import check_quorum, combine, score_matrix, signatures
from vibro.core.copies import Copies
from vibro.core.fitted import FitReport, FittedDetectors, FittedEnsemble, Floats
from vibro.core.plan import Plan, survivors_of
from vibro.core.rows import Rows
from vibro.core.scheduler import FarExecutor, SerialExecutor, TaskRunner
from vibro.core.task import ArrayRef, DetectorResult, FitTask, ScoreTask
from vibro.core.views import Cache, ViewStore
from vibro.core.worker import fit_task, score_task
from vibro.data import SignalBatch, check_schema
from vibro.errors import PluginError, QuorumError
from vibro.events import DetectorFailed, DetectorTrained, Observer
from vibro.scoring.instants import instant_numbers
from vibro.scoring.reasons import with_reasons
from vibro.scoring.thresholds import fuse, guarded_cut
from vibro.scoring.verdict import ScoreMatrix, Verdict, decide


class Engine:
    """Fits and applies ensembles; it knows components by their contracts and neither files nor terminals."""

    def __init__(
        self,
        host: Observer,
        ctx: Context,
        *,
        executor: Executor | None = None,
        memory: int = 1 << 30,
        folder: Path | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.host = host
        self.ctx = ctx
        self.executor = executor or SerialExecutor()
        self.memory = memory
        self.folder = folder
        self.cache = cache

    # --- fit ----------------------------------------------------------------------------------------------------------

    def fit_detectors(
        self,
        plan: Plan,
        batch: SignalBatch,
        rows: Rows,
        y: NDArray[np.int16] | None = None,
        copies: Copies | None = None,
    ) -> FittedDetectors:
        """Fits every detector on ``rows``, scores those held out and the whole batch.

        ``y`` (n,) only reaches detectors and fusers that learn from labels, ``copies`` of fit rows only detectors that want
        them and whose view of a record needs no companions. A detector that fails is part of the result.
        """
        rows = rows.by_id(batch)
        ctx = replace(self.ctx, fs=batch.fs)
        store = self._store(plan, batch, ctx, fit_rows=rows.fit, alike=rows.alike)
        wanting = [d.id for d in plan.detectors if d.cls.wants_copies(d.params) and not plan.needs_companions(d.id)]
        all_held_out = plan.ensemble.calibration.on == "held-out"
        tasks = {
            d.id: FitTask(
                d.id,
                d.cls,
                d.params,
                ctx.child(d.id),
                ArrayRef(),
                rows.fit,
                rows.fold,
                group=rows.group,
                cross_fit=d.cls.cross_fit and not all_held_out,
                y=y if d.cls.needs_labels else None,
                copy_of=copies.among(rows.fit) if copies is not None and d.id in wanting else None,
            )
            for d in plan.detectors
        }
        copied = None if copies is None else self._store(survivors_of(plan, wanting), copies.batch, ctx, name="copies")
        suspects = [i for i in plan.ensemble.suspects if i in tasks]
        found = {}
        if suspects:
            found = self._runner.run("suspects", plan, store, {i: tasks.pop(i) for i in suspects}, fit_task, copied)
        trusted = trusted_rows(rows, suspects, found, partial(guarded_cut, self.make_thresholder(plan)))
        tasks = {i: replace(task, trusted=trusted | _kept(task)) for i, task in tasks.items()}
        found |= self._runner.run("fit", plan, store, tasks, fit_task, copied)
        results = {d.id: found[d.id] for d in plan.detectors}
        views = {key: store.states[key] for key in plan.views if key in store.states}
        left_out = len(trusted) - int(trusted.sum())
        return FittedDetectors(plan, batch, rows, y, results, views, _absent(store.kept), left_out)

    def check_survivors(self, detectors: FittedDetectors) -> None:
        """Tells the observers of every detector that was trained or is lost; QuorumError if too few are left to combine."""
        plan, results = detectors.plan, detectors.results
        check_quorum(plan, tuple(results.values()))
        for d in plan.detectors:
            result = results[d.id]
            if result.loss:
                self.host.emit(DetectorTrained(d.id, result.loss, len(result.stopped_on)))
            if result.status != "ok":
                phase = "excluded" if result.status == "excluded" else result.phase
                self.host.emit(DetectorFailed(d.id, d.plugin, phase, result.reason))

    def combine(
        self,
        detectors: FittedDetectors,
        usefulness: Callable[[Floats], Floats] | None = None,
        masked: tuple[NDArray[np.intp], Floats] | None = None,
    ) -> tuple[FittedEnsemble, FitReport, ScoreMatrix]:
        """Calibrates, fuses and cuts: the ensemble, what is told of it, and its scores of the whole batch.

        ``usefulness``: from each detector's own cut (d,) to how much of injected faults it catches (d,), for fusers that
        weigh by it. ``masked``: some fit rows and their raw scores (r, d) without covariates, by which records that lack them
        are calibrated.
        """
        fuser, thresholder = self._fuser(detectors.plan, detectors.survivors), self.make_thresholder(detectors.plan)
        seeds = self.ctx.seed, self.ctx.child("resample").seed
        return combine(detectors, fuser, thresholder, seeds, usefulness, masked)

    # --- score and decide ---------------------------------------------------------------------------------------------

    def score(self, fitted: FittedEnsemble, batch: SignalBatch) -> ScoreMatrix:
        """Scores with the frozen model; PluginError if a detector fails, IncompatibleModelError if the data differ."""
        matrix, failed = self.score_survivors(fitted, batch)
        if failed:
            raise PluginError(
                f"detector {failed[0].id} failed in score: {failed[0].reason}",
                hint="--allow-missing goes on without it",
            )
        return matrix

    def score_survivors(
        self, fitted: FittedEnsemble, batch: SignalBatch
    ) -> tuple[ScoreMatrix, tuple[DetectorResult, ...]]:
        """As ``score``, but a detector that fails only leaves its column empty; also gives the results of those."""
        check_schema(fitted.schema, batch)
        batch = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
        raw, failed = self.raw_scores(fitted, batch)
        return score_matrix(fitted, batch, raw, signatures(batch)), failed

    def decide(self, fitted: FittedEnsemble, matrix: ScoreMatrix, batch: SignalBatch) -> Verdict:
        """Fuses and cuts with what the model stores, and gives the reasons."""
        fused = fuse(self.make_fuser(fitted), matrix.z)
        reference = fitted.reference["fused"]
        quorum = fitted.plan.ensemble.quorum
        unseen = self.unseen(fitted, batch)
        assert matrix.look is not None  # scoring has seen to it
        persistent = fitted.persistence.apply(batch, fused, fitted.schema["periods"])
        verdict = decide(matrix, fused, fitted.weights, fitted.cuts, reference, batch.valid, quorum, unseen, persistent)
        return with_reasons(batch, verdict, fitted.cuts, reference, matrix.look, fitted.marks)

    def unseen(self, fitted: FittedEnsemble, batch: SignalBatch) -> NDArray[np.bool_]:
        """(n,) records in operating states beyond those that the model was fitted on."""
        coded = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
        return fitted.calibration.domain.beyond(coded.covariates, coded.sensor)

    def raw_scores(
        self, fitted: FittedEnsemble, batch: SignalBatch, instant: NDArray[np.intp] | None = None
    ) -> tuple[Floats, tuple[DetectorResult, ...]]:
        """Scores (n, d) of the survivors, NaN where one failed, and the results of those; the batch in the model's codes.

        ``instant`` (n,) as in ``ViewStore``, by default found with the usual periods that the model keeps.
        """
        if instant is None:
            instant = instant_numbers(batch, fitted.schema["periods"])
        ctx = replace(self.ctx, fs=batch.fs, seed=fitted.seed)
        plan = survivors_of(fitted.plan, fitted.detectors)
        store = self._store(plan, batch, ctx, states=fitted.views, instant=instant)
        tasks = {
            d.id: ScoreTask(d.id, d.cls, d.params, ctx.child(d.id), ArrayRef(), fitted.states[d.id])
            for d in plan.detectors
        }
        results = self._runner.run("score", plan, store, tasks, score_task)
        failed = tuple(r for r in results.values() if r.status != "ok")
        for r in failed:
            self.host.emit(DetectorFailed(r.id, "", "score", r.reason))
        if len(failed) == len(results):
            reasons = [f"{r.id}: {r.reason}" for r in failed] or [f"{i}: {why}" for i, why in fitted.plan.absent]
            raise QuorumError(f"no detector could score: {reasons[0]}", hint="vibro plugins list")
        lost = np.full(len(batch), np.nan)
        columns = [lost if i not in results or (s := results[i].scores) is None else s for i in fitted.detectors]
        return np.stack(columns, axis=1), failed

    # --- parts --------------------------------------------------------------------------------------------------------

    def make_fuser(self, fitted: FittedEnsemble) -> Fuser:
        """The fitted fuser of a model."""
        fuser = self._fuser(fitted.plan, fitted.detectors)
        fuser.load_state(fitted.fuser_state)
        return fuser

    def make_thresholder(self, plan: Plan) -> Thresholder:
        """A thresholder as the plan's ensemble sets it."""
        return plan.thresholder(plan.thresholder_params, self.ctx.child(f"thresholder:{plan.thresholder.name}"))

    def _fuser(self, plan: Plan, names: Sequence[str]) -> Fuser:
        ctx = replace(self.ctx.child(f"fuser:{plan.fuser.name}"), names=tuple(names))
        return plan.fuser(plan.fuser_params, ctx)

    @property
    def _runner(self) -> TaskRunner:
        return TaskRunner(self.executor, self.folder, self.host.emit)

    def _store(self, plan: Plan, batch: SignalBatch, ctx: Context, *, name: str = "", **options: Any) -> ViewStore:
        """Views of a batch; with a ``name`` of records that are not those of the run, which are not kept for later runs."""
        return ViewStore(
            batch,
            plan.make_extractors(ctx),
            plan.readers,
            memory=self.memory if self._runner.serial else 0,
            folder=self.folder and self.folder / name,
            cache=None if name else self.cache,
            workers=self.executor if isinstance(self.executor, FarExecutor) else None,
            emit=self.host.emit,
            log=self.host.log,
            **options,
        )


def _kept(task: FitTask) -> NDArray[np.bool_]:
    """(fit rows,) those that a detector keeps though suspicious: all if it is robust, or those whose label it learns from."""
    return np.full(len(task.rows), task.cls.robust) if task.y is None else task.y[task.rows] >= 0


def _absent(kept: Mapping[ViewKey, NDArray[np.bool_] | None]) -> dict[str, list[int]]:
    """Features that this sampling rate and length cannot give, by view."""
    return {
        str(key): np.flatnonzero(~mask).tolist() for key, mask in kept.items() if mask is not None and not mask.all()
    }
