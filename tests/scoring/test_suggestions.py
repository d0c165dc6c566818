"""Suggested records: of every kind, one of an event, none twice, none that needs no label."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.scoring.marks import Look
from vibro.scoring.suggestions import KINDS, events_of, suggest
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ScoreMatrix, decide

INSTANTS, NAMES = 80, ("a", "b", "c")
CUTS = Cuts(2.0, 3.0, np.full(3, 3.0))


@pytest.fixture
def plant():
    """Two sensors of one machine; two events, of four instants on both sensors and of one on one."""
    rng = np.random.default_rng(0)
    time = np.datetime64("2026-01-01", "ns") + np.arange(INSTANTS) * np.timedelta64(1, "h")
    batch = make_batch(
        rng.standard_normal((2 * INSTANTS, 8)),
        fs=10.0,
        sensor=["s1"] * INSTANTS + ["s2"] * INSTANTS,
        machine=["m"] * 2 * INSTANTS,
        time=np.tile(time, 2),
    )
    z = rng.standard_normal((2 * INSTANTS, 3))
    for start in (10, INSTANTS + 10):
        z[start : start + 4] += 8.0
    z[INSTANTS + 40] += 6.0
    z[60] = [5.0, -3.0, -3.0]
    return batch, z


def asked(plant, n, barred=(), known=20):
    batch, z = plant
    matrix = ScoreMatrix(NAMES, batch.ids, z, z)
    fused = z.mean(axis=1)
    verdict = decide(matrix, fused, np.ones(3) / 3, CUTS, fused, batch.valid, 0.5)
    look = Look(z.astype(np.float32), z, batch.sensor)
    stop = np.isin(np.arange(len(batch)), barred)
    return suggest(batch, verdict, CUTS, look, NAMES, stop, n, known), verdict


def test_every_kind_has_its_turn_and_no_record_comes_twice(plant):
    found, verdict = asked(plant, 12)
    assert [s.kind for s in found[:4]] == list(KINDS)
    assert len({s.row for s in found}) == len(found) == 12
    first = {s.kind: s for s in found[3::-1]}
    assert first["event"].row == int(np.argmax(verdict.score))
    assert "event of 8 raised records" in first["event"].reason
    assert first["disagreement"].row == 60 and "only a exceed" in first["disagreement"].reason
    assert (verdict.level[first["normal"].row] == 0) and not verdict.exceedances[first["normal"].row].any()


def test_the_first_are_a_record_of_an_event_and_a_normal_one_in_turn(plant):
    found, verdict = asked(plant, 24, known=0)
    kinds = [s.kind for s in found]
    assert kinds[:4] == ["event", "normal", "event", "normal"] and "cut" not in kinds[:20] and "cut" in kinds
    assert not verdict.exceedances[[s.row for s in found if s.kind == "normal"]].any()
    assert [s.row for s in found] == [s.row for s in asked(plant, 24, known=0)[0]]
    later = asked(plant, 4, known=18)[0]
    assert [s.kind for s in later[:2]] == ["event", "normal"] and later[2].kind != "event"


def test_one_record_of_an_event_is_enough(plant):
    found, verdict = asked(plant, 40)
    event = events_of(plant[0], verdict.level > 0)
    mine = [event[s.row] for s in found if event[s.row] >= 0]
    assert len(mine) == len(set(mine)) and {event[10], event[INSTANTS + 40]} <= set(mine)
    assert event[10] == event[13] == event[INSTANTS + 11] != event[INSTANTS + 40]


def test_records_that_need_no_label_are_left_out_and_no_more_come_than_there_are(plant):
    first = [s.row for s in asked(plant, 8)[0]]
    assert not set(first) & {s.row for s in asked(plant, 8, barred=first)[0]}
    everything = asked(plant, 1000)[0]
    assert len(everything) <= 2 * INSTANTS
    assert asked(plant, 5, barred=range(2 * INSTANTS))[0] == []


def test_normal_records_that_are_chosen_differ_from_each_other(plant):
    _batch, z = plant
    found = [s.row for s in asked(plant, 40)[0] if s.kind == "normal"]
    rng = np.random.default_rng(1)
    pool = np.flatnonzero(np.abs(z).max(axis=1) < 3)

    def closest(rows):
        d = np.linalg.norm(z[rows][:, None] - z[rows][None], axis=2) + np.diag(np.full(len(rows), np.inf))
        return d.min(axis=1).mean()

    assert closest(found) > np.mean([closest(rng.choice(pool, len(found), replace=False)) for _ in range(20)])
