"""Fit rows that seem to hold faults: late ones with their date, spread ones, none in sound data."""

from __future__ import annotations

import numpy as np

from vibro.scoring.contamination import find_contamination

DAY = np.timedelta64(24, "h")
START = np.datetime64("2024-03-01", "ns")
TIME = START + np.arange(400) * DAY


def found(score, time=TIME, cut=4.0):
    return find_contamination(score, np.zeros(len(score), np.int32), time, cut, 0.01)


def test_sound_rows_are_no_contamination():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert found(rng.normal(size=400)) == []
        assert found(rng.exponential(size=400), cut=6.0) == []


def test_a_late_period_of_faults_is_dated():
    score = np.random.default_rng(0).normal(size=400)
    score[360:] += 9.0
    (one,) = found(score)
    assert one.share == 0.1 and TIME[358] <= one.since <= TIME[364]


def test_a_fault_that_the_cut_has_learned_is_seen_beside_the_first_rows():
    score = np.random.default_rng(1).normal(size=400)
    score[240:] += 9.0  # so many that the cut lies among them
    (one,) = found(score, cut=12.0)
    assert 0.35 < one.share < 0.45 and TIME[236] <= one.since <= TIME[250]


def test_faults_all_over_the_time_have_no_date():
    score = np.random.default_rng(2).normal(size=400)
    score[::10] += 9.0
    (one,) = found(score)
    assert one.share == 0.1 and np.isnat(one.since)


def test_without_times_nothing_is_dated_and_few_rows_say_nothing():
    score = np.random.default_rng(3).normal(size=400)
    score[360:] += 9.0
    (one,) = found(score, np.full(400, np.datetime64("NaT", "ns")))
    assert np.isnat(one.since)
    assert found(np.array([0.0, 9.0, 9.0]), TIME[:3]) == []


def test_rows_that_do_not_count_are_no_contamination():
    score = np.random.default_rng(4).normal(size=400)
    score[::25] = 30.0  # tap changes, recognised as such
    assert len(found(score)) == 1
    score[::25] = np.nan
    assert found(score) == []
