"""``vibro distil``: one small student of a run's fused score that reads the record itself, and what it keeps of its teacher."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import __version__
from vibro.benchmark.metrics import average_precision
from vibro.context import Context, resolve_device
from vibro.core.engine import Engine
from vibro.core.fitted import FittedEnsemble, Floats
from vibro.core.folds import FOLDS, make_rows
from vibro.core.rows import Rows
from vibro.data import SignalBatch
from vibro.distil import network, score
from vibro.distil.network import Arrays, Lesson
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.injection.disturbed import disturb_rows
from vibro.io import files
from vibro.io.tensors import dump_tensors
from vibro.runs.model import load_model, verify_model
from vibro.runs.stored import StoredRun, open_run
from vibro.scoring.thresholds import fuse
from vibro.store import manifest

FEWEST = 25  # scored records
TIMED = 50  # records, each scored by itself
WEIGHTS = {"float16": "student.safetensors", "int8": "student-int8.safetensors"}


@dataclass(frozen=True)
class Exam:
    """Scores (n,) of the teacher and of students of both ``WEIGHTS`` that had not seen the record or a copy of it."""

    teacher: Floats
    student: Mapping[str, Floats]


def distil(
    host: PluginHost,
    path: Path,
    out: Path,
    *,
    kb: int = 256,
    seed: int = 0,
    device: str = "auto",
    data: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Teaches a student of at most ``kb`` * 1024 bytes on the records of a run and writes it with its script to OUT.

    ``data`` says where the records of the run lie now. Gives what ``student.json`` holds and the seconds for one record.
    ConfigError for an OUT that is not empty, fewer than ``FEWEST`` scored records, records that are gone, and a ``kb`` too
    small; the errors of ``vibro score`` for a model that cannot be used.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already", hint="choose another -o")
    run = open_run(path)
    fitted, _, meta = load_model(host, path)
    engine = Engine(host, Context(seed=fitted.seed, device=resolve_device(device), fs=run.batch.fs))
    verify_model(engine, fitted, meta, manifest.libraries())
    target = run.stored["held_out_fused"]
    scored = np.flatnonzero(run.batch.valid & np.isfinite(target))
    if len(scored) < FEWEST:
        raise ConfigError(f"{path} has {len(scored)} scored records; {FEWEST} are needed", hint="fit on more records")
    with files.scratch_folder() as scratch:
        batch = run.records(host, data, scratch)
        batch = batch.with_codes(fitted.schema["sensors"], fitted.schema["covariate_names"])
        say("the teacher scores disturbed copies of its records")
        rows = make_rows(batch, scored)
        lesson = _lesson(engine, fitted, batch, rows, target, seed, say)
        sensors = len(fitted.schema["sensors"])
        exam = _examine(lesson, rows, sensors, kb, seed, say)
        say("the student learns from all records")
        arrays = network.teach(lesson.take(rows.fit), sensors, kb, seed)
        first = np.asarray(batch.x[rows.fit[:TIMED]])
        seconds = _seconds(arrays, first, lesson, rows.fit[:TIMED])
    contents = {
        WEIGHTS["float16"]: dump_tensors(dict(arrays)),
        WEIGHTS["int8"]: dump_tensors(dict(network.quantised(arrays))),
        "score.py": Path(score.__file__).read_bytes(),
    }
    told = {
        **{"format": 1, "vibro": __version__, "ensemble": meta["ensemble"]["name"], "model": meta["digest"]},
        **{name: fitted.schema[name] for name in ("fs", "length", "channels", "unit", "sensors")},
        "covariates": fitted.schema["covariate_names"],
        "seed": seed,
        "networks": len(arrays["w1"]),
        "bytes": {name: len(content) for name, content in contents.items()},
        "taught": {"records": len(rows.fit), "copies": len(lesson.copies)},
        "cuts": _cuts(run, exam, rows.fit),
        "held_out": {"by": rows.strategy.rpartition("by ")[2], **_judged(run, exam, rows.fit)},
    }
    contents["student.json"] = files.to_json(told).encode()
    _write(out, contents)
    return {"path": out, **told, "seconds_per_record": seconds}


def _lesson(
    engine: Engine,
    fitted: FittedEnsemble,
    batch: SignalBatch,
    rows: Rows,
    target: Floats,
    seed: int,
    say: Callable[[str], None],
) -> Lesson:
    """The records with their held-out scores, and disturbed copies with the model's: without companions, which they lack."""
    own = (batch.sensor.astype(np.intp), batch.covariates.astype(np.float64))
    x = score.features(batch.x)
    copies = disturb_rows(batch, rows.fit, seed)
    if copies is None:
        return Lesson(x, target, *own, x[:0], target[:0], np.zeros(0, np.intp))
    raw, failed = engine.raw_scores(fitted, copies.batch, np.full(len(copies.batch), -1))
    for lost in failed:
        say(f"warning: {lost.id} cannot score the copies, which are taught without it: {lost.reason}")
    told = fuse(engine.make_fuser(fitted), fitted.calibrate(raw, copies.batch))
    known = np.flatnonzero(np.isfinite(told))
    return Lesson(x, target, *own, score.features(copies.batch.x[known]), told[known], copies.row[known])


