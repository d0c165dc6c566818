"""Cuts and what they are worth: of each detector, and resampled for the confidence of a level."""

from __future__ import annotations

import numpy as np

from vibro.context import Context
from vibro.scoring.thresholds import confidence, own_cuts, resampled_cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INVALID, NORMAL
from vibro_plugins.thresholders.quantile import Quantile


def test_confidence_is_the_share_of_cuts_that_leave_the_level():
    cuts = np.array([[1.0, 3.0], [1.5, 3.5], [2.0, 4.0], [2.5, 4.5]])
    score = np.array([0.0, 1.7, 2.7, 3.7, 9.0, np.nan, 9.0])
    level = np.array([NORMAL, NORMAL, ATTENTION, ALARM, ALARM, INVALID, INVALID], np.int8)
    np.testing.assert_allclose(confidence(score, level, cuts), [1.0, 0.5, 1.0, 0.5, 1.0, np.nan, np.nan])


def test_a_score_far_from_the_cuts_is_surer_than_one_beside_them():
    def cut(scores, budget, y):
        return float(np.quantile(scores, 1 - budget))

    rng = np.random.default_rng(0)
    reference = np.append(rng.normal(size=500), np.nan)
    cuts = resampled_cuts(cut, reference, (0.05, 0.01), np.random.default_rng(1))
    again = resampled_cuts(cut, reference, (0.05, 0.01), np.random.default_rng(1))
    assert np.array_equal(cuts, again) and (cuts[:, 0] <= cuts[:, 1]).all()
    beside = float(np.median(cuts[:, 1]))
    near, far = confidence(np.array([beside, 8.0]), np.array([ALARM, ALARM], np.int8), cuts)
    assert 0.2 < near < 0.8 and far == 1.0


def test_a_detector_without_a_score_has_a_cut_that_nothing_passes():
    z = np.stack([np.linspace(0, 1, 200), np.full(200, np.nan), np.zeros(200)], axis=1)
    own = own_cuts(Quantile.make({}, Context()), z, 0.05)
    assert own[1] == np.inf
    assert not (z[:, 2] > own[2]).any()


class Fixed(Quantile):
    """Cuts where it is told."""

    at = 0.0

    def cut(self, scores, budget, y=None):
        return self.at


def test_a_cut_stays_below_the_highest_score_that_several_records_share():
    thresholder = Fixed.make({}, Context())
    tied = np.concatenate([np.linspace(0, 2, 95), np.full(5, 30.0)])
    for thresholder.at in (30.0, 99.0):
        assert own_cuts(thresholder, tied[:, None], 0.01)[0] == 16.0
    for scores in (
        np.full(50, 3.0),
        np.repeat([0.0, 1.0], 50),
        np.linspace(0, 1, 50),
    ):  # no ceiling: nothing to go below
        thresholder.at = 1.0
        assert own_cuts(thresholder, scores[:, None], 0.01)[0] == 1.0
