"""``vibro ensemble run`` and ``vibro score``: fit or load, score, decide, and write every file of the run."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import summary
from vibro.benchmark.evaluate import evaluate
from vibro.context import Context, make_deterministic, resolve_device
from vibro.cuts import named_cuts
from vibro.data import Rows, SignalBatch
from vibro.engine import Engine, FittedEnsemble, resolved
from vibro.errors import ConfigError, PluginError, QuorumError
from vibro.executor import make_executor, resolve_executor
from vibro.host import PluginHost, PluginInfo, describe
from vibro.jobs.job import Input, Job, check_input, job, read_input, rows_to_fit
from vibro.jobs.options import DataOptions, RunOptions, settings
from vibro.machines import machine_rows
from vibro.model import MODEL, load_model, model_folder, save_model, verify_model
from vibro.overrides import customise, find_ensemble
from vibro.paths import cache_folder
from vibro.plan import Plan, make_plan
from vibro.report import write_report
from vibro.schema import check_schema
from vibro.scores import INDETERMINATE, INVALID, LEVELS, Cuts, ScoreMatrix, Verdict
from vibro.store import manifest, tables
from vibro.store.index import index_state
from vibro.store.rundir import RunDir, check_free, real_path
from vibro.store.viewcache import ViewCache
from vibro.tensors import encode_text, save_tensors

SCORES = "stages/50-score/scores.safetensors"
LONG_RUN = 300.0  # seconds above which the printed plan names a shorter way


def run_ensemble(
    host: PluginHost,
    data: DataOptions,
    options: RunOptions,
    out: Path,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Reads, fits, scores, fuses, cuts, writes OUT; returns the summary."""
    name, table = find_ensemble(host.registry, options.ensemble)
    table = customise(host, table, detectors=options.detectors, sets=options.sets, budget=options.budget)
    plan = make_plan(host, name, table, allow_missing=options.allow_missing)
    device = resolve_device(options.device)
    if options.deterministic:
        make_deterministic()
    learners = learners_of(plan)
    if learners and data.labels is None:
        raise ConfigError(f"{', '.join(learners)} learns from labels", hint="give --labels FILE")
    check_input(data, options.fit_on)
    options = replace(options, executor=resolve_executor(options.executor, plan.seconds_a_thousand(), device))
    with make_executor(options.executor) as executor, job(host, out, options) as work:
        work.parts |= {"device": device, "ensemble": resolved(plan), "settings": settings(data, options)}
        work.parts["plugins"] = describe(plugins_of(host, plan))
        got = read_input(work, data)
        batch = got.batch
        rows = rows_to_fit(batch, got.labels, options.fit_on)
        for line in forecast(plan, batch, rows, options.executor):
            say(line)
        scratch = work.run.path / "stages" / "work"
        ctx = Context(seed=options.seed, device=device, fs=batch.fs, scratch=scratch / "fits")
        engine = Engine(
            host,
            ctx,
            executor=executor,
            memory=options.memory,
            folder=scratch,
            cache=ViewCache(cache_folder() / "views"),
        )
        y = got.labels.y if got.labels is not None and learners else None
        with work.stage("detect"):
            fitted, matrix = engine.run(plan, batch, rows, y)
        failed = [r for r in fitted.results if r.status == "failed"]
        if failed and not options.allow_missing:
            raise PluginError(
                f"detector {failed[0].id} failed in {failed[0].phase}: {failed[0].reason}",
                hint="--allow-missing goes on without it as long as the quorum holds",
            )
        work.parts["rows"] = fitted.rows
        if y is not None:
            labelled = int((y[rows.fit] >= 0).sum())
            work.parts["supervised"] = {"learners": learners, "labels": str(data.labels), "rows": labelled}
        with work.stage("fuse"):
            verdict = engine.decide(fitted, matrix, batch)
            save_model(work.run.path / MODEL, fitted, manifest.libraries(), got.ingested.mains_hz)
        work.parts["decisions"] = [
            decision(plan.ensemble.thresholder["use"], asdict(plan.ensemble.budgets), fitted.cuts)
        ]
        return finish(work, got, fitted, matrix, verdict)


def learners_of(plan: Plan) -> list[str]:
    """Parts of a plan that learn from labels; ConfigError for a thresholder, whose cut belongs to known records."""
    found = [d.id for d in plan.detectors if d.cls.needs_labels]
    if plan.thresholder.needs_labels:
        raise ConfigError(
            f"thresholder {plan.thresholder.name} learns from labels, which a run does not",
            hint=f"after the run: vibro threshold RUN --method {plan.thresholder.name} --labels FILE",
        )
    return found + ([f"fuser {plan.fuser.name}"] if plan.fuser.needs_labels else [])


