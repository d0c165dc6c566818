"""The files that a fit, a scoring or a new threshold leaves in its run directory."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.evaluate import evaluate
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.plan import Plan
from vibro.data import SignalBatch, encode
from vibro.host.discovery import PluginInfo
from vibro.host.manager import PluginHost
from vibro.io.tensors import encode_text, save_tensors
from vibro.report import Signals, write_report
from vibro.runs import summary
from vibro.runs.attribution import maps_of
from vibro.runs.choice import Cutting, advice
from vibro.runs.diagnosis import first_hypotheses, with_hypotheses
from vibro.runs.session import Input, Job
from vibro.scoring.cases import case_rows
from vibro.scoring.machines import machine_rows
from vibro.scoring.regression import sensor_rows
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import LEVELS, REASONS, ScoreMatrix, Verdict
from vibro.store import tables
from vibro.store.index import index_state
from vibro.store.marks import marks_state, read_marks, write_marks
from vibro.store.rundir import RunDir


def plugins_of(host: PluginHost, plan: Plan) -> list[PluginInfo]:
    """Every plugin that a plan's components come from, readers included."""
    used = [("detector", d.cls.name) for d in plan.detectors] + [("feature", key.name) for key in plan.views]
    used += [("fuser", plan.fuser.name), ("thresholder", plan.thresholder.name)]
    used += [("reader", name) for name in host.names("reader")]
    return [host.plugins[name] for name in sorted({host.owner(*item).name for item in used})]


def finish(
    work: Job,
    got: Input,
    fitted: FittedEnsemble,
    report: FitReport,
    matrix: ScoreMatrix,
    verdict: Verdict,
    fit_rows: NDArray[np.intp] | None = None,
) -> dict[str, Any]:
    """Writes every table, the summary, the report and the manifest of a run, which fitted ``fit_rows``, or of ``vibro score``."""
    run, options, batch = work.run, work.options, got.batch
    train = rows_fitted(batch, fit_rows)
    machines = machine_rows(batch, verdict, fitted.cuts)
    cases = case_rows(batch, verdict, machines)
    with work.stage("diagnose"):
        hypotheses = first_hypotheses(batch, verdict, got.machines, got.ingested.mains_hz, cases)
    cases = with_hypotheses(cases, hypotheses)
    with work.stage("write"):
        with run.stage("50-score", batch.fingerprint) as stage:
            kept = stored_scores(batch, fitted, report, matrix, verdict) | stored_truth(got, train)
            if fit_rows is not None:
                kept |= held_out_scores(batch, fitted, matrix, verdict, fit_rows)
            save_tensors(stage.path / "scores.safetensors", kept)
        write_tables(run, batch, matrix, verdict, machines, cases, bom=options.csv_bom)
        if labelled := read_marks(run.out):  # the user's word outlives the run that it was said of
            write_marks(run.path, list(labelled.values()), bom=options.csv_bom)
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
            train=train,
        )
        if learned:
            metrics["warnings"].append("the run learned from these labels: the figures on them are optimistic")
    found = summary.build(
        batch=batch,
        records=got.ingested.accounting.summary(),
        signal=signal_of(got),
        fitted=fitted,
        report=report,
        matrix=matrix,
        verdict=verdict,
        machines=machines,
        cases=cases,
        advice=advised(work.host, fitted, report),
        metrics=metrics,
        warnings=got.warnings,
        fit_spans=fit_spans(batch, train),
        machines_known={sensor: machine.table for sensor, machine in got.machines.items()},
        hypotheses=hypotheses,
        timings={**work.timings, "total": time.perf_counter() - work.clock},
        resources=resources(work.parts.get("device", "cpu")),
    )
    work.parts["failures"] = found["failures"]
    run.write_json("summary.json", found)
    if options.report:
        work.write_manifest("interrupted")
        with work.stage("report"):
            write_report(
                run.path, run.path / "report.html", options.lang, samples_of(batch), maps_of(work.host, fitted)
            )
        found["timings"]["report"] = work.timings["report"]
        run.write_json("summary.json", found)
    work.end("complete")
    return found


def advised(host: PluginHost, fitted: FittedEnsemble, report: FitReport) -> list[str]:
    """What injected faults say about the cuts."""
    if report.trial is None:
        return []
    entry, scores = fitted.plan.ensemble, fitted.reference["cut"]
    cutting = Cutting(host, report.trial, scores, entry.thresholder, entry.budgets, fitted.seed)
    return advice(cutting, fitted.cuts.alarm)


def write_tables(
    run: RunDir,
    batch: SignalBatch,
    matrix: ScoreMatrix,
    verdict: Verdict,
    machines: list[dict[str, Any]],
    cases: list[dict[str, Any]],
    *,
    bom: bool,
) -> None:
    """scores.csv, scores.parquet, machines.csv and cases.csv."""
    tables.write_scores(run.path, score_columns(batch, matrix, verdict), bom=bom)
    tables.write_machines(run.path, machines, bom=bom)
    tables.write_cases(run.path, cases, bom=bom)


