"""Leave-one-out on the fault-injection trial: what is caught only with a member, and only without it."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.injection.left_out import leave_one_out
from vibro.injection.trial import Trial

RNG = np.random.default_rng(0)
REFERENCE = RNG.standard_normal((400, 3))


def trial(z):
    """Faults (kinds 1, severities 1, m, d) with these scores."""
    return Trial(np.zeros((1, z.shape[1])), z[None, None], np.zeros(len(z), np.int32), np.zeros((1, 1, len(z))))


def mean(weights):
    """A weighted mean over the members that gave a score."""

    def fuse(z):
        known = np.isfinite(z) * np.asarray(weights)
        total = known.sum(axis=1)
        return np.divide((np.nan_to_num(z) * known).sum(axis=1), total, out=np.full(len(z), np.nan), where=total > 0)

    return fuse


def cut_of(fuse):
    return float(np.quantile(fuse(REFERENCE), 0.99))


def test_a_member_that_alone_sees_a_fault_adds_all_that_is_caught_and_a_blind_one_nothing():
    fuse, z = mean([1, 1, 1]), RNG.standard_normal((100, 3)) * 0.1
    z[:60, 0] += 9
    found = leave_one_out(trial(z), REFERENCE, cut_of(fuse), fuse)
    assert found[0] == pytest.approx([0.6, 0.0])
    assert (found[1:, 0] == 0).all()  # without another member the first one is seen all the better


def test_a_member_that_hides_a_fault_is_one_without_which_more_is_caught():
    fuse, z = mean([1, 1, 1]), np.zeros((50, 3))
    z[:] = [2.0, 2.0, -3.0]
    found = leave_one_out(trial(z), REFERENCE, cut_of(fuse), fuse)
    assert found[2].tolist() == [0.0, 1.0]


def test_a_member_without_weight_changes_nothing_and_the_only_one_with_weight_is_all():
    fuse, z = mean([1, 0, 0]), np.full((20, 3), 8.0)
    assert leave_one_out(trial(z), REFERENCE, cut_of(fuse), fuse).tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]


def test_a_cut_above_every_reference_record_stays_as_far_above_without_a_member():
    fuse, z = mean([1, 1, 1]), np.full((10, 3), 8.0)
    assert not leave_one_out(trial(z), REFERENCE, 20.0, fuse).any()
    assert not leave_one_out(trial(z), REFERENCE, 6.0, fuse).any()
