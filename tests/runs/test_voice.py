"""Sentences beside a verdict: each only where it is true, with names and counts in it, and none that says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.runs import voice
from vibro.scoring.machines import machine_rows
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ScoreMatrix, decide

NO = np.datetime64("NaT")
NOW = np.datetime64("2024-05-01T00:00:00", "ns")
CUTS = Cuts(2.0, 4.0, np.array([3.0, 3.0, 3.0]))


def machine(name, reason="", *, records=0, sensors=0, since=NOW):
    level = "alarm" if reason == "sustained" else "attention" if reason else "normal"
    counts = {"records_alarm": records, "sensors_alarm": sensors}
    return {"machine_id": name, "reason": reason, "level": level, "since": since, **counts}


def sensor(name, of, alone=True):
    return {"sensor_id": name, "machine_id": of, "alone": alone}


def verdict_of(z, fused=None):
    z = np.asarray(z, float)
    batch = make_batch(np.random.default_rng(0).standard_normal((len(z), 8)), fs=100.0)
    fused = z.mean(axis=1) if fused is None else np.asarray(fused, float)
    matrix = ScoreMatrix(("a", "b", "c"), batch.ids, z, z)
    return batch, decide(matrix, fused, np.full(3, 1 / 3), CUTS, np.arange(50.0) / 50, batch.valid, 0.5)


def told(share, budget=0.01, fallback=None, method="quantile"):
    realised = {"attention": None, "alarm": share}
    return {
        "fallback": fallback,
        "method": method,
        "realised": realised,
        "budget": {"attention": 0.05, "alarm": budget},
    }


def test_records_in_alarm_of_a_machine_that_is_not_are_explained():
    (said,) = voice.quiet_machines(
        [machine("U1", "isolated", records=8), machine("U2"), machine("U3", "sustained", records=9)]
    )
    assert said == (
        "8 records raise alarms too seldom for an alarm of the machine (3 of 5 consecutive instants): attention of machine U1"
    )
    (said,) = voice.quiet_machines([machine(f"U{i}", "isolated", records=1) for i in range(5)])
    assert "5 records" in said and said.endswith("attention of 5 machines (U0, U1, U2 and 2 more)")
    (said,) = voice.quiet_machines([machine("a", "isolated", records=1, since=NO)])
    assert said.startswith("1 record raises an alarm too seldom") and "one in five records" in said
    (said,) = voice.quiet_machines([machine("U2", "single_sensor", records=9, sensors=3)])
    assert said.startswith("3 sensors keep up an alarm without a second one")
    assert voice.quiet_machines([machine("U1"), machine("U2", "sustained", records=5, sensors=2)]) == []


def test_lone_sensors_are_one_sentence():
    assert voice.alone([sensor("s1", "U1", alone=False)]) == []
    assert voice.alone([sensor("s1", "U1")]) == [
        "sensor s1 of machine U1 deviates alone: look at the sensor and its mounting first"
    ]
    (said,) = voice.alone([sensor(f"s{i}", "U1") for i in range(30)])
    assert said.startswith("30 sensors deviate alone on their machines (s0 of U1, s1 of U1, s2 of U1 and 27 more)")


def test_verdicts_against_most_detectors_are_counted():
    z = [[14.0, 0.0, 0.0], [14.0, 9.0, 9.0], [3.5, 3.5, 3.5], [0.0, 0.0, 0.0]]
    _, verdict = verdict_of(z)
    alarms, calm = voice.minority(verdict, CUTS)
    assert alarms.startswith("1 of 2 alarms rests on few detectors")
    assert calm.startswith("1 record is no alarm though over the own cuts of most detectors")
    assert voice.minority(verdict_of([[14.0, 9.0, 9.0], [0.0, 0.0, 0.0]])[1], CUTS) == []


@pytest.mark.parametrize("share", [0.0, 0.009, 0.015, 0.02])
def test_a_share_near_its_budget_needs_no_sentence(share):
    assert voice.off_budget(*verdict_of(np.zeros((100, 3))), CUTS, [], told(share)) == []


def test_a_share_far_from_its_budget_and_a_fallback_are_told():
    batch, verdict = verdict_of(np.zeros((4000, 3)))
    (said,) = voice.off_budget(batch, verdict, CUTS, [], told(0.046))
    assert said.startswith("4.6 % of the records lie above the alarm cut, for a budget of 1 %: faults")
    (said,) = voice.off_budget(batch, verdict, CUTS, [], told(0.0))
    assert said.startswith("0 % of the records") and said.endswith("the cut is cautious")
    (said,) = voice.off_budget(batch, verdict, CUTS, [], told(0.01, fallback="12 scores are too few"))
    assert said == "the alarm cut by quantile: 12 scores are too few"
    batch, verdict = verdict_of(np.full((100, 3), 9.0))
    held = replace(verdict, level=np.where(np.arange(100) < 40, 1, 2).astype(np.int8))
    (said,) = voice.off_budget(batch, held, CUTS, [], told(1.0))
    assert said.startswith("100 % of the records lie above the alarm cut (40 of them are held back, see their reason)")


@pytest.mark.parametrize(
    ("early", "why"), [(0, "nearly all of them since the alarm of machine M began"), (10, "faults, or")]
)
def test_records_that_follow_the_alarm_of_a_machine_are_no_wrong_cut(early, why):
    z = np.zeros((100, 3))
    z[70:] = 9.0
    z[:early] = 9.0
    batch, verdict = verdict_of(z)
    time = NOW + np.arange(100) * np.timedelta64(1, "h")
    batch = replace(batch, time=time, machines=("M",), machine=np.zeros(100, np.int32))
    machines = [machine("M", "sustained", records=30, sensors=1, since=time[70])]
    (said,) = voice.off_budget(batch, verdict, CUTS, machines, told(0.3))
    assert why in said


def test_an_alarm_never_stands_beside_a_normal_machine_without_a_sentence():
    rng = np.random.default_rng(5)
    for _ in range(100):
        n = int(rng.integers(5, 60))
        z = rng.normal(size=(n, 3)) + 9.0 * (rng.random((n, 1)) < 0.15) * (rng.random((n, 3)) < 0.7)
        batch, verdict = verdict_of(z)
        rows = machine_rows(batch, verdict, CUTS)
        alarms = int((verdict.level == 2).sum())
        said = voice.quiet_machines(rows)
        assert (alarms > 0) == (any(row["level"] == "alarm" for row in rows) or bool(said))


def test_names_are_shown_or_counted():
    assert voice.names(["a"]) == "a" and voice.names(list("abc")) == "a, b, c"
    assert voice.names(list("abcd")) == "a, b, c and 1 more"
