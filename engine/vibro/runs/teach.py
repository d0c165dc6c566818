"""How a student is taught and judged: on real labels alone, or with pseudo-labels too, and always on records of machines or
recordings that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.runs.student import Recipe, Student, fit_student
from vibro.runs.truth import Truth
from vibro.scoring.holdout import Groups, as_frequent, average_precision, macro_f1, make_folds

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def teach(recipe: Recipe, ctx: Context, x: NDArray[np.float32], truth: Truth, rounds: int, rows: Mask) -> Student:
    """A student taught with these rows (n,): with real labels alone for 0 rounds of pseudo-labels.

    Faults whose type is not known get the type that the student of the round before gives them, by its share. In a second
    round it also drops the pseudo-labels which it contradicts. All pseudo-labels of a class together weigh no more than its
    real labels.
    """
    classes, real = len(truth.names), rows & truth.real
    used = rows if rounds else real
    open_faults = np.flatnonzero(used & truth.fault)
    student: Student | None = None
    if not rounds or len(open_faults):
        known = np.where(real, truth.y, -1).astype(np.int16)
        student = fit_student(recipe, ctx.child("labels"), x, known, truth.weight, classes)
    for turn in range(rounds or bool(len(open_faults))):
        y, weight = np.where(used, truth.y, -1).astype(np.int16), truth.weight.copy()
        if student is not None and len(open_faults):
            p = student.predict(x[open_faults])[:, 1:]
            y[open_faults] = 1 + p.argmax(axis=1)
            weight[open_faults] *= p.max(axis=1) / np.maximum(p.sum(axis=1), 1e-12)
        pseudo = np.flatnonzero(used & ~truth.real & (y >= 0))
        if turn and student is not None and len(pseudo):
            faulty = student.predict(x[pseudo])[:, 0] < 0.5
            y[pseudo[faulty != (y[pseudo] > 0)]] = -1
        weight = _bounded(y, weight, truth.real)
        student = fit_student(recipe, ctx.child(f"round {turn}"), x, y, weight, classes)
    assert student is not None  # there was a round, or none was asked for
    return student


def _bounded(y: NDArray[np.int16], weight: Floats, real: Mask) -> Floats:
    """The weights, those of the pseudo-labels of a class scaled down to what its real labels weigh together."""
    weight = np.where(y >= 0, weight, 0.0)
    for c in np.unique(y[y >= 0]):
        mine = y == c
        pseudo, known = weight[mine & ~real].sum(), weight[mine & real].sum()
        if pseudo > known:
            weight[mine & ~real] *= known / pseudo
    return weight


@dataclass(frozen=True)
class Judged:
    """What a student shows on real labels that were held out: ``p`` (seeds, m, classes); ``precision`` (seeds,) the average
    precision of its fault score and ``teacher`` (seeds,) that of the ensemble's on the same records, drawn anew for each
    seed; ``f1`` (seeds,) macro F1 over the classes."""

    p: NDArray[np.float64]
    precision: Floats
    teacher: Floats
    f1: Floats

    @property
    def gain(self) -> Floats:
        """(seeds,) what it adds to the teacher."""
        return self.precision - self.teacher


def judge(
    recipe: Recipe,
    ctx: Context,
    x: NDArray[np.float32],
    truth: Truth,
    groups: Groups,
    teacher: Floats,
    share: float,
    rounds: int,
    seeds: int,
    say: Callable[[str], None] = lambda line: None,
) -> Judged:
    """Judges a student of so many rounds by cross-validation, once for each seed: other folds, another start, and other
    records drawn from those held out (a bootstrap sample), so that the deviation over seeds holds all three.

    ``teacher`` (n,) the ensemble's score; ``share`` of faulty records that precision is reckoned for: people label more
    faults than come every day.
    Pseudo-labels of a group that is held out are not learned from either.
    """
    rows = np.flatnonzero(truth.real)
    faulty = truth.faulty[rows]
    kind = np.where(truth.y[rows] >= 0, truth.y[rows], len(truth.names))
    found: list[tuple[Floats, float, float, float]] = []
    for seed in range(seeds):
        fold = make_folds(groups.of[rows], kind, seed)
        p = np.zeros((len(rows), len(truth.names)))
        for k in np.unique(fold):
            held = np.isin(groups.of, groups.of[rows[fold == k]])
            student = teach(recipe, ctx.child(f"seed {seed} fold {k}"), x, truth, rounds, ~held & ~groups.edge)
            p[fold == k] = student.predict(x[rows[fold == k]])
        drawn = _drawn(faulty, np.random.default_rng([seed, len(rows)]))
        weight = as_frequent(faulty[drawn], share)
        mine, theirs = (
            average_precision(faulty[drawn], score[drawn], weight) for score in (1.0 - p[:, 0], teacher[rows])
        )
        typed = truth.y[rows] >= 0
        f1 = macro_f1(truth.y[rows][typed], p[typed].argmax(axis=1).astype(np.int16), range(len(truth.names)))
        found.append((p, float(mine), float(theirs), f1))
        say(f"seed {seed}: average precision {mine:.3f}, the teacher's {theirs:.3f}, macro F1 {f1:.3f}")
    stacked = [np.array(column) for column in zip(*found, strict=True)]
    return Judged(*stacked)


def _drawn(y: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.intp]:
    """A bootstrap sample of each class."""
    parts = [np.flatnonzero(y == value) for value in (0, 1)]
    return np.concatenate([rng.choice(part, len(part)) for part in parts])


def better(gain: Floats) -> bool:
    """Whether a gain (seeds,) exceeds one standard deviation of itself over the seeds."""
    return bool(gain.mean() > gain.std(ddof=1) and gain.mean() > 0)
