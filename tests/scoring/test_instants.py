"""Instants: records of a machine's sensors that were taken together, in a batch and with the period that a model keeps."""

from __future__ import annotations

import numpy as np

from vibro.data import make_batch
from vibro.scoring.instants import instant_numbers, periods

START, HOUR, SECOND = np.datetime64("2026-01-01", "ns"), np.timedelta64(1, "h"), np.timedelta64(1, "s")


def plant(machines=2, sensors=3, instants=10):
    n = machines * sensors * instants
    i = np.arange(n)
    machine, sensor, instant = i % machines, i // machines % sensors, i // machines // sensors
    late = np.random.default_rng(0).integers(0, 60, n) * SECOND
    return make_batch(
        np.random.default_rng(1).standard_normal((n, 4)),
        fs=1.0,
        sensor=[f"m{m}-s{s}" for m, s in zip(machine, sensor, strict=True)],
        machine=[f"m{m}" for m in machine],
        time=START + instant * HOUR + late,
    ), np.stack([machine, instant])


def test_sensors_of_one_machine_within_half_a_period_share_a_number():
    batch, truth = plant()
    number = instant_numbers(batch, {})
    pairs = set(zip(number.tolist(), *truth.tolist(), strict=True))
    assert len(pairs) == len(set(number.tolist())) == 20
    assert all(abs(p - 3600e9) < 120e9 for p in periods(batch).values())


def test_one_instant_with_jitter_needs_the_period_that_the_model_keeps():
    batch, truth = plant()
    one = batch.take(np.flatnonzero((truth[0] == 1) & (truth[1] == 4)))
    assert len(np.unique(instant_numbers(one, {}))) == 3  # it cannot tell that a minute is nothing
    assert len(np.unique(instant_numbers(one, periods(batch)))) == 1


def test_invalid_records_and_those_without_a_time_have_no_number():
    batch, _ = plant()
    batch.quality[0], batch.time[1] = 1, np.datetime64("NaT")
    assert np.flatnonzero(instant_numbers(batch, {}) < 0).tolist() == [0, 1]
