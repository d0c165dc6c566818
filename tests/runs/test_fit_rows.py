"""``--fit-on``: baselines by share, span and date, and what cannot be one."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.errors import ConfigError
from vibro.runs.fit_rows import check_fit_on, rows_to_fit

DAY = np.timedelta64(24, "h")
START = np.datetime64("2024-03-01T00:00:00", "ns")


def life(times=True):
    """Two sensors: ``a`` one record a day for 100 days, ``b`` one an hour for ten days from day 50 on."""
    time = np.concatenate([START + np.arange(100) * DAY, START + 50 * DAY + np.arange(240) * np.timedelta64(1, "h")])
    sensor = ["a"] * 100 + ["b"] * 240
    x = np.random.default_rng(0).normal(size=(340, 1, 32))
    return make_batch(x, fs=100.0, sensor=sensor, time=time if times else None)


def chosen(batch, fit_on):
    rows, said = rows_to_fit(batch, None, fit_on)
    assert rows.judged_held_out
    sensor = batch.sensor[rows.fit]
    return int((sensor == 0).sum()), int((sensor == 1).sum()), said


def test_a_share_is_of_each_sensors_own_time():
    assert chosen(life(), "first:0.2") == (20, 48, [])
    assert chosen(life(), "first:1") == (100, 240, [])


def test_a_span_begins_with_each_sensors_first_record():
    assert chosen(life(), "first:5d") == (6, 121, [])
    assert chosen(life(), "first:36h") == (2, 37, [])


def test_a_date_is_the_same_for_all_and_a_sensor_without_records_is_named():
    few, none, said = chosen(life(), "until:2024-03-11")
    assert (few, none) == (10, 0)
    assert said == ["1 sensor has no record in the baseline until:2024-03-11 and is judged by the others': b"]
    assert chosen(life(), "until:2024-04-20T12:00:00")[:2] == (51, 12)


def test_without_times_a_share_is_of_the_rows_in_source_order():
    rows, _ = rows_to_fit(life(times=False), None, "first:0.2")
    assert sorted(rows.fit.tolist()) == [*range(20), *range(100, 148)]


@pytest.mark.parametrize(
    ("fit_on", "message"),
    [
        ("first:0", "no share or span"),
        ("first:1.5", "no share or span"),
        ("first:soon", "no share or span"),
        ("until:soon", "no date"),
        ("until:2024-02-31", "no date"),
        ("last:0.2", "is not known"),
        ("normal", "needs --labels"),
    ],
)
def test_what_is_no_baseline_is_one_sentence(fit_on, message):
    with pytest.raises(ConfigError, match=message):
        check_fit_on(fit_on, labelled=False)


def test_a_date_before_the_first_record_names_the_span_of_the_records():
    with pytest.raises(
        ConfigError, match="picks no valid record: the records lie between 2024-03-01T00:00:00 and 2024-06-08"
    ):
        rows_to_fit(life(), None, "until:2020-01-01")


def test_a_span_or_a_date_needs_times():
    for fit_on in ("first:5d", "until:2024-03-11"):
        with pytest.raises(ConfigError, match="needs records with a time"):
            rows_to_fit(life(times=False), None, fit_on)
