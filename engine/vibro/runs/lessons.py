"""Ways to teach a student, and which of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.runs.augment import Augmented
from vibro.runs.teach import Judged, Taught, better
from vibro.runs.truth import Truth
from vibro.scoring.holdout import macro_f1

TEACHER, STUDENT = "teacher", "student"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lesson:
    """One way to teach: its name, its rounds of pseudo-labels, what came of it, and the copies that were taught too."""

    name: str
    rounds: int
    judged: Judged
    copies: Taught | None = None


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


def which_copies(lessons: list[Lesson], made: Augmented) -> tuple[list[Lesson], dict[str, Any]]:
    """The lessons that remain, the first with or without copies by what held-out real labels say, and why so.

    Copies are kept if macro F1 gains more than one standard deviation over the seeds and average precision does not lose as much.
    """
    told: dict[str, Any] = {"way": "inject", "classes": made.classes}
    if made.taught is None:
        return lessons, {**told, "reason": "no class has copies that pass for its records"}
    plain, copies, *rest = lessons
    gain, change = copies.judged.f1 - plain.judged.f1, copies.judged.precision - plain.judged.precision
    figures = f"macro F1 {gain.mean():+.3f} +- {gain.std(ddof=1):.3f}, average precision {change.mean():+.3f}"
    if better(gain) and not better(-change):
        return [copies, *rest], {**told, "reason": f"held-out labels are told better: {figures}"}
    return [plain, *rest], {**told, "reason": f"held-out labels are told no better: {figures}"}


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