def score_columns(batch: SignalBatch, matrix: ScoreMatrix, verdict: Verdict) -> dict[str, NDArray[Any]]:
    """The columns of scores.csv."""
    columns: dict[str, NDArray[Any]] = {
        "record_id": batch.ids,
        "source": np.array(batch.sources, dtype=np.str_)[batch.source],
        "row": batch.row,
        "sensor_id": np.array(batch.sensors, dtype=np.str_)[batch.sensor],
        "data_time": batch.time,
        "score": verdict.score,
        "persistent_score": verdict.persistent,
        "p_value": verdict.p_value,
        "level": np.array(LEVELS)[verdict.level],
        "reason": np.array(REASONS)[verdict.reason],
        "agreement": verdict.agreement,
        "confidence": verdict.confidence,
    }
    return columns | {f"z_{ident}": matrix.z[:, j] for j, ident in enumerate(matrix.detectors)}


def stored_scores(
    batch: SignalBatch, fitted: FittedEnsemble, report: FitReport, matrix: ScoreMatrix, verdict: Verdict
) -> dict[str, Any]:
    """All that deciding anew needs, without samples and without the model."""
    assert matrix.look is not None  # scoring has seen to it
    return {
        **index_state(batch),
        "raw": matrix.raw,
        "z": matrix.z,
        "signature": matrix.look.signature,
        "group": matrix.look.group,
        **{f"marks/{name}": a for name, a in marks_state(fitted.marks).items()},
        "fused": verdict.score,
        "persistent": verdict.persistent,
        "unseen": verdict.unseen,
        "level": verdict.level,
        "weights": fitted.weights,
        "own_cuts": fitted.cuts.own,
        "resampled_cuts": fitted.cuts.resampled,
        "reference_z": fitted.reference["z"],
        **{f"reference_{name}": fitted.reference[name] for name in ("fused", "cut")},
        **({f"trial/{name}": a for name, a in report.trial.state().items()} if report.trial else {}),
        "model_sensors": encode_text(fitted.schema["sensors"]),
        "detectors": encode_text(fitted.detectors),
        "quorum": np.asarray(fitted.plan.ensemble.quorum),
    }


def held_out_scores(
    batch: SignalBatch, fitted: FittedEnsemble, matrix: ScoreMatrix, verdict: Verdict, fit_rows: NDArray[np.intp]
) -> dict[str, Any]:
    """Scores of all records by detectors that had not seen them, z (n, d), fused (n,) and persistent (n,), NaN where there
    is none; and the mask (n,) of the records that were fitted."""
    z, fused = matrix.z.copy(), verdict.score.copy()
    z[fit_rows], fused[fit_rows] = np.nan, np.nan
    rows = fitted.reference["row"]
    z[rows], fused[rows] = fitted.reference["z"], fitted.reference["fused"]
    persistent = fitted.persistence.apply(batch, fused, fitted.schema["periods"])
    scores = {"held_out_z": z, "held_out_fused": fused, "held_out_persistent": persistent}
    return {**scores, "fit_rows": np.isin(np.arange(len(z)), fit_rows)}


def rows_fitted(batch: SignalBatch, fit_rows: NDArray[np.intp] | None) -> NDArray[np.bool_] | None:
    """(n,) rows that were fitted on; None where no record that could be fitted on was left out."""
    if fit_rows is None:
        return None
    fitted = np.isin(np.arange(len(batch)), fit_rows)
    return fitted if (batch.valid & ~fitted).any() else None


def fit_spans(batch: SignalBatch, train: NDArray[np.bool_] | None) -> dict[str, list[Any]]:
    """First and last time of each sensor's fit rows where these are a part of the run; empty where all were fitted on."""
    if train is None:
        return {}
    spans = {}
    for code, rows in enumerate(sensor_rows(batch.sensor)):
        time = batch.time[rows[train[rows]]]
        if len(time) and not np.isnat(time).any():
            spans[batch.sensors[code]] = [time.min(), time.max()]
    return spans


def samples_of(batch: SignalBatch) -> Signals:
    """The samples of a batch by record id, for the evidence of its report."""

    def read(ids: Sequence[str]) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
        wanted = set(ids)
        return {str(ident): np.asarray(batch.x[i]) for i, ident in enumerate(batch.ids) if ident in wanted}, []

    return read


def stored_truth(got: Input, train: NDArray[np.bool_] | None) -> dict[str, Any]:
    """What judging other cuts against the labels needs: nothing where none were given."""
    if got.labels is None:
        return {}
    codes, names = encode(got.labels.fault_type.tolist())
    fitted = np.zeros(len(codes), np.bool_) if train is None else train
    return {"label": got.labels.y, "fault": codes, "faults": encode_text(names), "fitted": fitted}


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
        "cuts": cuts.named,
    }
