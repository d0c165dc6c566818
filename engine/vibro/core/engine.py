"""The engine: computes each view once, asks every detector for one column, calibrates, fuses, cuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, Thresholder, ViewKey, without_use
from vibro.context import Context
from vibro.core.executors import SerialExecutor
from vibro.core.fitted import FittedEnsemble
from vibro.core.folds import Rows, spread
from vibro.core.plan import Plan, survivors_of
from vibro.core.scheduler import Crew
from vibro.core.views import Cache, ViewStore
from vibro.core.worker import ArrayRef, DetectorResult, FitTask, fit_task, score_task
from vibro.data import SignalBatch, check_schema, make_batch, schema_of
from vibro.errors import IncompatibleModelError, PluginError, QuorumError
from vibro.events import DetectorFailed
from vibro.host.manager import PluginHost
from vibro.injection.replay import Trials, rank_fusers
from vibro.injection.trial import usefulness, with_fused
from vibro.scoring.calibration import median
from vibro.scoring.domain import Domain
from vibro.scoring.thresholds import find_cuts, fuse, own_cuts
from vibro.scoring.verdict import Calibration, ScoreMatrix, Verdict, decide

PROBES = 16


class Engine:
    """Fits and applies ensembles; it knows components by their contracts and neither files nor terminals."""

    def __init__(
        self,
        host: PluginHost,
        ctx: Context,
        *,
        executor: Executor | None = None,
        memory: int = 1 << 30,
        folder: Path | None = None,
        cache: Cache | None = None,
        audition: bool = True,
        sentinels: bool = True,
    ) -> None:
        self.host = host
        self.ctx = ctx
        self.executor = executor or SerialExecutor()
        self.memory = memory
        self.folder = folder
        self.cache = cache
        self.audition = audition
        self.sentinels = sentinels

    # --- fit ----------------------------------------------------------------------------------------------------------

    def run(
        self, plan: Plan, batch: SignalBatch, rows: Rows, y: NDArray[np.int16] | None = None
    ) -> tuple[FittedEnsemble, ScoreMatrix]:
        """Fits on ``rows`` and scores the whole batch with the frozen result; ``y`` (n,) only reaches learners of labels."""
        rows = _by_id(batch, rows)
        ctx = replace(self.ctx, fs=batch.fs)
        store = self._store(plan, batch, ctx, fit_rows=rows.fit)
        held_out = plan.ensemble.calibration.on == "held-out"
        tasks = {
            d.id: FitTask(
                d.id, d.cls, d.settings, ctx.child(d.id), ArrayRef(), rows.fit, rows.fold, group=rows.group,
                cross_fit=d.cls.cross_fit and not held_out, y=y if d.cls.needs_labels else None,
            )
            for d in plan.detectors
        }  # fmt: skip
        results = self._crew.run("fit", plan, store, tasks, fit_task)
        order = [d.id for d in plan.detectors]
        survivors = [i for i in order if results[i].status == "ok"]
        states = {i: results[i].state for i in survivors}
        trials = Trials(plan, batch, rows, store.states, self.ctx, self.host.log)
        sentinels = trials.sentinels(states) if self.sentinels else {}
        for ident, sentinel in sentinels.items():
            if not sentinel.passed:
                reason = f"insensitive: no injected disturbance raised its score (margin {sentinel.margin:.2f})"
                results[ident] = replace(results[ident], status="excluded", reason=reason)
        survivors = [i for i in survivors if results[i].status == "ok"]
        self._check_quorum(plan, [results[i] for i in order])
        for i in order:
            if results[i].status != "ok":
                phase = "excluded" if results[i].status == "excluded" else results[i].phase
                plugin = next(d.plugin for d in plan.detectors if d.id == i)
                self.host.emit(DetectorFailed(i, plugin, phase, results[i].reason))

        column = [_column(results[i].reference) for i in survivors]
        reference = np.stack(column, axis=1)
        sensor = batch.sensor[rows.fit]
        entry = plan.ensemble.calibration
        calibration, z = Calibration.fit(
            reference, sensor, len(batch.sensors), entry.method, entry.clip, batch.covariates[rows.fit]
        )
        given = np.isfinite(z).mean(axis=1)
        usable = given >= min(plan.ensemble.quorum, given.max(initial=0.0))
        held = {i: results[i].held for i in survivors}
        thresholder = self.make_thresholder(plan)
        trial = None
        if self.audition or plan.fuser.wants_audition:
            trial = trials.audition(held, calibration, median(z))
        z, sensor = z[usable], sensor[usable]
        own = own_cuts(thresholder, z, plan.ensemble.budgets.alarm)
        fuser = self._fuser(plan, survivors)
        fuser.fit(
            z,
            None if y is None or not fuser.needs_labels else y[rows.fit][usable],
            usefulness(trial, own) if trial is not None and fuser.wants_audition else None,
        )
        fused = fuse(fuser, z, np.isfinite(z))
        cuts, details = find_cuts(thresholder, fused, plan.ensemble.budgets, own, self.ctx.child("resample").seed)

        raw = np.stack([_column(results[i].scores) for i in survivors], axis=1)
        matrix = self._matrix(tuple(survivors), batch, raw, calibration)
        probe_rows = spread(rows.fit, PROBES)
        fitted = FittedEnsemble(
            plan=plan,
            schema={**schema_of(batch), "absent_features": _absent(store.kept)},
            seed=self.ctx.seed,
            states={i: states[i] for i in survivors},
            views={key: store.states[key] for key in plan.views if key in store.states},
            calibration=calibration,
            domain=Domain.fit(batch.covariates[rows.fit], batch.sensor[rows.fit], len(batch.sensors)),
            fuser_state=fuser.state(),
            weights=_weights(fuser, len(survivors)),
            cuts=cuts,
            reference={"z": z, "fused": fused, "sensor": sensor},
            probes={
                "x": np.array(batch.x[probe_rows]),
                "sensor": batch.sensor[probe_rows],
                "covariates": batch.covariates[probe_rows],
                "raw": raw[probe_rows],
                "fused": fuse(fuser, matrix.z[probe_rows], matrix.ok[probe_rows]),
            },
            results=tuple(replace(results[i], state={}, held={}, reference=None, scores=None) for i in order),
            sentinels=sentinels,
            notes=tuple(fuser.notes()),
            cut_details=details,
            trial=None if trial is None else with_fused(trial, lambda rows: fuse(fuser, rows, np.isfinite(rows))),
            fusers={}
            if trial is None
            else rank_fusers(self.host, fuser.ctx, trial, z, own, thresholder, plan.ensemble.budgets.alarm),
            rows={"fit": len(rows.fit), "reference": len(fused), "how": rows.how},
        )
        return fitted, matrix

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
        raw, failed = self._raw(fitted, batch)
        return self._matrix(fitted.detectors, batch, raw, fitted.calibration), failed

    def decide(self, fitted: FittedEnsemble, matrix: ScoreMatrix, batch: SignalBatch) -> Verdict:
        """Fuses and cuts with what the model stores."""
        fused = fuse(self.make_fuser(fitted), matrix.z, matrix.ok)
        reference = fitted.reference["fused"]
        quorum = fitted.plan.ensemble.quorum
        unseen = self.unseen(fitted, batch)
        return decide(matrix, fused, fitted.weights, fitted.cuts, reference, batch.valid, quorum, unseen)

    def unseen(self, fitted: FittedEnsemble, batch: SignalBatch) -> NDArray[np.bool_]:
        """(n,) records in operating states beyond those that the model was fitted on."""
        coded = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
        return fitted.domain.beyond(coded.covariates, coded.sensor)

    def verify(self, fitted: FittedEnsemble, versions: str = "") -> None:
        """Runs the stored probes; IncompatibleModelError names the detector whose scores have changed."""
        probes, schema = fitted.probes, fitted.schema
        n = len(probes["x"])
        batch = replace(
            make_batch(probes["x"], fs=schema["fs"], unit=schema["unit"]),
            sensor=probes["sensor"].astype(np.int32),
            sensors=tuple(schema["sensors"]),
            covariates=probes["covariates"],
            covariate_names=tuple(schema["covariate_names"]),
        )
        raw, failed = self._raw(fitted, batch)
        if failed:
            raise PluginError(f"detector {failed[0].id} failed on the probes of the model: {failed[0].reason}")
        absent = dict(fitted.plan.absent)
        for j, ident in enumerate(fitted.detectors):
            if ident not in absent and not np.allclose(
                raw[:, j], probes["raw"][:, j], rtol=1e-5, atol=1e-8, equal_nan=True
            ):
                worst = float(np.nanmax(np.abs(raw[:, j] - probes["raw"][:, j])))
                raise IncompatibleModelError(
                    f"detector {ident} gives other scores than when it was fitted"
                    f" (largest difference {worst:.3g} on {n} probe records){versions}",
                    hint="score with the versions in the model's manifest.json, or fit again",
                )
        probed = np.where(np.isnan(raw), probes["raw"], raw)  # where a plugin is missing, the fuser is still probed
        matrix = self._matrix(fitted.detectors, batch, probed, fitted.calibration)
        fused = fuse(self.make_fuser(fitted), matrix.z, matrix.ok)
        if not np.allclose(fused, probes["fused"], rtol=1e-5, atol=1e-8, equal_nan=True):
            raise IncompatibleModelError(
                f"calibration or fuser give other scores than when they were fitted{versions}", hint="fit again"
            )

    def _raw(
        self, fitted: FittedEnsemble, batch: SignalBatch
    ) -> tuple[NDArray[np.float64], tuple[DetectorResult, ...]]:
        """Scores (n, d) of the survivors, NaN where one failed, and what the failed ones said."""
        ctx = replace(self.ctx, fs=batch.fs, seed=fitted.seed)
        plan = survivors_of(fitted.plan, fitted.detectors)
        store = self._store(plan, batch, ctx, states=fitted.views)
        nobody = np.zeros(0, np.intp)
        tasks = {
            d.id: FitTask(d.id, d.cls, d.settings, ctx.child(d.id), ArrayRef(), nobody, nobody.astype(np.int8), False)
            for d in plan.detectors
        }
        results = self._crew.run("score", plan, store, tasks, score_task, fitted.states)
        failed = tuple(r for r in results.values() if r.status != "ok")
        for r in failed:
            self.host.emit(DetectorFailed(r.id, "", "score", r.reason))
        if len(failed) == len(results):
            told = [f"{r.id}: {r.reason}" for r in failed] or [f"{i}: {why}" for i, why in fitted.plan.absent]
            raise QuorumError(f"no detector could score: {told[0]}", hint="vibro plugins list")
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
        table = plan.ensemble.thresholder
        return plan.thresholder.make(
            without_use(table), self.ctx.child(f"thresholder:{table['use']}"), where="thresholder"
        )

    def _fuser(self, plan: Plan, names: Sequence[str]) -> Fuser:
        table = plan.ensemble.fuser
        ctx = replace(self.ctx.child(f"fuser:{table['use']}"), names=tuple(names))
        return plan.fuser.make(without_use(table), ctx, where="fuser")

    @property
    def _crew(self) -> Crew:
        return Crew(self.executor, self.folder, self.host.emit)

    def _store(self, plan: Plan, batch: SignalBatch, ctx: Context, **how: Any) -> ViewStore:
        return ViewStore(
            batch,
            plan.make_extractors(ctx),
            plan.readers,
            memory=self.memory if self._crew.serial else 0,
            folder=self.folder,
            cache=self.cache,
            emit=self.host.emit,
            **how,
        )

    def _check_quorum(self, plan: Plan, results: Sequence[DetectorResult]) -> None:
        """A skipped detector does not count; of the others the quorum must survive, and at least one."""
        ok = [r for r in results if r.status == "ok"]
        lost = len(plan.absent) + sum(r.status == "failed" for r in results)
        reasons = Counter(f"{r.reason}" for r in results if r.status != "ok")
        told = "; ".join(reasons)
        if not ok:
            raise QuorumError(
                f"no detector could be used: {told}", hint="give more records, or vibro ensemble show NAME"
            )
        if len(ok) / (len(ok) + lost) < plan.ensemble.quorum:
            raise QuorumError(
                f"{lost} of {len(ok) + lost} detectors failed, which leaves less than the quorum of"
                f" {plan.ensemble.quorum:g}: {told}",
                hint="vibro plugins list",
            )

    def _matrix(
        self, ids: tuple[str, ...], batch: SignalBatch, raw: NDArray[np.float64], calibration: Calibration
    ) -> ScoreMatrix:
        z = calibration.apply(raw, batch.sensor, batch.covariates)
        return ScoreMatrix(ids, batch.ids, raw, z, np.isfinite(z))


def _absent(kept: Mapping[ViewKey, NDArray[np.bool_] | None]) -> dict[str, list[int]]:
    """Features that this sampling rate and length cannot give, by view."""
    return {
        str(key): np.flatnonzero(~mask).tolist() for key, mask in kept.items() if mask is not None and not mask.all()
    }


def _by_id(batch: SignalBatch, rows: Rows) -> Rows:
    """The rows in the order of their record ids, so that the order of the input decides nothing."""
    order = np.argsort(batch.ids[rows.fit], kind="stable")
    return Rows(rows.fit[order], rows.fold[order], rows.how, rows.group[order])


def _column(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert values is not None  # a detector with status ok has its columns
    return values


def _weights(fuser: Fuser, d: int) -> NDArray[np.float64]:
    weights = fuser.weights()
    return np.full(d, 1.0 / d) if weights is None else np.asarray(weights, np.float64)