def plugins_of(host: PluginHost, plan: Plan) -> list[PluginInfo]:
    """Every plugin that a plan's components come from, readers included."""
    used = [("detector", d.cls.name) for d in plan.detectors] + [("feature", key.name) for key in plan.views]
    used += [("fuser", plan.fuser.name), ("thresholder", plan.thresholder.name)]
    used += [("reader", name) for name in host.names("reader")]
    return [host.plugins[name] for name in sorted({host.owner(*item).name for item in used})]


def finish(work: Job, got: Input, fitted: FittedEnsemble, matrix: ScoreMatrix, verdict: Verdict) -> dict[str, Any]:
    """Writes every table, the summary, the report and the manifest of a run or of ``vibro score``."""
    run, options, batch = work.run, work.options, got.batch
    with work.stage("write"):
        with run.stage("50-score", batch.fingerprint) as stage:
            save_tensors(stage.path / "scores.safetensors", stored_scores(batch, fitted, matrix, verdict))
        write_tables(run, batch, matrix, verdict, fitted.cuts, bom=options.csv_bom)
        for name in ("10-ingest", "work"):
            shutil.rmtree(run.path / "stages" / name, ignore_errors=True)
    metrics = None
    if got.labels is not None:
        learned = "supervised" in work.parts
        metrics = evaluate(
            batch,
            got.labels,
            verdict,
            matrix,
            budget=fitted.plan.ensemble.budgets.alarm,
            seed=options.seed,
            learned_from=learned,
        )
        if learned:
            metrics["warnings"].append("the run learned from these labels: the figures on them are optimistic")
    found = summary.build(
        batch=batch,
        records=got.ingested.accounting.summary(),
        signal=signal_of(got),
        fitted=fitted,
        matrix=matrix,
        verdict=verdict,
        metrics=metrics,
        warnings=got.warnings,
        timings={**work.timings, "total": time.perf_counter() - work.clock},
        resources=resources(work.parts.get("device", "cpu")),
    )
    work.parts["failures"] = found["failures"]
    run.write_json("summary.json", found)
    if options.report:
        work.write_manifest("interrupted")
        with work.stage("report"):
            write_report(run.path, run.path / "report.html", lang=options.lang)
        found["timings"]["report"] = work.timings["report"]
        run.write_json("summary.json", found)
    work.end("complete")
    return found


def write_tables(
    run: RunDir, batch: SignalBatch, matrix: ScoreMatrix, verdict: Verdict, cuts: Cuts, *, bom: bool
) -> None:
    """scores.csv, scores.parquet and machines.csv."""
    columns: dict[str, NDArray[Any]] = {
        "record_id": batch.ids,
        "source": np.array(batch.sources, dtype=np.str_)[batch.source],
        "row": batch.row,
        "sensor_id": np.array(batch.sensors, dtype=np.str_)[batch.sensor],
        "data_time": batch.time,
        "score": verdict.score,
        "p_value": verdict.p_value,
        "level": np.array(LEVELS)[verdict.level],
        "agreement": verdict.agreement,
        "confidence": verdict.confidence,
    }
    columns |= {f"z_{ident}": matrix.z[:, j] for j, ident in enumerate(matrix.detectors)}
    tables.write_scores(run.path, columns, bom=bom)
    tables.write_machines(run.path, machine_rows(batch, verdict, cuts), bom=bom)


def stored_scores(batch: SignalBatch, fitted: FittedEnsemble, matrix: ScoreMatrix, verdict: Verdict) -> dict[str, Any]:
    """All that deciding anew needs, without samples and without the model."""
    return {
        **index_state(batch),
        "raw": matrix.raw,
        "z": matrix.z,
        "fused": verdict.score,
        "unseen": verdict.unseen,
        "level": verdict.level,
        "weights": fitted.weights,
        "own_cuts": fitted.cuts.own,
        "resampled_cuts": fitted.cuts.resampled,
        "reference_z": fitted.reference["z"],
        "reference_fused": fitted.reference["fused"],
        **({f"trial/{name}": a for name, a in fitted.trial.state().items()} if fitted.trial else {}),
        "model_sensors": encode_text(fitted.schema["sensors"]),
        "detectors": encode_text(fitted.detectors),
        "quorum": np.asarray(fitted.plan.ensemble.quorum),
    }


