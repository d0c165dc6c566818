"""Persistence: on only where high scores adjoin, and then with as many records above every cut as before."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.scoring.instants import periods
from vibro.scoring.persistence import Persistence

START, HOUR = np.datetime64("2026-01-01", "ns"), np.timedelta64(1, "h")


def plant(score, sensors=4, step=HOUR):
    """A batch of the scores (instants x sensors) of one machine, in no order of time."""
    n = score.size
    order = np.random.default_rng(1).permutation(n)
    x = np.random.default_rng(0).standard_normal((n, 4))
    time = START + (np.arange(n) // sensors) * step
    sensor = np.array([f"s{i % sensors}" for i in range(n)])
    batch = make_batch(x, fs=1.0, sensor=sensor[order], machine=["m"] * n, time=time[order])
    return batch, score.reshape(-1)[order], order


def with_episodes(length, seed=0):
    """(300, 4) normal scores, and 60 records at 2.5 more in episodes of this many instants of one sensor each."""
    rng = np.random.default_rng(seed)
    score, fault = rng.standard_normal((300, 4)), np.zeros((300, 4), np.bool_)
    starts = rng.permutation(300 // length)[: 60 // length] * length
    for start in starts:
        fault[start : start + length, rng.integers(4)] = True
    return score + 2.5 * fault, fault


def fit(batch, score):
    return Persistence.fit(batch, np.arange(len(batch)), score)


def test_it_is_on_where_high_scores_adjoin_and_ranks_what_stays_higher():
    from sklearn.metrics import average_precision_score

    score, fault = with_episodes(5)
    batch, s, order = plant(score)
    found = fit(batch, s)
    assert found.on and found.arrays["ratio"] > 2.5
    persistent = found.apply(batch, s, {})
    y = fault.reshape(-1)[order]
    assert average_precision_score(y, persistent) > average_precision_score(y, s) + 0.08
    np.testing.assert_allclose(np.sort(persistent), np.sort(s), atol=0.02)  # any cut has as many above it


@pytest.mark.parametrize("length", [1, 300], ids=["single records", "a sensor all its time"])
def test_it_is_off_where_they_adjoin_by_chance_or_belong_to_one_sensor(length):
    if length == 1:
        score, _ = with_episodes(1)
    else:
        score = np.random.default_rng(0).standard_normal((300, 4)) + np.array([0, 0, 0, 4])
    batch, s, _ = plant(score)
    found = fit(batch, s)
    assert not found.on and found.arrays["ratio"] < 2.5
    np.testing.assert_array_equal(found.apply(batch, s, {}), s)


def test_single_events_of_all_sensors_do_not_turn_it_on():
    score = np.random.default_rng(0).standard_normal((300, 4))
    score[np.random.default_rng(3).permutation(300)[:15]] += 8.0
    assert not fit(*plant(score)[:2]).on


def test_without_times_it_is_off():
    score = with_episodes(5)[0].reshape(-1)
    batch = make_batch(np.zeros((len(score), 4)), fs=1.0)
    found = fit(batch, score)
    assert not found.on and np.isnan(found.arrays["ratio"])


def test_a_record_without_a_neighbour_keeps_its_score():
    score, _ = with_episodes(5)
    batch, s, order = plant(score)
    found, known = fit(batch, s), periods(batch)
    one = np.flatnonzero(s == s.max())
    assert found.apply(batch.take(one), s[one], known) == s[one]
    apart = np.flatnonzero((order // 4 % 4 == 0) & (order % 4 == 0))  # every fourth instant: beyond three periods
    np.testing.assert_array_equal(found.apply(batch.take(apart), s[apart], known), s[apart])
    lost = np.where(np.arange(len(s)) == one[0], np.nan, s)
    again = found.apply(batch, lost, known)
    assert np.isnan(again[one]) and np.isfinite(again).sum() == len(s) - 1


def test_a_fault_farther_out_than_the_reference_stays_in_order():
    score, _ = with_episodes(5)
    batch, s, _ = plant(score)
    found = fit(batch, s)
    _, far, _ = plant(np.tile(np.linspace(1, 50, 300)[:, None], (1, 4)))
    persistent = found.apply(plant(score)[0], far, {})
    middle = persistent[(far > 2) & (far < 49)]
    assert (np.diff(middle[np.argsort(far[(far > 2) & (far < 49)], kind="stable")]) >= 0).all() and middle.max() > 20
