"""``vibro finetune``: a classifier taught with labels, kept only if it beats the ensemble on labels that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context, resolve_device
from vibro.errors import ConfigError, StateError
from vibro.host.manager import PluginHost
from vibro.io.files import scratch_folder
from vibro.runs.augment import INJECT, Augmented, copies, generated
from vibro.runs.generator import network_of
from vibro.runs.lessons import STUDENT, TEACHER, WAYS, Decision, Lesson, augmented, decide, plan
from vibro.runs.model import MODEL
from vibro.runs.stored import StoredRun, open_run
from vibro.runs.student import Recipe, read_rows, start_recipe
from vibro.runs.teach import More, judge, teach
from vibro.runs.truth import Truth, real_labels, shown, with_pseudolabels
from vibro.scoring.certainty import Calibrated, Known, decided, fault_cut, logistic_curve
from vibro.scoring.holdout import Groups, class_table, confusion, macro_f1, make_groups
from vibro.scoring.verdict import ALARM, ATTENTION, NORMAL
from vibro.store import bundle
from vibro.store.bundle import BundleParts
from vibro.words import counted

CLASSIFIER = "logistic"

Floats = NDArray[np.float64]


def finetune(
    host: PluginHost,
    path: Path,
    labels: Path,
    out: Path,
    *,
    pseudolabels: Path | None = None,
    classifier: Mapping[str, Any] | None = None,
    rounds: int = 1,
    seeds: int = 5,
    seed: int = 0,
    device: str = "auto",
    data: Path | None = None,
    labels_partial: bool = False,
    augment: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Teaches a classifier on a finished run and writes a model: that of the run, with the student if it is kept.

    Neither the run nor its model is changed. What is told of the student is measured on real labels of groups that it did
    not learn from. ``augment``: ways, of WAYS, to make rows of rare classes, each kept or not before the next is tried.
    """
    if unknown := [way for way in augment if way not in WAYS]:
        raise ConfigError(
            f"--augment: no way {unknown[0]!r} (known: {', '.join(WAYS)})", hint=f"--augment {','.join(WAYS)}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already", hint="choose another -o")
    for option, table in (("--labels", labels), ("--pseudolabels", pseudolabels)):
        if table is not None and not table.is_file():
            raise ConfigError(f"{option}: no such file: {table}")
    run = open_run(path)
    if not (path / MODEL).is_dir():
        raise StateError(f"{path} holds no model", hint="name a run that vibro ensemble run wrote")
    parts = bundle.load(path / MODEL)
    states = {ident: parts.tensors[f"detectors/{ident}"] for ident in run.matrix.detectors}
    asked, rows_of = classifier or {"use": CLASSIFIER}, run.manifest["ensemble"]["detectors"]
    recipe, said = start_recipe(host, asked, rows_of, states)
    truth = real_labels(run, labels, labels_partial)
    if pseudolabels is not None:
        truth = with_pseudolabels(run, truth, pseudolabels)
    groups = make_groups(run.batch, np.where(truth.real, truth.y, -1).astype(np.int16), truth.names)
    ctx = Context(seed=seed, device=resolve_device(device), fs=run.batch.fs, groups=groups.of)
    ctx = ctx.child(f"classifier:{recipe.cls.name}")
    with scratch_folder() as scratch:
        batch = run.records(host, data, scratch / "ingest")
        sound = sound_records(run)
        rows = read_rows(host, recipe, batch, run.matrix.z, ctx, scratch, sound)

        def lesson(name: str, number: int, added: Mapping[str, More]) -> Lesson:
            say(f"{recipe.cls.name} {name}")
            teacher, share, more = teacher_score(run), raised_share(run), tuple(added.values())
            found = judge(recipe, ctx, rows.x, truth, groups, teacher, share, number, seeds, say, more)
            return Lesson(name, number, found, added)

        def make(way: str) -> Augmented:
            if way == INJECT:
                steady = bool(run.summary["signal"].get("mains_hz"))
                return copies(host, recipe, batch, rows, run.matrix.z, truth, sound, steady, ctx, scratch)
            network = network_of(host, recipe, batch, rows, rows_of, states, ctx, scratch)
            return generated(recipe, rows.x, truth, groups.of, network, ctx)

        lessons = [lesson(name, number, {}) for name, number in plan(truth, rounds)]
        tried, kept, told_ways = augmented(lessons, [way for way in WAYS if way in augment], make, lesson)
        lessons = [lessons[0], *tried, *lessons[1:]]
        decision, answers = decide(truth, kept), None
        if (chosen := decision.lesson) is not None:
            everyone = np.ones(len(batch), np.bool_)
            final = teach(
                recipe, ctx.child("final"), rows.x, truth, chosen.rounds, everyone, tuple(chosen.added.values())
            )
            sure, answers = certainty(run, truth, groups, decision, final.predict(rows.x[batch.valid]))
            if answers["macro_f1"] <= answers["always_normal"]:
                figures = (f"{answers[name]:.3f}" for name in ("macro_f1", "always_normal"))
                reason = "its answers on held-out labels have macro F1 {}, always saying normal has {}".format(*figures)
                decision, answers = Decision(None, TEACHER, reason), None
        told = _told(recipe, truth, groups, lessons, decision, labels, pseudolabels, raised_share(run))
        for way in told_ways:
            way["kept"] = decision.lesson is not None and way["way"] in decision.lesson.added
        told |= {"augmentation": told_ways, "held_out": answers}
        told["warnings"] += [said] if said else []
        meta, tensors = {**parts.meta, "supervised": told}, dict(parts.tensors)
        if decision.lesson is not None:
            told["curves"] = {name: list(curve) for name, curve in final.classifier.curves().items()}
            meta["classifier"] = {
                "recipe": recipe.table,
                "names": list(truth.names),
                "decides": decision.decides,
                "seed": ctx.child("final").seed,
                "views": [{"name": key.name, "params": key.params} for key in rows.states],
            }
            tensors["classifier/state"] = final.classifier.state()
            tensors["classifier/certainty"] = {**sure, "present": final.present}
            tensors |= {f"classifier/views/{j:02d}": dict(state) for j, state in enumerate(rows.states.values())}
        bundle.save(out, BundleParts(meta, tensors))
    return {"path": out, **told}