def score_data(host: PluginHost, model: Path, data: DataOptions, options: RunOptions, out: Path) -> dict[str, Any]:
    """Scores data with a frozen model into OUT; nothing is fitted."""
    target, source = real_path(out), real_path(model_folder(model))
    if target in (source, source.parent) or source in target.parents:
        raise ConfigError(f"-o {out} is where the model lies; scoring never changes it", hint="choose another -o")
    check_free(out, force=options.force)
    fitted, meta = load_model(host, model, allow_missing=options.allow_missing)
    device = resolve_device(options.device)
    engine = Engine(host, Context(seed=fitted.seed, device=device), memory=options.memory)
    verify_model(engine, fitted, meta, manifest.libraries())
    check_input(data, "all")
    with make_executor(options.executor) as executor, job(host, out, options) as work:
        work.parts |= {"device": device, "ensemble": resolved(fitted.plan), "seed": fitted.seed, "rows": fitted.rows}
        work.parts["settings"] = {**settings(data, options), "model": {"path": str(model), "digest": meta["digest"]}}
        work.parts["plugins"] = describe(plugins_of(host, fitted.plan))
        got = read_input(work, data)
        check_schema(fitted.schema, got.batch)
        engine = Engine(
            host,
            Context(seed=fitted.seed, device=device, fs=got.batch.fs),
            executor=executor,
            memory=options.memory,
            folder=work.run.path / "stages" / "work",
            cache=ViewCache(cache_folder() / "views"),
        )
        with work.stage("detect"):
            matrix, failed = engine.score_survivors(fitted, got.batch)
        if failed and not options.allow_missing:
            raise PluginError(
                f"detector {failed[0].id} failed in score: {failed[0].reason}",
                hint="--allow-missing goes on without it",
            )
        lost = {r.id: r for r in failed}
        fitted = replace(fitted, results=tuple(lost.get(r.id, r) for r in fitted.results))
        with work.stage("fuse"):
            verdict = engine.decide(fitted, matrix, got.batch)
        check_judged(verdict, fitted)
        work.parts["decisions"] = [
            decision(fitted.plan.ensemble.thresholder["use"], asdict(fitted.plan.ensemble.budgets), fitted.cuts)
        ]
        return finish(work, got, fitted, matrix, verdict)


def check_judged(verdict: Verdict, fitted: FittedEnsemble) -> None:
    """QuorumError if there are records with good data and not one of them got enough scores for a verdict."""
    open_to_judge = verdict.level != INVALID
    if open_to_judge.any() and (verdict.level[open_to_judge] == INDETERMINATE).all():
        absent = [ident for ident, _ in fitted.plan.absent] + [r.id for r in fitted.results if r.status == "failed"]
        raise QuorumError(
            f"no record got a verdict: less than the quorum of {fitted.plan.ensemble.quorum:g} of the weight is left"
            + (f" without {', '.join(dict.fromkeys(absent))}" if absent else ""),
            hint="vibro plugins list",
        )


def forecast(plan: Plan, batch: SignalBatch, rows: Rows, executor: str) -> list[str]:
    """What is about to be done, and how long and how large it will be about."""
    size = len(batch) / 1000 * batch.length * batch.channels / 8192
    workers = int(executor.partition("processes:")[2] or 1)
    seconds = 3.0 + size * plan.seconds_a_thousand() / workers
    megabytes = 450 * (workers if workers == 1 else 1 + workers) + 3 * len(batch) * 4800 / 1e6
    lines = [
        f"{len(batch)} records of {batch.length} samples at {batch.fs:g} Hz, {len(batch.sensors)} sensors,"
        f" {len(batch.machines)} machines; fitting on {len(rows.fit)} ({rows.how})",
        f"ensemble {plan.name}: {len(plan.detectors)} detectors on {len(plan.views)} views;"
        f" about {_duration(seconds)} and {megabytes:.0f} MB",
    ]
    if seconds > LONG_RUN and plan.name != "quick":
        lines.append("the short way: --ensemble quick")
    return lines


def signal_of(got: Input) -> dict[str, Any]:
    """The ``signal`` part of the summary."""
    batch = got.batch
    return {
        "fs": batch.fs,
        "fs_source": got.ingested.fs_source,
        "unit": batch.unit,
        "length": batch.length,
        "channels": batch.channels,
        "mains_hz": got.ingested.mains_hz,
    }


def resources(device: str) -> dict[str, Any]:
    """Peak memory of this process, device and threads."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    return {
        "max_rss_mb": peak / (1024 if sys.platform == "darwin" else 1),
        "device": device,
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count(),
    }


def decision(
    method: str, budgets: Mapping[str, float], cuts: Cuts, learned: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One entry of the manifest's decisions; ``learned``: the labels that the cuts come from."""
    return {
        **({"learned": dict(learned)} if learned else {}),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": method,
        "budget": dict(budgets),
        "cuts": named_cuts(cuts),
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
