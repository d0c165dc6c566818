"""Scores that cuts come from: transients are left out, states that a machine's sensors share for an instant are no faults."""

from __future__ import annotations

import numpy as np

from vibro.data import make_batch
from vibro.scoring.cut_reference import cut_reference

SENSORS, INSTANTS = 4, 60
RECORDS = SENSORS * INSTANTS


def batch():
    """A machine of four sensors at sixty instants half an hour apart."""
    time = np.repeat(np.datetime64("2024-01-01", "ns") + np.arange(INSTANTS) * np.timedelta64(30, "m"), SENSORS)
    sensor = [f"S{i % SENSORS}" for i in range(RECORDS)]
    x = np.zeros((RECORDS, 8), np.float32)
    return make_batch(x, fs=8.0, sensor=sensor, machine=["M"] * RECORDS, time=list(time), row=list(range(RECORDS)))


def test_a_burst_is_left_out_a_shared_state_is_normal_and_what_lasts_is_neither():
    score = np.random.default_rng(0).normal(size=(INSTANTS, SENSORS))
    impulse = np.zeros((INSTANTS, SENSORS))
    score[10] = score[20] = 30.0
    impulse[10] = 50.0
    score[30:36] = 30.0  # it lasts: it may be a fault
    score[45, 0] = 30.0  # of one sensor alone
    scores, known = cut_reference(batch(), np.arange(RECORDS), score.ravel(), impulse.ravel())
    assert np.flatnonzero(np.isnan(scores)).tolist() == [40, 41, 42, 43]
    assert np.flatnonzero(known == 0).tolist() == [80, 81, 82, 83]
    left = np.isfinite(scores)
    assert np.array_equal(scores[left], score.ravel()[left])


def test_the_rows_are_those_of_the_reference():
    score = np.random.default_rng(1).normal(size=RECORDS)
    score[80:84] = 30.0
    rows = np.arange(40, RECORDS)
    _, known = cut_reference(batch(), rows, score[rows], np.zeros(len(rows)))
    assert rows[known == 0].tolist() == [80, 81, 82, 83]