def sound_records(run: StoredRun) -> NDArray[np.bool_]:
    """(n,) records that the ensemble calls normal, all with good data if it calls none so."""
    normal = run.batch.valid & (run.verdict.level == NORMAL)
    return normal if normal.any() else run.batch.valid


def teacher_score(run: StoredRun) -> Floats:
    """(n,) the ensemble's held-out score of each record, NaN for bad data.

    Like a student it knows the record alone. Beside it ``persistent_score`` has the records before and after, which tell more
    where people label than every day: faults are labelled where they are dense.
    """
    return np.where(run.batch.valid, run.verdict.score, np.nan)


def raised_share(run: StoredRun) -> float:
    """Share of the records of a run that the ensemble raises to attention or alarm, at least 1 % and at most half."""
    level = run.verdict.level
    judged = np.isin(level, (NORMAL, ATTENTION, ALARM))
    return float(np.clip(np.mean(level[judged] != NORMAL) if judged.any() else 0.5, 0.01, 0.5))


def certainty(
    run: StoredRun, truth: Truth, groups: Groups, decision: Decision, everyday: Floats
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What says how sure a class is, from the held-out probabilities of the kept lesson, and the table of its classes.

    ``everyday`` (n, classes): the student's probabilities of all records of the run, which say how frequent each class is.
    """
    assert decision.lesson is not None
    rows = np.flatnonzero(truth.real)
    score, faulty = run.verdict.persistent[rows], truth.faulty[rows]
    curve = logistic_curve(score, faulty)
    judged = decision.lesson.judged
    able = judged.counted
    answers = np.where(able, judged.able, judged.p.any(axis=2))  # (seeds, m) those that are averaged
    said = np.asarray(answers.any(axis=0))
    p = np.einsum("smc,sm->mc", judged.p, answers)[said] / answers.sum(axis=0)[said, None]
    typed, y = able[said], truth.y[rows][able]
    labelled = Calibrated.fit(p[typed], y, truth.y[truth.real & (truth.y >= 0)])
    calibrated = labelled.among(everyday)
    final = combined(calibrated(p), score[said], curve, decision.decides)
    often = np.array([calibrated.share[0] / labelled.share[0], calibrated.share[1:].sum() / labelled.share[1:].sum()])
    cut = fault_cut(1.0 - final[:, 0], faulty[said], often[faulty[said]])
    called = decided(final[typed], cut)
    known = Known.fit(run.look.take(rows), groups.of[rows])
    state: dict[str, NDArray[Any]] = {
        "power": np.asarray(calibrated.power),
        "share": calibrated.share,
        "curve": curve,
        "cut": np.asarray(cut),
        "p": final[typed],
        "y": y,
        "signature": known.look.signature,
        "z": known.look.z,
        "group": known.look.group,
        "near": known.near,
    }
    matrix = confusion(y, called, len(truth.names))
    told = {
        "classes": class_table(matrix, truth.names),
        "confusion": matrix,
        "macro_f1": macro_f1(y, called),
        "always_normal": macro_f1(y, np.zeros_like(y)),
    }
    return state, told


def combined(p: Floats, score: Floats, curve: Floats, decides: str) -> Floats:
    """(n, classes) calibrated probabilities; where the teacher decides, that of a fault is the curve's at its score."""
    if decides == STUDENT:
        return p
    fault = np.where(np.isfinite(score), 1.0 / (1.0 + np.exp(-(curve[0] * score + curve[1]))), 0.0)
    types = p[:, 1:] / np.maximum(p[:, 1:].sum(axis=1, keepdims=True), 1e-12)
    return np.hstack([1.0 - fault[:, None], fault[:, None] * types])


def _told(
    recipe: Recipe,
    truth: Truth,
    groups: Groups,
    lessons: list[Lesson],
    decision: Decision,
    labels: Path,
    pseudolabels: Path | None,
    share: float,
) -> dict[str, Any]:
    """What the manifest of the model and the command say of the fine-tuning."""

    def figure(values: Floats) -> dict[str, float]:
        return {"mean": float(values.mean()), "sd": float(values.std(ddof=1))}

    pseudo = ~truth.real & (truth.weight > 0)
    lost = int(np.sum(~lessons[0].judged.counted & (truth.y[truth.real] >= 0)))
    alone = (
        f"figures of classes lack {counted(lost, 'label', 'labels')}: no label of their class is left to learn from where their"
        " machine, recording or time is held out"
    )
    return {
        "kept": decision.decides,
        "classifies": decision.lesson is not None,
        "reason": decision.reason,
        "classifier": {**recipe.table, "starts_from": recipe.origin or None},
        "labels": {"table": str(labels), "classes": shown(truth.names, *_of(truth, truth.real))},
        "pseudolabels": None
        if pseudolabels is None
        else {"table": str(pseudolabels), "classes": shown(truth.names, *_of(truth, pseudo))},
        "validation": {
            "held_out_by": groups.strategy,
            "seeds": len(lessons[0].judged.f1),
            "on": "real labels",
            "share": share,
        },
        "teacher": {"average_precision": figure(lessons[0].judged.teacher)},
        "students": [
            {
                "taught": lesson.name,
                "average_precision": figure(lesson.judged.precision),
                "gain": figure(lesson.judged.gain),
                "macro_f1": figure(lesson.judged.f1),
                "kept": lesson is decision.lesson,
            }
            for lesson in lessons
        ],
        "warnings": [*truth.warnings, *groups.warnings, *([alone] if lost else [])],
    }


def _of(truth: Truth, rows: NDArray[np.bool_]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    return truth.y[rows], truth.fault[rows]