def _examine(lesson: Lesson, rows: Rows, sensors: int, kb: int, seed: int, say: Callable[[str], None]) -> Exam:
    """Every fold by students that were taught without it."""
    found = {name: np.full(len(lesson.x), np.nan) for name in WEIGHTS}
    for fold in np.unique(rows.fold):
        say(f"part {fold + 1} of {FOLDS} is held out")
        mine = rows.fit[rows.fold == fold]
        arrays = network.teach(lesson.take(rows.fit[rows.fold != fold]), sensors, kb, seed)
        for name, weights in zip(WEIGHTS, (arrays, score.unpacked(network.quantised(arrays))), strict=True):
            x = score.standardised(weights, lesson.x[mine], lesson.sensor[mine], lesson.covariates[mine])
            found[name][mine] = score.network(weights, score.inputs(weights, x))
    return Exam(lesson.target, found)


def _judged(run: StoredRun, exam: Exam, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Average precisions and rank correlations on these rows; ``labels`` are those that the run was given, if any."""
    alarm = (exam.teacher[rows] > run.cuts.alarm).astype(np.int16)
    label = run.stored.get("label")
    judged = rows[:0] if label is None else rows[label[rows] >= 0]
    told: dict[str, Any] = {"records": len(rows)}
    if label is not None and 0 < (label[judged] == 1).sum() < len(judged):
        told["labels"] = {"teacher": average_precision(label[judged], exam.teacher[judged])} | {
            name: average_precision(label[judged], found[judged]) for name, found in exam.student.items()
        }
    if 0 < alarm.sum() < len(alarm):
        told["alarms_of_the_teacher"] = {
            name: average_precision(alarm, found[rows]) for name, found in exam.student.items()
        }
    told["rank_correlation"] = {
        name: _rank_correlation(exam.teacher[rows], s[rows]) for name, s in exam.student.items()
    }
    return told


def _cuts(run: StoredRun, exam: Exam, rows: NDArray[np.intp]) -> dict[str, float]:
    """Cuts over which as many held-out records lie as over the teacher's: half way to the next lower score."""
    student, found = np.sort(exam.student["float16"][rows])[::-1], {}
    for name, cut in (("attention", run.cuts.attention), ("alarm", run.cuts.alarm)):
        above = int((exam.teacher[rows] > cut).sum())
        found[name] = float(np.mean(student[max(above - 1, 0) : above + 1]))
    return found


def _rank_correlation(a: Floats, b: Floats) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)


def _seconds(arrays: Arrays, x: NDArray[np.float32], lesson: Lesson, rows: NDArray[np.intp]) -> float:
    """Median processor time for one record, features included."""
    from threadpoolctl import threadpool_limits

    taken = []
    with threadpool_limits(1):
        for i in range(len(rows)):
            begun = time.process_time()
            score.score(arrays, x[i : i + 1], lesson.sensor[rows[i : i + 1]], lesson.covariates[rows[i : i + 1]])
            taken.append(time.process_time() - begun)
    return float(np.median(taken))


def _write(out: Path, contents: Mapping[str, bytes]) -> None:
    """All files in one step."""
    with files.new_folder(out, need=sum(map(len, contents.values()))) as building:
        for name, content in contents.items():
            (building / name).write_bytes(content)
