"""The metrics of a run: right numbers, honest intervals, warnings where a figure would mislead."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from vibro.benchmark.baselines import rank_consensus, trivial_scores, z_mean
from vibro.benchmark.evaluate import alarms_as_raised, at_cuts, evaluate, intervals, tell_apart
from vibro.data import make_batch
from vibro.scoring.verdict import ScoreMatrix, Verdict


@dataclass
class Truth:
    y: np.ndarray
    fault_type: np.ndarray
    key: str = "record_id"
    matched: int = 0
    unmatched: int = 0


def judged(score, y, *, level=None, machine=None, fault=None, x=None):
    """``evaluate`` on a batch with these scores."""
    n = len(score)
    x = np.random.default_rng(0).standard_normal((n, 32)) if x is None else x
    batch = make_batch(x, fs=100, sensor=machine, machine=machine)
    z = np.stack([score, -np.asarray(score)], axis=1)
    matrix = ScoreMatrix(("good", "bad"), batch.ids, z, z)
    level = np.zeros(n, np.int8) if level is None else level
    verdict = Verdict(
        score, score, level, score, score, z, z > 1, score, score, score > 99, score > 99, np.zeros(len(score), np.int8)
    )
    fault = np.where(y == 1, "worn", "") if fault is None else fault
    return evaluate(batch, Truth(y, fault), verdict, matrix, budget=0.1)


@pytest.fixture
def ranked():
    rng = np.random.default_rng(5)
    y = (rng.random(400) < 0.1).astype(np.int16)
    return y, 1.5 * y + rng.standard_normal(400)


def test_figures_equal_scikit_learn(ranked):
    y, score = ranked
    level = np.where(score > 2, 2, 0).astype(np.int8)
    found = judged(score, y, level=level)
    assert found["fused"]["roc_auc"] == pytest.approx(roc_auc_score(y, score))
    assert found["fused"]["average_precision"] == pytest.approx(average_precision_score(y, score))
    assert found["fused"]["false_alarm_rate"] == pytest.approx((score[y == 0] > 2).mean())
    assert found["detectors"]["bad"]["roc_auc"] == pytest.approx(1 - roc_auc_score(y, score))
    assert set(found["baselines"]) == {"rms", "kurtosis", "mean_template", "random"}
    low, high = found["fused"]["interval"]["roc_auc"]
    assert low < found["fused"]["roc_auc"] < high
    json.dumps(found, allow_nan=False)


def test_unknown_labels_and_missing_scores_do_not_count(ranked):
    y, score = ranked
    more_y = np.concatenate([y, np.full(50, -1), np.ones(5)]).astype(np.int16)
    more = np.concatenate([score, np.full(50, 99.0), np.full(5, np.nan)])
    assert judged(more, more_y)["fused"]["roc_auc"] == pytest.approx(roc_auc_score(y, score))


def test_one_class_gives_none_and_a_sentence(ranked):
    _, score = ranked
    found = judged(score, np.zeros(400, np.int16))
    assert found["fused"]["roc_auc"] is None
    assert found["fused"]["interval"]["roc_auc"] is None
    assert "no labelled anomalous record" in found["warnings"][0]
    json.dumps(found, allow_nan=False)


def test_an_inverted_score_is_shown_as_it_is(ranked):
    y, score = ranked
    found = judged(-score, y)
    assert found["fused"]["roc_auc"] < 0.5
    assert any("below 0.5" in text for text in found["warnings"])


def test_machines_of_one_class_and_scores_that_tell_machines_are_named():
    rng = np.random.default_rng(6)
    machine = [f"m{i // 100}" for i in range(400)]
    y = (np.arange(400) >= 300).astype(np.int16)
    found = judged(np.arange(400) // 100 + rng.random(400), y, machine=machine)
    told = " ".join(found["warnings"])
    assert "recognising machines" in told and "tells its machine" in told
    assert found["confound"]["machine_from_score_auc"] > 0.8


def test_the_plain_level_is_named_where_it_does_as_well(ranked):
    y, score = ranked
    x = np.random.default_rng(1).standard_normal((400, 64)) * np.exp(score)[:, None]
    assert any("plain RMS level" in text for text in judged(score, y, x=x)["warnings"])


def test_each_class_is_judged_against_all_normals(ranked):
    y, score = ranked
    fault = np.where(y == 1, np.where(np.arange(400) % 2, "a", "b"), "")
    found = judged(score, y, fault=fault)["per_class"]
    mine = (y == 0) | (fault == "a")
    assert found["a"]["roc_auc"] == pytest.approx(roc_auc_score(y[mine], score[mine]))
    assert found["a"]["n"] + found["b"]["n"] == y.sum()


def test_intervals_over_groups_are_wider_than_over_records():
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(40), 25)
    y = (group % 4 == 0).astype(np.int16)
    score = y + np.repeat(rng.standard_normal(40), 25) + 0.1 * rng.standard_normal(1000)
    wide = intervals(y, score, group, np.random.default_rng(0))["roc_auc"]
    narrow = intervals(y, score, np.arange(1000), np.random.default_rng(0))["roc_auc"]
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_baselines_see_what_their_names_say():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((60, 256))
    x[0] *= 5
    x[1, 100] = 40
    batch = make_batch(x, fs=100)
    found = trivial_scores(batch, 0)
    assert found["rms"].argmax() == 0
    assert found["kurtosis"].argmax() == 1
    same = make_batch(np.tile(np.sin(np.arange(64)), (30, 1)) + np.eye(30, 64) * (np.arange(30) == 7)[:, None], fs=1)
    assert trivial_scores(same, 0)["mean_template"].argmax() == 7
    raw = np.stack([np.arange(60.0), np.arange(60.0) ** 3], axis=1)
    assert rank_consensus(raw).argmax() == z_mean(raw).argmax() == 59
    assert np.isnan(tell_apart(np.zeros(20, np.int32), rng.random(20)))


def test_alarms_are_judged_as_they_were_raised_train_and_test_apart():
    y = np.array([1, 1, 1, 0, 0, 0, 0, -1])
    level = np.array([2, 1, 3, 2, 0, 1, 0, 2], np.int8)
    found = alarms_as_raised(y, level)
    assert found["train"] is None and found["test"] is None
    every = found["all"]
    assert (every["precision"], every["recall"], every["false_alarm_rate"]) == pytest.approx((1 / 2, 1 / 3, 1 / 4))
    assert every["confusion"]["alarm"] == {"anomalous": 1, "normal": 1}
    assert every["confusion"]["invalid"] == {"anomalous": 1, "normal": 0}  # a missed fault, though its data are bad
    assert sum(n for row in every["confusion"].values() for n in row.values()) == 7
    parts = alarms_as_raised(y, level, np.array([1, 1, 0, 1, 0, 0, 0, 1], bool))
    assert parts["train"]["recall"] == 0.5 and parts["test"]["recall"] == 0.0 and parts["test"]["precision"] is None
    assert alarms_as_raised(y, level, np.ones(8, bool))["test"] is None


def test_other_cuts_change_what_depends_on_them_and_nothing_else(ranked):
    y, score = ranked
    strict, loose = (judged(score, y, level=np.where(score > cut, 2, 0).astype(np.int8)) for cut in (2.5, 1.0))
    verdict = Verdict(score, score, np.where(score > 1.0, 2, 0).astype(np.int8), *[score] * 9)
    again = at_cuts(strict, y, np.where(y == 1, "worn", ""), verdict, 0.1)
    assert again == loose and again["alarms"] != strict["alarms"] and again["per_class"]["worn"]["recall"] > 0.3
