"""One verdict a machine: fused per instant, persistent over time, sensor faults apart from machine faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.scoring.machines import lone_sensors, machine_rows
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID, NORMAL, Verdict

CUTS = Cuts(2.0, 4.0, np.array([4.0]))
START = np.datetime64("2024-05-01T00:00:00", "ns")
HOUR = np.timedelta64(3600, "s")


def plant(table, *, timed=True, machine="m", skew=0, levels=None):
    """Batch and verdict of a (instants, sensors) table of fused scores; NaN = no record."""
    table = np.atleast_2d(np.asarray(table, float))
    i, j = np.nonzero(~np.isnan(table))
    n = len(i)
    x = np.arange(float(n))[:, None] + np.zeros((1, 4))
    time = [START + int(a) * HOUR + np.timedelta64(int(b) * skew, "s") for a, b in zip(i, j, strict=True)]
    batch = make_batch(x, fs=100.0, sensor=[f"s{b}" for b in j], machine=[machine] * n, time=time if timed else None)
    score = table[i, j]
    level = np.where(score > 4, ALARM, np.where(score > 2, ATTENTION, NORMAL)).astype(np.int8)
    if levels is not None:
        level = np.full(n, levels, np.int8)
    ones = np.ones(n)
    return batch, Verdict(
        score,
        score,
        level,
        ones,
        ones,
        ones[:, None],
        level[:, None] == ALARM,
        ones,
        0.8 * ones,
        ones > 1,
        ones > 1,
        np.zeros(n, np.int8),
    )


def only(table, **how):
    batch, verdict = plant(table, **how)
    (row,) = machine_rows(batch, verdict, CUTS)
    return row


def healthy(instants=20, sensors=4):
    return np.random.default_rng(0).uniform(-1, 1, (instants, sensors))


def test_a_healthy_machine_is_normal_without_a_since():
    row = only(healthy())
    assert row["level"] == "normal" and np.isnat(row["since"])
    assert row["sensors_alarm"] == 0 and row["sensors_total"] == 4 and row["score"] < 1
    assert row["confidence"] == pytest.approx(0.8)


def test_a_persistent_fault_of_several_sensors_is_an_alarm_since_it_began():
    table = healthy()
    table[12:, :3] = 9.0
    row = only(table)
    assert row["level"] == "alarm" and row["since"] == START + 12 * HOUR
    assert row["sensors_alarm"] == 3 and row["score"] == pytest.approx(9.0)


def test_one_odd_instant_and_two_of_five_are_no_alarm():
    table = healthy()
    table[[3, 9, 11]] = 12.0
    row = only(table)
    assert (row["level"], row["reason"], row["since"]) == ("attention", "isolated", START + 11 * HOUR)
    assert row["records_alarm"] == 12 and row["sensors_alarm"] == 0
    table[7] = 12.0  # now 7, 9, 11: three of five
    row = only(table)
    assert (row["level"], row["reason"], row["since"]) == ("alarm", "sustained", START + 7 * HOUR)


def test_since_is_the_start_of_the_latest_episode():
    table = healthy(40)
    table[5:10] = table[25:30] = 9.0
    assert only(table)["since"] == START + 25 * HOUR


def test_attention_must_hold_at_all_five_instants():
    table = healthy()
    table[4:8] = 3.0
    assert only(table)["level"] == "normal"
    table[8] = 3.0
    row = only(table)
    assert row["level"] == "attention" and row["since"] == START + 4 * HOUR


def test_one_sensor_that_deviates_alone_is_no_machine_alarm_and_is_named():
    table = healthy()
    table[6:, 2] = 30.0
    row = only(table)
    assert row["level"] == "attention" and row["sensors_alarm"] == 1 and row["score"] == CUTS.alarm
    assert row["reason"] == "single_sensor" and row["since"] == START + 6 * HOUR
    assert lone_sensors(*plant(table), CUTS) == [("m", "s2")]
    table[6:, 3] = 9.0  # a second sensor joins in
    assert only(table)["level"] == "alarm" and lone_sensors(*plant(table), CUTS) == []


def test_sensors_that_deviate_each_in_its_turn_are_not_alone():
    table = healthy(60, sensors=6)
    for j in range(2):
        table[10 * j : 10 * j + 6, j] = 30.0
    assert [name for _, name in lone_sensors(*plant(table), CUTS)] == ["s0", "s1"]
    for j in range(2, 6):
        table[10 * j : 10 * j + 6, j] = 30.0
    row = only(table)
    assert lone_sensors(*plant(table), CUTS) == [] and (row["reason"], row["sensors_alarm"]) == ("single_sensor", 6)


def test_the_time_of_a_sensor_that_missed_instants_is_its_own():
    table = healthy()
    table[:4, 2] = np.nan
    table[10:, 2] = 30.0
    assert only(table)["since"] == START + 10 * HOUR


@pytest.mark.parametrize("timed", [True, False])
def test_no_record_in_alarm_is_left_unsaid_by_its_machine(timed):
    rng = np.random.default_rng(2)
    for _ in range(200):
        table = rng.uniform(-1, 1, (int(rng.integers(1, 9)), int(rng.integers(1, 5))))
        table[rng.random(table.shape) < 0.2] = rng.uniform(2.5, 12)
        batch, verdict = plant(table, timed=timed)
        (row,) = machine_rows(batch, verdict, CUTS)
        alarms = int((verdict.level == ALARM).sum())
        assert row["records_alarm"] == alarms and (row["level"] != "normal") >= (alarms > 0)
        assert bool(row["reason"]) == (row["level"] != "normal")
        assert alarms or row["level"] != "alarm"


def test_a_record_that_is_no_alarm_by_itself_makes_none_of_its_machine():
    table = healthy()
    table[8:] = 9.0
    batch, verdict = plant(table)
    calm = replace(verdict, level=np.zeros(len(batch), np.int8))
    (row,) = machine_rows(batch, calm, CUTS)
    assert row["level"] == "normal" and row["records_alarm"] == 0


def test_a_state_that_was_never_seen_raises_no_machine_alarm():
    table = healthy()
    table[8:] = 9.0
    batch, verdict = plant(table)
    assert machine_rows(batch, verdict, CUTS)[0]["level"] == "alarm"
    suppressed = replace(
        verdict, alarm_suppressed=verdict.score > 4, level=np.minimum(verdict.level, ATTENTION).astype(np.int8)
    )
    (row,) = machine_rows(batch, suppressed, CUTS)
    assert row["level"] == "attention" and row["score"] == CUTS.alarm and row["since"] == START + 8 * HOUR


def test_of_one_or_two_sensors_none_can_be_told_to_deviate_alone():
    for sensors in (1, 2):
        table = healthy(sensors=sensors)
        table[6:, 0] = 30.0
        assert only(table)["level"] == "alarm" and lone_sensors(*plant(table), CUTS) == []


def test_a_calm_sensor_takes_nothing_from_the_alarm_of_the_other():
    for sensors in (2, 3):
        table = np.full((20, sensors), -3.0)
        table[:, 0] = 1.2 * CUTS.alarm
        row = only(table)
        assert row["level"] == "attention" and row["sensors_alarm"] == 1 and row["since"] == START


def test_sensors_read_one_after_the_other_are_one_instant():
    table = healthy()
    table[6:, 2] = 30.0
    at_once, in_turn = only(table), only(table, skew=120)
    assert in_turn["level"] == at_once["level"] == "attention" and in_turn["score"] == at_once["score"]


@pytest.mark.parametrize(
    ("instants", "bad", "level"), [(1, 1, "alarm"), (2, 1, "attention"), (2, 2, "alarm"), (3, 2, "alarm")]
)
def test_few_instants_need_the_same_share(instants, bad, level):
    table = healthy(instants)
    table[:bad] = 9.0
    assert only(table)["level"] == level


def test_without_times_a_machine_counts_by_what_a_fifth_of_its_records_reach():
    table = healthy(50)
    table[:5] = 9.0
    row = only(table, timed=False)
    assert (row["level"], row["reason"]) == ("attention", "isolated") and np.isnat(row["since"])
    table[:15] = 9.0
    row = only(table, timed=False)
    assert row["level"] == "alarm" and np.isnat(row["since"]) and row["sensors_alarm"] == 4


def test_a_machine_without_trusted_records_is_not_guessed():
    for level, name in ((INVALID, "invalid"), (INDETERMINATE, "indeterminate")):
        row = only(np.full((8, 3), 9.0), levels=level)
        assert row["level"] == name and np.isnan(row["score"]) and row["sensors_alarm"] == 0


def test_missing_records_and_the_order_of_rows_do_not_matter():
    table = healthy()
    table[12:, :3] = 9.0
    table[13, 0] = table[3, 1] = np.nan
    batch, verdict = plant(table)
    rows = np.random.default_rng(1).permutation(len(batch))
    names = (
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
        "reason",
    )
    mixed = Verdict(**{name: getattr(verdict, name)[rows] for name in names})
    np.testing.assert_equal(machine_rows(batch.take(rows), mixed, CUTS), machine_rows(batch, verdict, CUTS))
    assert machine_rows(batch, verdict, CUTS)[0]["since"] == START + 12 * HOUR
