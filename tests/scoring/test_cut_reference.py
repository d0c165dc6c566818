"""Scores that cuts come from: transients are left out, and nothing else."""

from __future__ import annotations

import numpy as np

from vibro.context import Context
from vibro.data import make_batch
from vibro.scoring.cut_reference import cut_reference
from vibro_plugins.thresholders.auto import Auto

SENSORS, INSTANTS = 4, 60
RECORDS = SENSORS * INSTANTS


def batch():
    """A machine of four sensors at sixty instants half an hour apart."""
    time = np.repeat(np.datetime64("2024-01-01", "ns") + np.arange(INSTANTS) * np.timedelta64(30, "m"), SENSORS)
    sensor = [f"S{i % SENSORS}" for i in range(RECORDS)]
    x = np.zeros((RECORDS, 8), np.float32)
    return make_batch(x, fs=8.0, sensor=sensor, machine=["M"] * RECORDS, time=list(time), row=list(range(RECORDS)))


def test_a_burst_is_left_out_and_whatever_else_all_sensors_share_stays():
    score = np.random.default_rng(0).normal(size=(INSTANTS, SENSORS))
    impulse = np.zeros((INSTANTS, SENSORS))
    score[10] = score[20] = 30.0
    impulse[10] = 50.0
    scores = cut_reference(batch(), np.arange(RECORDS), score.ravel(), impulse.ravel())
    assert np.flatnonzero(np.isnan(scores)).tolist() == [40, 41, 42, 43]
    left = np.isfinite(scores)
    assert np.array_equal(scores[left], score.ravel()[left])
    thresholder = Auto.make({}, Context())
    assert thresholder.cut(scores, 0.01) < 10.0  # a loose core shows on all sensors at once and may last one instant


def test_the_rows_are_those_of_the_reference():
    score, impulse = np.random.default_rng(1).normal(size=RECORDS), np.zeros(RECORDS)
    score[80:84], impulse[80:84] = 30.0, 50.0
    rows = np.arange(40, RECORDS)
    scores = cut_reference(batch(), rows, score[rows], impulse[rows])
    assert rows[np.isnan(scores)].tolist() == [80, 81, 82, 83]
