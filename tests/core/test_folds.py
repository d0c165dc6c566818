"""Folds: recordings and instants whole, none empty."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vibro.core.folds import make_rows
from vibro.data import make_batch


def folds_of(n, **names):
    x = np.random.default_rng(0).standard_normal((n, 8))
    return make_rows(make_batch(x, fs=1.0, **names))


def test_folds_keep_recordings_whole():
    recording = [f"r{i // 10}" for i in range(100)]
    rows = folds_of(100, recording=recording)
    assert "recording" in rows.strategy
    for r in range(10):
        assert len(np.unique(rows.fold[10 * r : 10 * r + 10])) == 1
    assert np.bincount(rows.fold).tolist() == [20] * 5
    # two sensors share twelve recordings, one of them misses the first: still no recording in two folds
    sensor = ["a"] * 36 + ["b"] * 33
    recording = [f"r{i // 3:02d}" for i in range(36)] + [f"r{i // 3:02d}" for i in range(3, 36)]
    rows = folds_of(69, sensor=sensor, recording=recording)
    for name in set(recording):
        assert len({f for f, r in zip(rows.fold, recording, strict=True) if r == name}) == 1


def test_folds_cut_time_into_blocks_and_keep_an_instant_together():
    start = np.datetime64("2026-01-01", "ns")
    rows = folds_of(100, time=start + np.arange(100) * np.timedelta64(60, "s"))
    assert "time block" in rows.strategy
    assert (np.diff(rows.fold) == 0).sum() == 80  # 20 blocks of five neighbours
    assert np.bincount(rows.fold).tolist() == [20] * 5
    sensor = [f"s{i % 4}" for i in range(100)]
    rows = folds_of(100, sensor=sensor, machine=["m"] * 100, time=start + np.arange(100) // 4 * np.timedelta64(60, "s"))
    assert all(len(np.unique(rows.fold[i : i + 4])) == 1 for i in range(0, 100, 4))


@pytest.mark.parametrize(
    "names",
    [
        {"sensor": [f"s{i // 9}" for i in range(1800)]},  # many sensors with few records each, one file
        {"sensor": [f"s{i}" for i in range(1800)], "recording": [f"r{i}" for i in range(1800)]},  # a sensor a file
        {
            "sensor": [f"s{i}" for i in range(1800)],
            "time": ["2026-01-01"] * 1800,
            "machine": ["m"] * 1800,
        },  # one instant
        {"time": ["2026-01-01"] * 1800},
    ],
)
def test_ten_rows_or_more_always_give_five_folds(names):
    for n in (10, 11, 1800):
        rows = folds_of(n, **{key: value[:n] for key, value in names.items()})
        size = np.bincount(rows.fold, minlength=5)
        assert size.min() >= max(1, n // 10), (n, size, rows.strategy)


def test_many_recordings_of_many_sensors_take_no_table_of_both():
    names = {"sensor": [f"s{i % 2000}" for i in range(6000)], "recording": [f"r{i}" for i in range(6000)]}
    batch = make_batch(np.zeros((6000, 1)), fs=1.0, **names)
    tracemalloc.start()
    rows = make_rows(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "recording" in rows.strategy and np.ptp(np.bincount(rows.fold)) <= 2
    assert peak < 30 << 20  # a table of both would take 96 MB


def test_fewer_than_ten_rows_are_one_fold():
    assert len(np.unique(folds_of(9).fold)) == 1


def test_recordings_that_hold_sensors_of_one_instant_are_held_out_together():
    start, n = np.datetime64("2026-01-01", "ns"), 160
    sensor = [f"s{i % 4}" for i in range(n)]
    jitter = np.random.default_rng(1).integers(0, 20, n)  # seconds within one instant
    time = start + np.arange(n) // 4 * np.timedelta64(600, "s") + jitter * np.timedelta64(1, "s")
    files = [f"r{i}" for i in range(n)]  # a file a record
    rows = folds_of(n, sensor=sensor, machine=["m"] * n, time=time, recording=files)
    assert "recording" in rows.strategy
    assert all(len(np.unique(rows.fold[i : i + 4])) == 1 for i in range(0, n, 4))
    rows = folds_of(n, sensor=sensor, machine=["m"] * n, time=time)  # one file of all: blocks of time
    assert "time block" in rows.strategy
    assert all(len(np.unique(rows.fold[i : i + 4])) == 1 for i in range(0, n, 4))


def test_recordings_that_only_begin_at_the_same_clock_time_stay_apart():
    start, n = np.datetime64("2026-01-01", "ns"), 200
    time = start + np.arange(n) % 20 * np.timedelta64(1, "s")
    rows = folds_of(n, time=time, recording=[f"r{i // 20}" for i in range(n)])
    assert "recording" in rows.strategy and len(np.unique(rows.group)) == 10
