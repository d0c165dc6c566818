"""Ranking metrics against scikit-learn, with ties, weights, many columns at once."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from vibro.benchmark import metrics


def draws():
    """Labels and scores: smooth, with many ties, constant, with infinities, small."""
    rng = np.random.default_rng(7)
    for case in range(30):
        n = int(rng.integers(4, 80))
        y = (rng.random(n) < 0.3).astype(np.int16)
        y[:2] = 0, 1
        score = rng.standard_normal(n)
        if case % 3 == 1:
            score = np.round(score * rng.choice([1, 3])) * rng.choice([0, 1, -0.0, 1e-200])
        if case % 3 == 2:
            score[rng.integers(n)] = 1e250
        yield y, score


def test_equal_to_scikit_learn_with_and_without_ties():
    for y, score in draws():
        table = metrics.score_table(y, score, max_fpr=0.3)
        assert table["roc_auc"][0] == pytest.approx(roc_auc_score(y, score), abs=1e-12)
        assert table["average_precision"][0] == pytest.approx(average_precision_score(y, score), abs=1e-12)
        assert table["partial_auc"][0] == pytest.approx(roc_auc_score(y, score, max_fpr=0.3), abs=1e-9)


def test_weights_equal_scikit_learn_and_repeating_a_record_equals_weight_two():
    rng = np.random.default_rng(1)
    for y, score in draws():
        weights = rng.random((3, len(y)))
        table = metrics.weighted_table(y, score, weights)
        for i, w in enumerate(weights):
            assert table["roc_auc"][i] == pytest.approx(roc_auc_score(y, score, sample_weight=w), abs=1e-9)
            expected = average_precision_score(y, score, sample_weight=w)
            assert table["average_precision"][i] == pytest.approx(expected, abs=1e-9)
    y, score = np.array([0, 1, 0, 1], np.int16), np.array([0.1, 0.9, 0.8, 0.2])
    twice = metrics.weighted_table(y, score, np.array([[1, 1, 2, 1]]))
    again = metrics.score_table(np.append(y, 0), np.append(score, 0.8))
    assert twice["average_precision"][0] == pytest.approx(again["average_precision"][0])


def test_many_columns_equal_one_by_one(monkeypatch):
    rng = np.random.default_rng(2)
    y = (rng.random(300) < 0.1).astype(np.int16)
    scores = rng.standard_normal((50, 300))
    scores[::3] = np.round(scores[::3])
    monkeypatch.setattr(metrics, "BLOCK", 1000)  # several blocks
    table = metrics.score_table(y, scores)
    for i in (0, 1, 2, 48, 49):
        for name, value in metrics.score_table(y, scores[i]).items():
            assert table[name][i] == value[0]


def test_precision_at_k_and_recall_at_budget_by_hand():
    y = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], np.int16)
    score = np.arange(12, 0, -1.0)
    table = metrics.score_table(y, score, budget=0.1)  # ten normals: one false alarm allowed
    assert table["precision_at_k"][0] == 0.5
    assert table["recall_at_budget"][0] == 1.0
    assert metrics.score_table(y, score, budget=0.05)["recall_at_budget"][0] == 0.5
    assert metrics.score_table(y, score, k=4)["precision_at_k"][0] == 0.5
    flat = metrics.score_table(y, np.zeros(12), budget=0.1)
    assert flat["precision_at_k"][0] == pytest.approx(2 / 12)
    assert flat["recall_at_budget"][0] == 0.0
    assert flat["roc_auc"][0] == 0.5


def test_scores_that_are_missing_rank_lowest_and_infinite_ones_highest():
    y = np.array([1, 0, 0, 1], np.int16)
    table = metrics.score_table(y, np.array([np.inf, 0.3, np.nan, 0.5]))
    assert table["roc_auc"][0] == 1.0
    assert metrics.score_table(y, np.array([np.nan, 0.3, 0.1, 0.5]))["roc_auc"][0] == 0.5
    assert metrics.score_table(y, np.array([-0.0, 0.0, -1, 1]))["roc_auc"][0] == roc_auc_score(y, [0, 0, -1, 1])


def test_one_class_is_undefined_not_an_error():
    for y in (np.zeros(5, np.int16), np.ones(5, np.int16)):
        assert all(np.isnan(v).all() for v in metrics.score_table(y, np.arange(5.0)).values())
    with pytest.raises(ValueError, match="labels of shape"):
        metrics.score_table(np.zeros(4, np.int16), np.zeros(5))


def test_average_precision_at_another_prior():
    rng = np.random.default_rng(3)
    y = (rng.random(4000) < 0.5).astype(np.int16)
    score = y + rng.standard_normal(4000)
    few = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:105]])
    assert metrics.reweighted_average_precision(y, score, 0.05) == pytest.approx(
        average_precision_score(y[few], score[few]), abs=0.06
    )
    assert metrics.reweighted_average_precision(y, score, y.mean()) == pytest.approx(
        average_precision_score(y, score), abs=1e-9
    )


def test_flags():
    y = np.array([1, 1, 0, 0], np.int16)
    flags = np.array([[True, False, True, False], [False, False, False, False]])
    table = metrics.flag_table(y, flags)
    assert table["f1"][0] == pytest.approx(f1_score(y, flags[0]))
    assert table["f1"][1] == 0
    assert list(table["false_alarm_rate"]) == [0.5, 0.0]


def test_midranks():
    assert list(metrics.midranks(np.array([3.0, 1.0, 3.0, np.nan]))) == [3.5, 2.0, 3.5, 1.0]
