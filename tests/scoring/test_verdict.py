"""Conformal p-values and the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID, NORMAL, ScoreMatrix, conformal_p, decide

NAN = np.nan


def matrix(z):
    z = np.atleast_2d(np.asarray(z, float))
    names = tuple("abcdef"[: z.shape[1]])
    return ScoreMatrix(names, np.array([f"{i}" for i in range(len(z))]), z, z)


def verdict(z, fused=None, weights=None, quorum=0.5, valid=None, cuts=None, unseen=None):
    m = matrix(z)
    d = m.z.shape[1]
    return decide(
        m,
        np.nan_to_num(m.z).sum(axis=1) / np.maximum(np.isfinite(m.z).sum(axis=1), 1)
        if fused is None
        else np.asarray(fused),
        np.full(d, 1.0 / d) if weights is None else np.asarray(weights, float),
        cuts or Cuts(2.0, 4.0, np.full(d, 3.0)),
        np.arange(10.0),
        np.ones(len(m.z), bool) if valid is None else np.asarray(valid),
        quorum,
        unseen,
    )


def test_p_value_counts_the_reference_at_or_above():
    reference = np.array([0.0, 1.0, 1.0, 2.0])
    p = conformal_p(np.array([-1.0, 1.0, 1.5, 2.0, 3.0, NAN]), reference)
    np.testing.assert_allclose(p[:5], np.array([5, 4, 2, 2, 1]) / 5)
    assert np.isnan(p[5])


def test_p_values_of_exchangeable_scores_are_not_smaller_than_promised():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        sample = rng.gamma(2.0, size=120)
        shares.append(conformal_p(sample[:20], sample[20:]) <= 0.1)
    assert np.mean(shares) <= 0.1 + 3 * np.sqrt(0.09 / 400)


def test_levels_follow_the_cuts_and_a_score_on_the_cut_is_not_over_it():
    v = verdict([[0.0], [2.0], [2.1], [4.0], [4.1]])
    assert v.level.tolist() == [NORMAL, NORMAL, ATTENTION, ATTENTION, ALARM]
    assert v.level.dtype == np.int8


def test_invalid_data_go_before_a_missed_quorum_and_both_before_an_alarm():
    v = verdict([[9.0, 9.0], [9.0, NAN], [NAN, NAN]], weights=[0.4, 0.6], valid=[True, True, False])
    assert v.level.tolist() == [ALARM, INDETERMINATE, INVALID]
    np.testing.assert_allclose(v.used, [1.0, 0.4, 0.0])


def test_a_row_without_any_score_is_indeterminate_and_has_no_number():
    v = verdict([[1.0, 1.0], [NAN, NAN]], fused=[1.0, NAN], quorum=0.0)
    assert v.level.tolist() == [NORMAL, INDETERMINATE]
    assert np.isnan(v.score[1]) and np.isnan(v.p_value[1]) and np.isnan(v.agreement[1])
    assert not v.exceedances[1].any() and not v.share[1].any()


def test_in_an_operating_state_that_was_never_seen_only_a_score_over_the_stricter_cut_raises_an_alarm():
    far = verdict(
        [[5.0], [8.0], [5.0]], cuts=Cuts(2.0, 4.0, np.array([4.0]), 7.0), unseen=np.array([True, True, False])
    )
    assert far.level.tolist() == [ATTENTION, ALARM, ALARM] and far.alarm_suppressed.tolist() == [True, False, False]


def test_the_confidence_of_a_held_record_knows_that_no_cut_makes_it_an_alarm():
    resampled = np.array([[1.8, 3.9], [2.0, 4.0], [2.2, 4.1], [6.5, 7.0]])
    v = verdict(
        [[1.0], [3.0], [6.0], [6.0]],
        cuts=Cuts(2.0, 4.0, np.array([3.0]), 7.0, resampled),
        unseen=np.array([True, True, True, False]),
    )
    assert v.level.tolist() == [NORMAL, ATTENTION, ATTENTION, ALARM]
    assert v.confidence.tolist() == [1.0, 0.75, 0.75, 0.75]
    assert v.unseen.tolist() == [True, True, True, False]


def test_shares_add_up_to_the_weighted_mean_of_what_is_there():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(50, 4))
    z[rng.random(z.shape) < 0.3] = NAN
    z[0] = [1.0, NAN, NAN, NAN]
    w = np.array([0.1, 0.2, 0.3, 0.4])
    v = verdict(z, fused=np.zeros(50), weights=w)
    expected = np.array([np.nansum(r * w) / w[np.isfinite(r)].sum() if np.isfinite(r).any() else 0.0 for r in z])
    np.testing.assert_allclose(v.share.sum(axis=1), expected, atol=1e-12)


def test_agreement_is_the_weight_on_the_side_of_the_verdict():
    z = np.array([[9.0, 9.0, 0.0], [0.0, 9.0, 0.0], [9.0, NAN, 0.0]])
    v = verdict(z, fused=[9.0, 0.0, 9.0], weights=[0.5, 0.3, 0.2], cuts=Cuts(2.0, 4.0, np.array([3.0, 10.0, 3.0])))
    np.testing.assert_allclose(v.agreement, [0.5, 1.0, 0.5 / 0.7])
    assert v.exceedances.tolist() == [[True, False, False], [False, False, False], [True, False, False]]


def test_constant_scores_raise_no_alarm():
    v = verdict(np.zeros((20, 3)), cuts=Cuts(0.0, 0.0, np.zeros(3)))
    assert (v.level == NORMAL).all() and not v.exceedances.any() and (v.agreement == 1).all()


def test_a_record_alone_gets_the_verdict_it_gets_in_company():
    rng = np.random.default_rng(2)
    z = rng.normal(size=(20_000, 5)) * 2
    z[::7, 2] = NAN
    whole = verdict(z)
    for i in (0, 7, 8191, 8192, 19_999):
        one = verdict(z[i : i + 1])
        for name in (
            "score",
            "persistent",
            "level",
            "p_value",
            "agreement",
            "share",
            "exceedances",
            "used",
            "confidence",
            "unseen",
            "alarm_suppressed",
        ):
            assert np.array_equal(getattr(one, name)[0], getattr(whole, name)[i], equal_nan=True), name


@pytest.mark.parametrize("weights", [[0.0, 0.0], [2.0, 6.0]])
def test_weights_need_not_sum_to_one(weights):
    v = verdict([[1.0, 3.0]], weights=weights)
    expected = [0.5, 0.5] if not any(weights) else [0.25, 0.75]
    np.testing.assert_allclose(v.share[0], np.array(expected) * [1.0, 3.0])
