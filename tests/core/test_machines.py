"""One verdict a machine: what persists counts, a lone sensor counts half, one odd instant does not count."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.machines import instants, last_stretch, machine_rows, persistent, two_worst
from vibro.scores import Cuts, Verdict

CUTS = Cuts(attention=3.0, alarm=6.0, own=np.zeros(1))
START = np.datetime64("2026-01-01T00:00:00", "ns")


def decide(score: np.ndarray, level: int | None = None, times: bool = True) -> list[dict]:
    """(instants, sensors) scores of machine M as one batch with its verdict."""
    count, sensors = score.shape
    flat = score.ravel()
    time = np.repeat(START + np.arange(count) * np.timedelta64(60, "s"), sensors)
    batch = make_batch(
        np.random.default_rng(0).standard_normal((len(flat), 4)),
        fs=1.0,
        sensor=[f"s{i % sensors}" for i in range(len(flat))],
        machine=["M"] * len(flat),
        time=time if times else None,
    )
    n = len(flat)
    levels = np.full(n, 0 if level is None else level, np.int8)
    verdict = Verdict(flat, levels, np.ones(n), np.full(n, 0.75), np.zeros((n, 1)), np.zeros((n, 1), bool), np.ones(n))
    return machine_rows(batch, verdict, CUTS)


def quiet(count: int = 12, sensors: int = 4) -> np.ndarray:
    return np.zeros((count, sensors))


def test_a_quiet_machine_is_normal():
    (row,) = decide(quiet())
    assert (row["level"], row["since"], row["sensors_alarm"], row["sensors_total"]) == ("normal", None, 0, 4)
    assert row["confidence"] == pytest.approx(0.75)


def test_two_loud_instants_are_not_a_fault_three_of_five_are():
    score = quiet()
    score[[4, 6]] = 10
    assert decide(score)[0]["level"] == "normal"
    score[7] = 10
    (row,) = decide(score)
    assert row["level"] == "alarm" and row["since"] == START + 4 * np.timedelta64(60, "s")
    assert row["sensors_alarm"] == 4


def test_a_lone_sensor_counts_half():
    score = quiet()
    score[5:, 2] = 10
    (row,) = decide(score)
    assert (row["level"], row["sensors_alarm"], row["score"]) == ("attention", 1, 5.0)


def test_since_is_of_the_last_stretch():
    score = quiet(40, 2)
    score[3:9] = 10
    score[30:36] = 10
    (row,) = decide(score)
    assert row["since"] == START + 30 * np.timedelta64(60, "s")


def test_without_times_the_order_of_the_records_counts():
    score = quiet()
    score[4:8] = 10
    (row,) = decide(score, times=False)
    assert row["level"] == "alarm" and np.isnat(row["since"])


def test_invalid_and_scoreless_machines_say_so():
    assert decide(quiet() + 10, level=3)[0]["level"] == "invalid"
    assert decide(np.full((3, 2), np.nan), level=4)[0]["level"] == "indeterminate"


def test_one_record_is_judged_by_itself():
    assert decide(np.array([[10.0]]))[0]["level"] == "alarm"


def test_the_parts_against_plain_loops():
    rng = np.random.default_rng(1)
    score, instant, sensor = (
        rng.standard_normal(200),
        rng.integers(0, 30, 200),
        rng.integers(0, 5, 200).astype(np.int32),
    )
    instant = np.unique(instant, return_inverse=True)[1]
    count = int(instant.max()) + 1
    got = two_worst(score, sensor, instant, count)
    for i in range(count):
        top = np.sort(score[instant == i])[::-1]
        wanted = (top[0] + (top[1] if len(top) > 1 else min(top[0], 0))) / 2
        assert got[i] == pytest.approx(wanted)
    lasting = persistent(got)
    for i in range(len(lasting)):
        assert lasting[i] == np.sort(got[i : i + 5])[2]
    cut = float(np.quantile(lasting, 0.6))
    first, last = last_stretch(got, lasting, cut)
    assert got[first] > cut and got[last] > cut
    assert (lasting[last + 1 :] <= cut).all()


def test_instants_without_times_number_each_sensors_records():
    batch = make_batch(np.zeros((6, 2)) + np.arange(6)[:, None], fs=1.0, sensor=list("ababab"))
    number, times = instants(batch, np.arange(6))
    assert number.tolist() == [0, 0, 1, 1, 2, 2] and len(times) == 3
