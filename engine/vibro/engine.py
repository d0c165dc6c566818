"""The engine: computes each view once, asks every detector for one column, calibrates, fuses, cuts."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, State, Thresholder, ViewKey, check_settings, settings_of
from vibro.audition import Trial, calm_rows, rehearse, usefulness, with_fused
from vibro.context import Context
from vibro.cuts import find_cuts, fuse, own_cuts
from vibro.data import Rows, SignalBatch, make_batch
from vibro.domain import Domain
from vibro.errors import ContractError, IncompatibleModelError, PluginError, QuorumError, ResourceError
from vibro.events import DetectorFailed, StageFinished, StageStarted, TaskFinished, TaskProgress, TaskStarted
from vibro.executor import ArrayRef, DetectorResult, FitTask, SerialExecutor, fit_task, score_task
from vibro.host import PluginHost
from vibro.plan import Plan, without_use
from vibro.scores import Calibration, Cuts, ScoreMatrix, Verdict, decide
from vibro.sentinel import ROWS as SENTINEL_ROWS
from vibro.sentinel import Sentinel, disturb, judge
from vibro.views import Cache, ViewStore, inputs_of

PROBES = 16
PROGRESS_PERIOD = 0.1  # seconds between two progress events of a task


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
                d.id, d.cls, d.settings, ctx.child(d.id), ArrayRef(), rows.fit, rows.fold,
                cross_fit=d.cls.cross_fit and not held_out, y=y if d.cls.needs_labels else None,
            )
            for d in plan.detectors
        }  # fmt: skip
        results = self._each("fit", plan, store, tasks, fit_task)
        order = [d.id for d in plan.detectors]
        survivors = [i for i in order if results[i].status == "ok"]
        states = {i: results[i].state for i in survivors}
        sentinels = self._sentinels(plan, batch, rows, store.states, states, ctx) if self.sentinels else {}
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
            trial = self._rehearse(plan, batch, rows, store.states, held, calibration, _median(z))
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
        probe_rows = _spread(rows.fit, PROBES)
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
            fusers={} if trial is None else self._rank_fusers(plan, trial, z, own, fuser.ctx),
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
        results = self._each("score", plan, store, tasks, score_task, fitted.states)
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

    def _store(self, plan: Plan, batch: SignalBatch, ctx: Context, **how: Any) -> ViewStore:
        serial = isinstance(self.executor, SerialExecutor)
        return ViewStore(
            batch,
            plan.make_extractors(ctx),
            plan.readers,
            memory=self.memory if serial else 0,
            folder=self.folder,
            cache=self.cache,
            emit=self.host.emit,
            **how,
        )

    def _each(
        self,
        stage: str,
        plan: Plan,
        store: ViewStore,
        tasks: Mapping[str, FitTask],
        work: Callable[..., DetectorResult],
        states: Mapping[str, State] | None = None,
    ) -> dict[str, DetectorResult]:
        """Runs one task a detector, ordered by view so that only the views in use are alive."""
        clock = time.perf_counter()
        self.host.emit(StageStarted(stage, len(tasks)))
        results: dict[str, DetectorResult] = {}
        running: dict[Future[DetectorResult], str] = {}
        view_of = {d.id: d.view for d in plan.detectors}
        rank = {key: i for i, key in enumerate(plan.views)}

        def drain(*, wait: bool) -> None:
            for future in [f for f in running if wait or f.done()]:
                ident = running.pop(future)
                try:
                    result = future.result()
                except BrokenExecutor:
                    raise ResourceError(
                        f"a worker process died while {ident} was at work (out of memory, or a crash in a library)",
                        hint="use --executor serial, fewer processes, or leave that detector out",
                    ) from None
                results[ident] = result
                store.release(view_of[ident])
                self.host.emit(TaskFinished(stage, ident, result.fit_seconds + result.score_seconds))

        serial = isinstance(self.executor, SerialExecutor)
        shared: dict[ViewKey, Path] = {}
        for ident in sorted(tasks, key=lambda i: rank.get(view_of[i], -1)):
            self.host.emit(TaskStarted(stage, ident))
            try:
                x = store.get(view_of[ident])
            except Exception as error:
                reason = f"view {view_of[ident]}: {type(error).__name__}: {error}"
                results[ident] = DetectorResult(ident, "failed", reason, type(error).__name__, "view")
                continue
            if serial:
                ctx = replace(tasks[ident].ctx, progress=self._progress(stage, ident))
                task = replace(tasks[ident], x=ArrayRef(x), ctx=ctx)
            else:
                if view_of[ident] not in shared:
                    shared[view_of[ident]] = self._on_disk(x)
                task = replace(tasks[ident], x=ArrayRef(path=shared[view_of[ident]]))
            extra = () if states is None else (states[ident],)
            running[self.executor.submit(work, task, *extra)] = ident
            drain(wait=False)
        drain(wait=True)
        for path in shared.values():
            rmtree(path.parent, ignore_errors=True)
        self.host.emit(StageFinished(stage, time.perf_counter() - clock))
        return results

    def _on_disk(self, x: NDArray[np.float32]) -> Path:
        """A file of this array that another process can open, for as long as the stage lasts."""
        if self.folder is None:
            raise ContractError("workers need a folder for their arrays")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = Path(mkdtemp(prefix="shared-", dir=self.folder)) / "array.npy"
        if isinstance(x, np.memmap) and x.filename is not None:
            with suppress(OSError):  # another file system, or gone: the map still holds it
                if np.load(x.filename, mmap_mode="r", allow_pickle=False).shape == x.shape:
                    os.link(x.filename, path)  # the cache may drop its entry before a worker opens it
        if not path.exists():
            np.save(path, x, allow_pickle=False)
        return path

    def _progress(self, stage: str, ident: str) -> Callable[[int, int], None]:
        last = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_PERIOD or done >= total:
                last = now
                self.host.emit(TaskProgress(stage, ident, done, total))

        return progress

    def _sentinels(
        self,
        plan: Plan,
        batch: SignalBatch,
        rows: Rows,
        views: Mapping[ViewKey, State],
        states: Mapping[str, State],
        ctx: Context,
    ) -> dict[str, Sentinel]:
        """Scores disturbed copies of a few fit records with every survivor."""
        chosen = _spread(rows.fit, SENTINEL_ROWS)
        disturbed = disturb(batch, chosen, ctx.child("sentinel").rng())
        return judge(self._score_copies(plan, disturbed, views, states, "sentinel"))

    def _rehearse(
        self,
        plan: Plan,
        batch: SignalBatch,
        rows: Rows,
        views: Mapping[ViewKey, State],
        held: Mapping[str, State],
        calibration: Calibration,
        middle: NDArray[np.float64],
    ) -> Trial | None:
        """Calm records of the lowest fold with injected faults, scored by detectors that have not seen that fold."""
        unseen = rows.fold == rows.fold.min(initial=0)
        chosen = calm_rows(batch, rows.fit[unseen], middle[unseen])
        if not len(chosen):
            return None

        def score(copies: SignalBatch) -> NDArray[np.float64]:
            found = self._score_copies(plan, copies, views, held, "audition")
            lost = np.full(len(copies), np.nan)
            raw = np.stack([found.get(ident, lost) for ident in held], axis=1)
            return calibration.apply(raw, copies.sensor, copies.covariates)

        return rehearse(batch, chosen, score, self.ctx.child("audition").seed)

    def _rank_fusers(
        self, plan: Plan, trial: Trial, z: NDArray[np.float64], own: NDArray[np.float64], ctx: Context
    ) -> dict[str, float]:
        """What every bundled fuser that needs no labels catches in the trial at the alarm budget, the best first."""
        found = {}
        for name in self.host.names("fuser"):
            cls = self.host.component("fuser", name)
            assert issubclass(cls, Fuser)
            if cls.needs_labels or self.host.owner("fuser", name).origin != "bundled":
                continue
            fuser = cls.make({}, ctx)
            fuser.fit(z, None, usefulness(trial, own) if cls.wants_audition else None)
            cut = self.make_thresholder(plan).cut(fuse(fuser, z, np.isfinite(z)), plan.ensemble.budgets.alarm)
            hurt = with_fused(trial, lambda rows, f=fuser: fuse(f, rows, np.isfinite(rows))).fused  # type: ignore[misc]
            false = float((fuse(fuser, trial.clean, np.isfinite(trial.clean)) > cut).mean())
            found[name] = float(np.maximum((hurt > cut).mean(axis=2) - false, 0.0).mean())
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def _score_copies(
        self,
        plan: Plan,
        copies: SignalBatch,
        views: Mapping[ViewKey, State],
        states: Mapping[str, State],
        what: str,
    ) -> dict[str, NDArray[np.float64]]:
        """Scores of altered records by frozen states; a detector whose view cannot take them is left out and noted."""
        ctx = replace(self.ctx, fs=copies.fs)
        part = survivors_of(plan, tuple(states))
        store = ViewStore(copies, part.make_extractors(ctx), part.readers, states=views)
        nobody = np.zeros(0, np.intp)
        scores: dict[str, NDArray[np.float64]] = {}
        for d in part.detectors:
            try:
                x = ArrayRef(store.get(d.view))
            except Exception as error:
                self.host.log(f"note: no {what} for {d.id}, its view cannot take an altered record: {error}")
                continue
            task = FitTask(d.id, d.cls, d.settings, ctx.child(d.id), x, nobody, nobody.astype(np.int8), False)
            result = score_task(task, states[d.id])
            store.release(d.view)
            if result.scores is not None:
                scores[d.id] = result.scores
        return scores

    def _check_quorum(self, plan: Plan, results: Sequence[DetectorResult]) -> None:
        """A detector that stood aside does not count; of the others the quorum must survive, and at least one."""
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


def schema_of(batch: SignalBatch) -> dict[str, Any]:
    """What a batch must share with the model that scores it."""
    return {
        "fs": batch.fs,
        "length": batch.length,
        "channels": batch.channels,
        "unit": batch.unit,
        "sensors": list(batch.sensors),
        "covariate_names": list(batch.covariate_names),
    }


def check_schema(schema: Mapping[str, Any], batch: SignalBatch) -> None:
    """IncompatibleModelError names every way in which the batch differs from what the model was fitted on."""
    problems = [
        f"{name} is {getattr(batch, name):g}, the model was fitted at {schema[name]:g}"
        for name in ("fs", "length", "channels")
        if getattr(batch, name) != schema[name]
    ]
    if batch.unit != schema["unit"]:
        problems.append(f"unit is {batch.unit}, the model was fitted on {schema['unit']}")
    if problems:
        raise IncompatibleModelError(
            f"the data do not fit the model: {'; '.join(problems)}",
            hint="vibro data convert --resample/--window makes records alike; or fit a model for these data",
        )


def survivors_of(plan: Plan, ids: Sequence[str]) -> Plan:
    """The plan with only these detectors and the views that they need."""
    detectors = tuple(d for d in plan.detectors if d.id in ids)
    needed: Counter[ViewKey] = Counter(d.view for d in detectors)
    for key in reversed(plan.views):
        if needed[key]:
            cls = plan.extractors[key]
            needed.update(inputs_of(key, cls, check_settings(cls.Params, key.settings, str(key))))
    views = tuple(key for key in plan.views if needed[key])
    return replace(plan, detectors=detectors, views=views, readers=needed)


def resolved(plan: Plan) -> dict[str, Any]:
    """The plan as the JSON of an ensemble, every parameter with its value."""
    entry = plan.ensemble
    table = settings_of(entry)
    table["detectors"] = [
        {
            "use": d.cls.name,
            "id": d.id,
            "view": _view_table(d.view),
            **settings_of(check_settings(d.cls.Params, d.settings, d.id)),
        }
        for d in plan.detectors
    ]
    return {"name": plan.name, **table}


def _absent(kept: Mapping[ViewKey, NDArray[np.bool_] | None]) -> dict[str, list[int]]:
    """Features that this sampling rate and length cannot give, by view."""
    return {
        str(key): np.flatnonzero(~mask).tolist() for key, mask in kept.items() if mask is not None and not mask.all()
    }


def _view_table(key: ViewKey) -> dict[str, Any]:
    return {"use": key.name, **key.settings}


def _by_id(batch: SignalBatch, rows: Rows) -> Rows:
    """The rows in the order of their record ids, so that the order of the input decides nothing."""
    order = np.argsort(batch.ids[rows.fit], kind="stable")
    return Rows(rows.fit[order], rows.fold[order], rows.how)


def _spread(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most this many of the rows, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.intp))]


def _median(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) median over the detectors that gave a score; NaN without any."""
    some = np.isfinite(z).any(axis=1)
    middle = np.full(len(z), np.nan)
    middle[some] = np.nanmedian(z[some], axis=1)
    return middle


def _column(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert values is not None  # a detector with status ok has its columns
    return values


def _weights(fuser: Fuser, d: int) -> NDArray[np.float64]:
    weights = fuser.weights()
    return np.full(d, 1.0 / d) if weights is None else np.asarray(weights, np.float64)
