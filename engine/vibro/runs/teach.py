"""How a student is taught and judged: on real labels alone, or with pseudo-labels too, and always on records of machines or
recordings that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.errors import ConfigError
from vibro.runs.student import Recipe, Student, fit_student
from vibro.runs.truth import Truth
from vibro.scoring.holdout import Groups, average_precision, macro_f1, make_folds

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class More(Protocol):
    """Rows that are taught besides those of the records, and never judged by."""

    def more(
        self, ctx: Context, x: NDArray[np.float32], y: NDArray[np.int16], weight: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.int16], Floats]:
        """Rows (m, *item), their classes and weights (m,), from records x (n, *item) of which those of positive weight and
        a class are taught: of others nothing may be used."""


@dataclass(frozen=True)
class Copied:
    """Copies ``x`` (m, *item) of the labelled records ``of`` (m,), which are taught with their record."""

    x: NDArray[np.float32]
    of: NDArray[np.intp]

    def more(
        self, ctx: Context, x: NDArray[np.float32], y: NDArray[np.int16], weight: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.int16], Floats]:
        """The copies of the records of positive weight, which together weigh as much as their record."""
        mine = np.flatnonzero((weight > 0)[self.of] & (y >= 0)[self.of])
        of = self.of[mine]
        return self.x[mine], y[of], weight[of] / np.bincount(of, minlength=len(y))[of]


def teach(
    recipe: Recipe,
    ctx: Context,
    x: NDArray[np.float32],
    truth: Truth,
    rounds: int,
    rows: Mask,
    added: Sequence[More] = (),
) -> Student:
    """A student taught with these rows (n,): with real labels alone for 0 rounds of pseudo-labels, and with what is added.

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
        student = _fit(recipe, ctx.child("labels"), x, known, truth.weight, classes, added)
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
        student = _fit(recipe, ctx.child(f"round {turn}"), x, y, weight, classes, added)
    assert student is not None  # there was a round, or none was asked for
    return student


def _fit(
    recipe: Recipe,
    ctx: Context,
    x: NDArray[np.float32],
    y: NDArray[np.int16],
    weight: Floats,
    classes: int,
    added: Sequence[More],
) -> Student:
    """Fits on the records of positive weight and on what is added to them."""
    if not added:
        return fit_student(recipe, ctx, x, y, weight, classes)
    mine = np.flatnonzero((weight > 0) & (y >= 0))
    parts = [(x[mine], y[mine], weight[mine]), *(one.more(ctx, x, y, weight) for one in added)]
    rows, classes_of, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return fit_student(recipe, ctx, rows, classes_of, weights, classes)


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
    """What a student shows on m real labels that were held out: ``p`` (seeds, m, classes), all 0 where no student could be
    taught; ``able`` (seeds, m) whether the student that judged the record had seen others of its class; ``precision``
    (seeds,) the average precision of its fault score and ``teacher`` (seeds,) that of the ensemble's on the same records;
    ``f1`` (seeds,) macro F1 over the classes.

    Figures of classes are those of the able records alone: no student names a type that it has not seen.
    """

    p: NDArray[np.float64]
    able: Mask
    precision: Floats
    teacher: Floats
    f1: Floats

    @property
    def gain(self) -> Floats:
        """(seeds,) what it adds to the teacher."""
        return self.precision - self.teacher

    @property
    def counted(self) -> Mask:
        """(m,) the records that are in the figures of classes, by one seed or more."""
        return np.asarray(self.able.any(axis=0))


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
    added: Sequence[More] = (),
) -> Judged:
    """Judges a student of so many rounds by cross-validation, once for each seed: other folds, another start, and bootstrap
    samples of the records that are compared, so that the deviation over seeds holds all three.

    In each fold known faults are ranked among all records of the groups that are held out, by the student and by ``teacher``
    (n,), the ensemble's score, NaN for bad data; of these ``share`` counts as faulty. Neither labels nor pseudo-labels of
    these groups were learned from. People label more faults than come every day, and few of the normal records that come
    near a cut: what comes without a label tells that better. Each fold is ranked by itself, since another student judges it;
    one whose other folds have no normal record, or no fault of a known type, is not. ConfigError if that holds for all.
    """
    rows = np.flatnonzero(truth.real)
    kind = np.where(truth.y >= 0, truth.y, len(truth.names))
    kind = np.where(truth.real, kind, -1).astype(np.int16)
    valid, faulty = np.isfinite(teacher), truth.real & (truth.faulty == 1)
    found: list[tuple[Floats, Mask, float, float, float]] = []
    for seed in range(seeds):
        fold, rng = make_folds(groups.of, kind, seed), np.random.default_rng([seed, len(rows)])
        p, able = np.zeros((len(x), len(truth.names))), np.zeros(len(x), np.bool_)
        parts: list[tuple[int, float, float]] = []
        for k in np.unique(fold[rows]):
            held = fold == k
            learned = ~held & ~groups.edge
            known = truth.y[learned & truth.real]
            if not ((known == 0).any() and (known > 0).any()):  # nothing to learn from
                continue
            student = teach(recipe, ctx.child(f"seed {seed} fold {k}"), x, truth, rounds, learned, added)
            everyone = np.flatnonzero(held & (valid | truth.real))
            p[everyone] = student.predict(x[everyone])
            able[everyone] = np.isin(truth.y[everyone], student.present)
            faults = np.flatnonzero(held & faulty)
            if len(faults):
                drawn, among = rng.choice(faults, len(faults)), rng.choice(everyone, len(everyone))
                mine, theirs = (average_precision(s[drawn], s[among], share) for s in (1.0 - p[:, 0], teacher))
                parts.append((len(faults), mine, theirs))
        if not parts:
            raise ConfigError(
                "no fault can be held out: the records outside its machine, recording or time have no labelled normal record,"
                " or no fault of a type with two labels",
                hint="label more records: vibro suggest RUN -o FILE names some",
            )
        weight, *figures = map(np.array, zip(*parts, strict=True))
        mine, theirs = (float(np.average(figure, weights=weight)) for figure in figures)
        typed = rows[able[rows]]
        f1 = macro_f1(truth.y[typed], p[typed].argmax(axis=1).astype(np.int16))
        found.append((p[rows], able[rows], mine, theirs, f1))
        say(f"seed {seed}: average precision {mine:.3f}, the teacher's {theirs:.3f}")
    stacked = [np.array(column) for column in zip(*found, strict=True)]
    return Judged(*stacked)


def better(gain: Floats) -> bool:
    """Whether a gain (seeds,) exceeds one standard deviation of itself over the seeds."""
    return bool(gain.mean() > gain.std(ddof=1) and gain.mean() > 0)
