"""``vibro classify``: the class of each record by a model of ``vibro finetune``."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import ViewKey
from vibro.context import Context, resolve_device
from vibro.core.engine import Engine
from vibro.core.executors import make_executor
from vibro.core.plan import resolved
from vibro.data import SignalBatch, check_schema, earlier_than
from vibro.errors import ConfigError, IncompatibleModelError, StateError
from vibro.host.discovery import describe
from vibro.host.manager import PluginHost
from vibro.ingest.tables import Labels
from vibro.io.paths import cache_folder
from vibro.runs.finetune import combined
from vibro.runs.model import load_model, model_folder, verify_model
from vibro.runs.options import DataOptions, RunOptions, settings
from vibro.runs.outputs import plugins_of, resources, signal_of
from vibro.runs.score import unknown_sensors
from vibro.runs.session import check_input, job, read_input
from vibro.runs.student import Student, make_recipe, read_rows, student_of
from vibro.scoring.certainty import Calibrated, Known, conformal_cuts, decided
from vibro.scoring.holdout import class_table, confusion
from vibro.scoring.marks import Look
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, LEVELS, Verdict
from vibro.store import bundle, manifest, tables
from vibro.store.marks import marks_in, read_marks
from vibro.store.place import check_free, real_path
from vibro.store.viewcache import ViewCache

UNKNOWN = "unknown"
COLUMNS = ("record_id", "source", "row", "sensor_id", "data_time", "class", "confidence", "level", "set")


def classify_data(
    host: PluginHost, model: Path, data: DataOptions, options: RunOptions, out: Path, error: float = 0.1
) -> dict[str, Any]:
    """Scores and classifies data into OUT; nothing is fitted. Gives the summary.

    ``error``: share of the records of a class whose set of classes may lack it. IncompatibleModelError for a model without
    a classifier.
    """
    target, source = real_path(out), real_path(model_folder(model))
    if target in (source, source.parent) or source in target.parents:
        raise ConfigError(f"-o {out} is where the model lies; classifying never changes it", hint="choose another -o")
    check_free(out, force=options.force)
    parts = bundle.load(model_folder(model))
    meta, tensors = parts.meta, parts.tensors
    if "classifier" not in meta:
        why = "the teacher stayed when it was fine-tuned" if "supervised" in meta else "it was not fine-tuned"
        raise IncompatibleModelError(
            f"{model} has no classifier: {why}",
            hint="vibro finetune RUN --labels FILE -o MODEL; vibro score needs none",
        )
    fitted, _, kept = load_model(host, model, allow_missing=options.allow_missing)
    device = resolve_device(options.device)
    engine = Engine(host, Context(seed=fitted.seed, device=device), memory=options.memory)
    verify_model(engine, fitted, kept, manifest.libraries())
    told = meta["classifier"]
    names = tuple(told["names"])
    recipe = make_recipe(host, told["recipe"], fitted.detectors)
    ctx = Context(seed=told["seed"], device=device, fs=fitted.schema["fs"])
    try:
        sure = tensors["classifier/certainty"]
        student = student_of(recipe, ctx, tensors["classifier/state"], sure["present"], len(names))
        states = {
            ViewKey(v["name"], v["params"]): tensors[f"classifier/views/{j:02d}"] for j, v in enumerate(told["views"])
        }
    except KeyError as lost:
        raise StateError(f"{model} lacks {lost}", hint="take a fresh copy of the model") from None
    check_input(data, "all")
    with make_executor(options.executor) as executor, job(host, out, options) as work:
        work.parts |= {"device": device, "ensemble": resolved(fitted.plan), "seed": fitted.seed}
        work.parts["settings"] = {
            **settings(data, options),
            "error": error,
            "model": {"path": str(model.absolute()), "digest": kept["digest"]},
        }
        work.parts["plugins"] = describe(plugins_of(host, fitted.plan))
        work.parts["supervised"] = meta["supervised"]
        got = read_input(work, data, fitted.schema)
        check_schema(fitted.schema, got.batch)
        batch = got.batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
        said = (*unknown_sensors(fitted.schema["sensors"], got.batch), *earlier_than(fitted.schema, got.batch))
        folder = work.run.path / "stages" / "work"
        engine = Engine(
            host,
            Context(seed=fitted.seed, device=device, fs=batch.fs),
            executor=executor,
            memory=options.memory,
            folder=folder,
            cache=ViewCache(cache_folder() / "views"),
        )
        with work.stage("detect"):
            matrix = engine.score(fitted, got.batch)
        assert matrix.look is not None  # scoring has seen to it
        marks = marks_in(read_marks(work.run.out), got.batch.ids, matrix.look, fitted.marks.near)
        verdict = engine.decide(replace(fitted, marks=fitted.marks.joined(marks)), matrix, got.batch)
        with work.stage("classify"):
            rows = read_rows(host, recipe, batch, matrix.z, ctx, folder, states=states)
            p = probabilities(student, rows.x, verdict, sure, told["decides"])
        found = classes_of(p, verdict, matrix.look, sure, names, error)
        with work.stage("write"):
            _write(work.run.path, got.batch, found, p, verdict, names, bom=options.csv_bom)
            shutil.rmtree(work.run.path / "stages", ignore_errors=True)
        counts = Counter(found["class"].tolist())
        judged = None if got.labels is None else against_labels(found["class"], got.labels, names)
        summary = {
            "schema": 1,
            "status": "complete",
            "records": got.ingested.accounting.summary(),
            "signal": signal_of(got),
            "classes": {name: counts[name] for name in (*names, UNKNOWN)},
            "not_classified": counts[""],
            "error": error,
            "set_sizes": dict(sorted(Counter(found["size"][found["class"] != ""].tolist()).items())),
            "truth": judged,
            "levels": {name: int((verdict.level == code).sum()) for code, name in enumerate(LEVELS)},
            "supervised": meta["supervised"],
            "resources": resources(device),
            "warnings": [*got.warnings, *said],
        }
        work.run.write_json("summary.json", summary)
        work.end("complete")
        return summary


def probabilities(
    student: Student, x: NDArray[np.float32], verdict: Verdict, sure: Mapping[str, NDArray[Any]], decides: str
) -> NDArray[np.float64]:
    """(n, classes) calibrated."""
    calibrated = Calibrated(float(sure["power"]), sure["share"])
    return combined(calibrated(student.predict(x)), verdict.persistent, sure["curve"], decides)


def classes_of(
    p: NDArray[np.float64],
    verdict: Verdict,
    look: Look,
    sure: Mapping[str, NDArray[Any]],
    names: tuple[str, ...],
    error: float,
) -> dict[str, NDArray[Any]]:
    """The ``class`` (n,), ``confidence``, ``set`` of classes at this error and its ``size``.

    ``unknown`` where the ensemble raises a record that is unlike anything labelled; empty for invalid records.
    """
    cuts = conformal_cuts(sure["p"], sure["y"], error)
    inside = p >= cuts
    known = Known(Look(sure["signature"], sure["z"], sure["group"]), sure["near"])
    raised = np.isin(verdict.level, (ATTENTION, ALARM))
    strange = np.zeros(len(p), np.bool_)
    strange[raised] = known.unlike(look.take(raised))
    judged = (verdict.level != INVALID) & np.isfinite(verdict.score)
    code = decided(p, float(sure["cut"]))
    label = np.where(strange, UNKNOWN, np.array(names, dtype=object)[code])
    return {
        "class": np.where(judged, label, "").astype(np.str_),
        "confidence": np.where(judged & ~strange, p[np.arange(len(p)), code], np.nan),
        "set": np.array(["|".join(n for n, i in zip(names, row, strict=True) if i) for row in inside]),
        "size": inside.sum(axis=1),
    }


def against_labels(called: NDArray[np.str_], labels: Labels, names: tuple[str, ...]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, macro F1 and the confusion matrix of classified records with a label.

    ``called`` (columns of the matrix) are the classes and ``unknown``, which is never right. A faulty record whose type is
    none of the classes is counted in ``other_types`` alone; where faults have no types every faulty record is a fault.
    """
    typed = len(names) > 2
    kind = labels.fault_type if typed else np.where(labels.y == 1, names[1], "")
    code = np.array([names.index(k) if k in names[1:] else -1 for k in kind], np.int16)
    y = np.where(labels.y == 0, 0, np.where(labels.y == 1, code, -1)).astype(np.int16)
    rows = np.flatnonzero((y >= 0) & (called != ""))
    every = (*names, UNKNOWN)
    said = np.array([every.index(name) for name in called[rows]], np.int16)
    matrix = confusion(y[rows], said, len(every))
    table = class_table(matrix, every)[: len(names)]
    there = [row["f1"] for row in table if row["records"]]
    return {
        "classes": table,
        "called": list(every),
        "confusion": matrix[: len(names)],
        "macro_f1": float(np.mean(there)) if there else None,
        "other_types": int(((labels.y == 1) & (y < 0) & (called != "")).sum()),
    }


def _write(
    folder: Path,
    batch: SignalBatch,
    found: Mapping[str, NDArray[Any]],
    p: NDArray[np.float64],
    verdict: Verdict,
    names: tuple[str, ...],
    *,
    bom: bool,
) -> None:
    """``classes.csv``, sorted by source and row."""
    table = (
        {
            **batch.named(i),
            "class": str(found["class"][i]),
            "confidence": float(found["confidence"][i]),
            "level": LEVELS[verdict.level[i]],
            "set": str(found["set"][i]) if found["class"][i] else "",
            **{f"p_{name}": float(p[i, c]) if found["class"][i] else None for c, name in enumerate(names)},
        }
        for i in range(len(batch))
    )
    tables.write_table(folder / "classes.csv", (*COLUMNS, *(f"p_{name}" for name in names)), table, bom=bom)
