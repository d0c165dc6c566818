"""Ways to teach a student, and which of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.runs.augment import GENERATE, INJECT, Augmented
from vibro.runs.teach import Judged, More, better
from vibro.runs.truth import Truth
from vibro.scoring.holdout import macro_f1

TEACHER, STUDENT = "teacher", "student"
WAYS = {INJECT: "copies", GENERATE: "generated records"}  # to have more rows of rare classes, in this order

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """One way to teach: its name, its rounds of pseudo-labels, what came of it, and what was taught besides the
    records, by the way that made it."""

    name: str
    rounds: int
    judged: Judged
    added: Mapping[str, More] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Which lesson is kept (None: the teacher alone stays) and who decides whether a record is faulty."""

    lesson: Lesson | None
    decides: str
    reason: str


def plan(truth: Truth, rounds: int) -> list[tuple[str, int]]:
    """The ways to teach: labels alone, then each round of pseudo-labels where there are such."""
    if not (truth.weight[~truth.real] > 0).any():
        return [("with labels", 0)]
    return [("with labels", 0), *((f"with pseudo-labels, round {r}", r) for r in range(1, rounds + 1))]


def augmented(
    lessons: list[Lesson],
    ways: Sequence[str],
    make: Callable[[str], Augmented],
    lesson: Callable[[str, int, Mapping[str, More]], Lesson],
) -> tuple[list[Lesson], list[Lesson], list[dict[str, Any]]]:
    """The lessons that were tried, those that remain, and what is told of each way to have more rows of rare classes.

    Ways are tried one after another, each beside what was kept before it. ``lesson`` judges one of a name, of so many rounds,
    with what is added.
    """
    tried, told = [], []
    for way in ways:
        made, other = make(way), None
        if made.more is not None:
            other = lesson(f"{lessons[0].name} and {WAYS[way]}", 0, {**lessons[0].added, way: made.more})
            tried.append(other)
        lessons, said = which_added(lessons, other, made)
        told.append(said)
    return tried, lessons, told


def which_added(lessons: list[Lesson], other: Lesson | None, made: Augmented) -> tuple[list[Lesson], dict[str, Any]]:
    """The lessons that remain, the first with or without what was made by what held-out real labels say, and why so.

    ``other`` is the first lesson with it. It is kept if macro F1 gains more than one standard deviation over the seeds and
    average precision does not lose as much.
    """
    told: dict[str, Any] = {"way": made.way, "classes": made.classes, "note": made.note}
    if other is None:
        return lessons, {**told, "reason": "of no class anything passes for its records"}
    plain, *rest = lessons
    gain, change = other.judged.f1 - plain.judged.f1, other.judged.precision - plain.judged.precision
    figures = f"macro F1 {gain.mean():+.3f} +- {gain.std(ddof=1):.3f}, average precision {change.mean():+.3f}"
    if better(gain) and not better(-change):
        return [other, *rest], {**told, "reason": f"held-out labels are told better: {figures}"}
    return lessons, {**told, "reason": f"held-out labels are told no better: {figures}"}


def decide(truth: Truth, lessons: list[Lesson]) -> Decision:
    """The teacher, or a lesson that beats what was kept before it by more than one standard deviation over the seeds.

    Where no lesson beats the teacher at telling faults from normal records, but the student tells types of faults better
    than always naming the most frequent one, the teacher decides whether and the student which.
    """
    if not lessons[0].judged.able.any():
        return Decision(None, TEACHER, "no class has labels both to learn from and to hold out")
    kept: Lesson | None = None
    for lesson in lessons:
        before = lesson.judged.teacher if kept is None else kept.judged.precision
        if better(lesson.judged.precision - before):
            kept = lesson
    if kept is not None:
        gain = kept.judged.gain
        return Decision(kept, STUDENT, f"the student adds {gain.mean():.3f} +- {gain.std(ddof=1):.3f}")
    gains = [lesson.judged.gain for lesson in lessons]
    best = max(gains, key=lambda g: float(g.mean()))
    reason = f"the student adds {best.mean():+.3f} +- {best.std(ddof=1):.3f}, not more than one standard deviation"
    if truth.typed:
        typed = lessons[0]
        for lesson in lessons[1:]:
            if better(_type_f1(truth, lesson.judged) - _type_f1(truth, typed.judged)):
                typed = lesson
        if better(_type_f1(truth, typed.judged) - _usual_f1(truth, typed.judged)):
            return Decision(typed, TEACHER, reason)
    return Decision(None, TEACHER, reason)


def _type_f1(truth: Truth, judged: Judged) -> Floats:
    """(seeds,) macro F1 over the types of faults among known faults of a type that the student had seen."""
    y = truth.y[truth.real]
    rows = judged.able & (y > 0)
    named = (1 + judged.p[:, :, 1:].argmax(axis=2)).astype(np.int16)
    return np.array([macro_f1(y[row], names[row]) for row, names in zip(rows, named, strict=True)])


def _usual_f1(truth: Truth, judged: Judged) -> Floats:
    """The same of a rule that always names the type that is most frequent among them."""
    y = truth.y[truth.real]
    known = [y[row] for row in judged.able & (y > 0)]
    return np.array([macro_f1(t, np.full_like(t, np.bincount(t).argmax() if len(t) else 0)) for t in known])
