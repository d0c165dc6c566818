"""Reasons of a level: the user's word, transients, unseen states, lone sensors, bad data; and what they do to levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.scoring.machines import machine_rows
from vibro.scoring.marks import BENIGN, FAULT, NORMAL, Look, Marks, usual_distance
from vibro.scoring.reasons import with_reasons
from vibro.scoring.signature import Signature, measure
from vibro.scoring.thresholds import Cuts
from vibro.scoring.transients import IMPULSIVE
from vibro.scoring.verdict import LEVELS, REASONS, ScoreMatrix, decide

CUTS = Cuts(2.0, 4.0, np.array([4.0]), unseen=6.0)
START = np.datetime64("2024-05-01T00:00:00", "ns")
REFERENCE = np.random.default_rng(9).normal(0, 0.8, 500)


class Plant:
    """Records of one machine from a (instants, sensors) table of scores, with what they look like."""

    def __init__(self, table, burst=None):
        table = np.asarray(table, float)
        self.instant, sensor = (part.ravel() for part in np.indices(table.shape))
        n, rng = table.size, np.random.default_rng(4)
        self.batch = make_batch(
            np.arange(float(n))[:, None] + np.zeros((1, 4)),
            fs=100.0,
            sensor=[f"s{j}" for j in sensor],
            machine=["m"] * n,
            time=START + self.instant * np.timedelta64(3600, "s"),
        )
        self.score = table.ravel()
        self.signature = rng.normal(size=(n, 8)).astype(np.float32)
        self.signature[:, 0] = 0 if burst is None else np.asarray(burst, float).ravel()
        self.z = self.score[:, None].copy()
        self.valid, self.unseen = np.ones(n, bool), np.zeros(n, bool)

    @property
    def look(self):
        return Look(self.signature, self.z, self.batch.sensor)

    def none(self):
        return Marks.none(self.look.take(self.score < 2))

    def verdict(self, **marks):
        """``marks``: rows by kind."""
        known = self.none()
        for name, rows in marks.items():
            rows = np.asarray(rows)
            kind = np.full(len(rows), {"normal": NORMAL, "fault": FAULT, "benign": BENIGN}[name], np.int8)
            known = known.joined(Marks(self.batch.ids[rows], kind, self.look.take(rows), known.near))
        matrix = ScoreMatrix(("d",), self.batch.ids, self.z, self.z, self.look)
        by_cuts = decide(matrix, self.score, np.ones(1), CUTS, REFERENCE, self.valid, 0.5, self.unseen)
        return with_reasons(self.batch, by_cuts, CUTS, REFERENCE, self.look, known)


def calm(instants=40, sensors=5):
    return np.random.default_rng(0).normal(0, 0.6, (instants, sensors)).clip(-1.8, 1.8)


def told(verdict, rows):
    return {(LEVELS[verdict.level[i]], REASONS[verdict.reason[i]]) for i in rows}


def test_records_of_a_transient_deserve_attention_and_do_not_move_the_machine():
    table = calm()
    table[[7, 9, 11]] = 9.0  # three of five instants: as faults they would be an alarm of the machine
    plant = Plant(table, np.where(table > 5, 3 * IMPULSIVE, 0))
    verdict = plant.verdict()
    hit = np.flatnonzero(plant.score > 5)
    assert told(verdict, hit) == {("attention", "transient")} and (verdict.confidence[hit] == 1.0).sum() == len(hit)
    assert len(verdict.transients.events) == 3
    (row,) = machine_rows(plant.batch, verdict, CUTS)
    assert row["level"] == "normal" and row["sensors_alarm"] == 0
    (row,) = machine_rows(plant.batch, Plant(table).verdict(), CUTS)
    assert row["level"] == "alarm"


def test_what_the_user_calls_a_fault_is_no_transient_and_what_he_calls_benign_is_normal():
    table = calm()
    table[7] = 9.0
    plant = Plant(table, np.where(table > 5, 3 * IMPULSIVE, 0))
    hit = np.flatnonzero(plant.instant == 7)
    verdict = plant.verdict(fault=hit[:1], benign=hit[1:2], normal=hit[2:3])
    assert told(verdict, hit[:1]) == {("alarm", "")}
    assert told(verdict, hit[1:3]) == {("normal", "benign")}
    assert told(verdict, hit[3:]) == {("attention", "transient")}
    (event,) = verdict.transients.events
    assert sorted(event.rows) == sorted(hit[3:]) and event.sensors == 5


def states(rng, rows, plant, where):
    """Gives rows one look of their own: far out in some bands, spread like normal records."""
    plant.signature[rows] = rng.normal(size=(len(rows), 8))
    plant.signature[np.ix_(rows, where)] += 40
    plant.z[rows] = 9.0
    plant.score[rows] = 9.0


@pytest.fixture
def two_states():
    """A sensor with a harmless state at six instants and a fault at six others, which score alike; and a twin sensor."""
    plant, rng = Plant(calm(80, 2)), np.random.default_rng(8)
    own = lambda sensor, instants: np.flatnonzero((plant.batch.sensor == sensor) & np.isin(plant.instant, instants))  # noqa: E731
    pump, fault, twin = own(0, range(10, 70, 10)), own(0, range(15, 75, 10)), own(1, range(12, 72, 10))
    states(rng, pump, plant, [2, 3])
    states(rng, fault, plant, [5, 6])
    states(rng, twin, plant, [2, 3])
    return plant, pump, fault, twin


def test_one_benign_label_covers_its_like_and_no_other_kind(two_states):
    plant, pump, fault, twin = two_states
    verdict = plant.verdict(benign=pump[:1])
    assert told(verdict, pump[:1]) == {("normal", "benign")}
    covered = verdict.reason[pump] == REASONS.index("benign")
    assert covered[1:].mean() > 0.5
    assert {level for level, _ in told(verdict, fault)} == {"alarm"}
    assert {level for level, _ in told(verdict, twin)} == {"alarm"}  # another sensor has a look of its own


def test_a_fault_is_not_overridden_by_a_benign_neighbour_and_shields_its_like(two_states):
    plant, pump, fault, _ = two_states
    states(np.random.default_rng(2), fault, plant, [2, 3])  # now both kinds look alike,
    plant.signature[pump] = plant.signature[pump[0]]
    plant.signature[fault] = plant.signature[pump[0]] + 0.5  # and each of a kind is the same
    assert {level for level, _ in told(plant.verdict(benign=pump[:1]), fault)} == {"normal"}
    verdict = plant.verdict(benign=pump[:1], fault=fault[:1])
    assert {level for level, _ in told(verdict, fault)} == {"alarm"}
    assert told(verdict, pump) == {("normal", "benign")}


def test_normal_speaks_of_the_record_alone(two_states):
    plant, pump, _, _ = two_states
    verdict = plant.verdict(normal=pump[:1])
    assert told(verdict, pump[:1]) == {("normal", "benign")}
    assert {level for level, _ in told(verdict, pump[1:])} == {"alarm"}


def test_a_later_mark_of_the_same_record_wins(two_states):
    plant, pump, _, _ = two_states
    marks = plant.none()
    for kind in (BENIGN, FAULT):
        marks = marks.joined(
            Marks(plant.batch.ids[pump[:2]], np.full(2, kind, np.int8), plant.look.take(pump[:2]), marks.near)
        )
    assert len(marks.ids) == 2 and (marks.said(plant.batch.ids[pump[:3]]) == [FAULT, FAULT, -1]).all()


def test_bad_data_unseen_states_and_lone_sensors_have_their_reasons():
    table = calm(80, 4)
    table[20:60, 1] = 9.0
    table[[5, 70], 2] = 5.0, 8.0
    plant = Plant(table)
    at = lambda i, j: np.flatnonzero((plant.instant == i) & (plant.batch.sensor == j))  # noqa: E731
    plant.valid[at(3, 0)] = False
    plant.unseen[np.concatenate([at(5, 2), at(70, 2), at(6, 3)])] = True
    verdict = plant.verdict()
    assert told(verdict, at(3, 0)) == {("invalid", "data")}
    assert told(verdict, at(5, 2)) == {("attention", "unseen_state")}  # held back from an alarm
    assert told(verdict, at(70, 2)) == {("alarm", "")} and told(verdict, at(6, 3)) == {("normal", "")}
    assert told(verdict, at(30, 1)) == {("alarm", "single_sensor")}


def test_a_sensor_alone_is_told_at_its_own_instants_whatever_others_did_hours_away():
    table, rng = calm(300, 10), np.random.default_rng(1)
    table[280:, 0] = 9.0
    for j in range(1, 10):
        table[rng.choice(280, 20, replace=False), j] = 2.5
    table[[285, 290], [3, 7]] = 2.5
    plant = Plant(table)
    verdict = plant.verdict()
    last = np.flatnonzero((plant.instant >= 280) & (plant.batch.sensor == 0))
    reasons = [REASONS[verdict.reason[i]] for i in last]
    assert reasons.count("single_sensor") == 18 and (reasons[5], reasons[10]) == ("", "")


def test_distances_between_normal_records_and_marks_without_any():
    rng = np.random.default_rng(0)
    normal = Look(rng.normal(size=(400, 20)).astype(np.float32), rng.normal(size=(400, 3)), np.repeat([0, 1], 200))
    near = usual_distance(normal)
    assert 1.6 < near[0] < 2.1 and 1.9 < near[1] < 2.6  # 95 % of the pairs of Gaussian records of 20 and 3 parts
    nobody = usual_distance(normal.take(np.zeros(0, np.intp)))
    assert (nobody == 0).all()
    lost = replace(normal, z=np.full((400, 3), np.nan))
    marks = Marks(np.array(["a"]), np.array([BENIGN], np.int8), lost.take(np.array([0])), near)
    assert not marks.harmless(np.array([f"b{i}" for i in range(400)]), lost).any()  # without scores nothing is near


def test_signature_tells_bursts_from_noise_and_bands_from_each_other():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((90, 2048))
    x[80:85, 500:520] += 12 * np.sin(np.arange(20) * 1.2)  # a burst
    x[85:] += 3 * np.sin(np.arange(2048) * 0.3)  # a line
    batch = make_batch(x, fs=1000.0, sensor=["s"] * 90)
    raw = measure(batch.x)
    found = Signature.fit(raw, batch.sensor, 1)
    look = found.look(raw, np.zeros((90, 1)), batch.sensor)
    burst, bands = look.signature[:, 0], np.abs(look.signature[:, 1:])
    assert burst[80:85].min() > IMPULSIVE and np.abs(burst[85:]).max() < IMPULSIVE
    assert (bands[85:].argmax(axis=1) == bands[85].argmax()).all() and bands[85:].max() > 10
    assert (look.group == 0).all()
    few = Signature.fit(raw[:10], np.repeat([0, 1], 5).astype(np.int32), 2)
    assert (few.look(raw[:3], np.zeros((3, 1)), np.array([0, 1, -1], np.int32)).group == -1).all()


@pytest.mark.parametrize("length", [4, 8, 16, 140])
def test_signature_of_short_constant_and_many_channel_records_is_finite(length):
    x = np.random.default_rng(0).standard_normal((6, 2, length))
    x[0] = 3.0
    x = x.astype(np.float32)
    raw = measure(x)
    assert np.isfinite(raw).all() and len(raw) == 6
    assert np.array_equal(raw[2:3], measure(x[2:3]))  # independent of its neighbours
