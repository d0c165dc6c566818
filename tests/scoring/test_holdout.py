"""Groups that are held out as a whole, folds that spread the classes, weights that survive an absent class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from vibro.data import make_batch
from vibro.scoring.holdout import (
    average_precision,
    balanced,
    class_table,
    confusion,
    macro_f1,
    make_folds,
    make_groups,
)

NAMES = ("normal", "inner", "outer")


def records(recording, machine):
    x = np.random.default_rng(0).standard_normal((len(recording), 8))
    return make_batch(x, fs=1.0, recording=recording, machine=machine)


def test_machines_are_held_out_where_every_class_has_two():
    y = np.tile([0, 1, 2], 20).astype(np.int16)
    batch = records([f"r{i}" for i in range(60)], [f"m{i // 15}" for i in range(60)])
    groups = make_groups(batch, y, NAMES)
    assert groups.strategy == "machine" and np.array_equal(groups.of, batch.machine) and not groups.edge.any()


def test_recordings_else_and_time_with_a_gap_for_a_class_that_has_too_few():
    recording = [f"r{i // 10}" for i in range(90)]
    y = np.repeat([0, 0, 1, 1, 1, 1, 2, 2, 2], 10).astype(np.int16)
    groups = make_groups(records(recording, ["m"] * 90), y, NAMES)
    assert groups.strategy == "recording; time with a gap for normal"
    assert len(np.unique(groups.of[:10])) == 10 and groups.edge[:20].sum() > 0 and not groups.edge[20:].any()
    assert all(len(np.unique(groups.of[np.array(recording) == f"r{i}"])) == 1 for i in range(2, 9))


def test_a_block_of_time_has_an_edge_on_both_sides_that_is_never_learned_from():
    y = np.full(200, -1, np.int16)
    y[::7] = 0
    y[3::7] = 1
    groups = make_groups(records(["one"] * 200, ["m"] * 200), y, NAMES[:2])
    border = np.flatnonzero(np.diff(groups.of))
    assert len(border) == 9 and groups.edge[border].all() and groups.edge[border + 1].all()


def test_labels_in_one_stretch_are_told():
    y = np.full(100, -1, np.int16)
    y[::9], y[50:52] = 0, 1
    groups = make_groups(records(["one"] * 100, ["m"] * 100), y, NAMES[:2])
    assert groups.warnings == ("all labels of inner lie in one stretch of one recording: they cannot be held out",)


def test_folds_split_no_group_and_spread_every_class():
    rng = np.random.default_rng(1)
    of = rng.integers(0, 12, 300)
    y = rng.integers(0, 3, 300).astype(np.int16)
    for seed in range(5):
        fold = make_folds(of, y, seed)
        assert all(len(np.unique(fold[of == g])) == 1 for g in np.unique(of))
        assert len(np.unique(fold)) == 5
        assert all((y[fold == k] == c).any() for k in range(5) for c in range(3))
    assert not np.array_equal(make_folds(of, y, 0), make_folds(of, y, 1))


def test_trap_32_a_class_without_members_weighs_nothing_and_all_weights_are_finite():
    y = np.array([0, 0, 0, 2, -1], np.int16)
    weight = balanced(y, np.array([1.0, 1.0, 0.5, 1.0, 0.0]), 4)
    assert np.isfinite(weight).all() and weight[4] == 0
    assert weight[:3].sum() == weight[3] and weight[2] == weight[0] / 2


def test_normal_weighs_as_much_as_all_faults_together():
    y = np.array([0] * 90 + [1] * 5 + [2] * 5, np.int16)
    weight = balanced(y, np.ones(100), 3)
    total = np.bincount(y, weights=weight)
    assert np.allclose(total[0], total[1] + total[2]) and np.allclose(total[1], total[2])


def test_figures_of_classes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, predicted = (rng.integers(0, 3, 200).astype(np.int16) for _ in range(2))
    predicted[predicted == 2] = 1
    rows = class_table(confusion(y, predicted, 3), NAMES)
    precision, recall, f1, n = precision_recall_fscore_support(y, predicted, zero_division=0)
    for name, wanted in (("precision", precision), ("recall", recall), ("f1", f1), ("records", n)):
        assert np.allclose([row[name] for row in rows], wanted)
    assert np.isclose(macro_f1(y, predicted, range(3)), f1_score(y, predicted, average="macro"))


def test_average_precision_among_unlabelled_records_is_the_usual_one_where_all_are_known():
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.1).astype(np.int16)
    score = rng.normal(1.5 * y, 1.0)
    usual = average_precision_score(y, score)
    assert average_precision(score[y == 1], score, y.mean()) == pytest.approx(usual, abs=0.002)
    some = rng.permutation(np.flatnonzero(y == 1))[:100]  # a sample of the faults tells nearly the same
    assert average_precision(score[some], score, y.mean()) == pytest.approx(usual, abs=0.1)


def test_average_precision_ranks_scores_that_are_missing_lowest_and_equal_ones_together():
    known, everyone = np.array([3.0, np.nan]), np.array([3.0, 1.0, 1.0, np.nan])
    assert average_precision(known, everyone, 0.5) == pytest.approx((1.0 + 0.5) / 2)
    assert average_precision(np.zeros(5), np.zeros(50), 0.1) == pytest.approx(0.1)


def test_folds_take_groups_without_labels_along():
    of = np.repeat(np.arange(8), 25)
    y = np.where(of < 2, np.arange(200) % 2, -1).astype(np.int16)
    fold = make_folds(of, y, 0)
    assert len(np.unique(fold)) == 2 and fold[0] != fold[25]
    assert all(len(np.unique(fold[of == g])) == 1 for g in range(8)) and (fold == 0).sum() == 100
