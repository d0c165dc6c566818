"""Copies of rare faults: taught only where they pass for records of their class, kept only where held-out labels gain."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.context import Context
from vibro.host.manager import PluginHost
from vibro.runs.augment import APART, Augmented, told_apart
from vibro.runs.lessons import Lesson, which_copies
from vibro.runs.student import make_recipe
from vibro.runs.teach import Judged, Taught, teach
from vibro.runs.truth import Truth

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def recipe():
    return make_recipe(PluginHost.create(), {"use": "logistic"}, ())


def test_copies_like_their_records_are_not_told_from_them_and_others_are(recipe):
    x = RNG.normal(size=(40, 6)).astype(np.float32)
    of = np.repeat(np.arange(10), 7)
    like = (x[of] + 0.5 * RNG.normal(size=(70, 6))).astype(np.float32)
    assert told_apart(recipe, Context(), x, np.arange(10), like, of) < APART
    assert told_apart(recipe, Context(), x, np.arange(10), like + 3, of) > 0.95
    for pair in ([0, 1], [2, 7], [4, 9]):  # copies of two records: one in each half
        few = np.isin(of, pair)
        assert np.isfinite(told_apart(recipe, Context(), x, np.arange(10), like[few], of[few]))


def test_copies_are_taught_with_their_record_weigh_as_much_as_it_and_never_without(recipe, monkeypatch):
    import vibro.runs.teach as teaching

    seen = []
    fit_student = teaching.fit_student

    def fit(recipe, ctx, x, y, weight, classes):
        seen.append((x, y, weight))
        return fit_student(recipe, ctx, x, y, weight, classes)

    monkeypatch.setattr(teaching, "fit_student", fit)
    x = RNG.normal(size=(12, 3)).astype(np.float32)
    y = np.array([0] * 6 + [1] * 6, np.int16)
    truth = Truth(("normal", "fault"), y, np.zeros(12, bool), np.ones(12, bool), np.ones(12))
    copies = Taught(np.full((8, 3), 7, np.float32), np.repeat([6, 11], 4))
    teach(recipe, Context(), x, truth, 0, np.arange(12) < 10, copies)  # record 11 is held out, and so are its copies
    given, classes, weight = seen[0]
    copied = (given == 7).all(axis=1)
    assert copied.sum() == 4 and set(classes[copied]) == {1} and weight[copied].sum() == pytest.approx(1.0)
    assert len(given) == 14 and (weight[~copied] == 1).all()


def judged(precision, f1):
    return Judged(np.zeros((3, 1, 2)), np.ones((3, 1), bool), np.array(precision), np.zeros(3), np.array(f1))


@pytest.mark.parametrize(
    ("precision", "f1", "kept"),
    [
        ([0.5, 0.6, 0.7], [0.55, 0.62, 0.68], True),
        ([0.5, 0.6, 0.7], [0.45, 0.65, 0.60], False),  # within the spread over the seeds
        ([0.3, 0.4, 0.5], [0.55, 0.62, 0.68], False),  # more types are right, and fewer faults are found
    ],
)
def test_copies_are_kept_only_where_held_out_labels_gain(precision, f1, kept):
    copies = Taught(np.zeros((1, 1), np.float32), np.zeros(1, np.intp))
    plain = Lesson("with labels", 0, judged([0.5, 0.6, 0.7], [0.5, 0.55, 0.6]))
    pseudo = Lesson("with pseudo-labels", 1, judged([0.5, 0.6, 0.7], [0.5, 0.55, 0.6]))
    other = Lesson("with labels and copies", 0, judged(precision, f1), copies)
    remain, told = which_copies([plain, other, pseudo], Augmented(copies, []))
    assert remain == [other if kept else plain, pseudo] and "macro F1 +0." in told["reason"]
    assert ("no better" in told["reason"]) != kept
    remain, told = which_copies([plain, pseudo], Augmented(None, []))
    assert remain == [plain, pseudo] and "no class has copies" in told["reason"]
