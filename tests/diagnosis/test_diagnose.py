"""Any record gets an answer: odd rates, lengths and values, several channels, nearest operating states."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.case import Baseline, Case
from vibro.diagnosis.diagnose import NEAREST, Known, diagnose, mates_of
from vibro.diagnosis.knowledge import Machine, machine_of

from .made import FS, SHAFT, bearing, noise

KNOWN = machine_of(
    {"rpm": "1800", "bearing": "6205", "teeth": "23", "poles": "4", "mains_hz": "60", "winding": "motor"}, ""
)


@pytest.mark.parametrize(("length", "fs"), [(64, 100.0), (140, 1.0), (2048, 12e3), (30_000, 1e5), (4096, 50.0)])
@pytest.mark.parametrize("machine", [Machine(), KNOWN, Machine(winding="transformer", mains_hz=50.0)])
@pytest.mark.filterwarnings("error")
def test_odd_records_get_an_answer(length, fs, machine):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(8, 1, length)).astype(np.float32)
    odd = [base[0], np.zeros_like(base[0]), 1e18 * base[0], np.eye(1, length, 5), np.round(base[0])]
    for x in odd:
        for baseline in (None, base, np.zeros_like(base)):
            found = diagnose(x, Known(fs, "g", None, machine, machine.shaft), baseline)
            assert all(h.evidence for h in found.named)
            assert all(np.isfinite(m.hz) and m.hz > 0 for h in found.named for m in h.marks)


def test_too_short_or_not_finite_is_said():
    assert "too few" in diagnose(np.zeros((1, 10)), Known(FS)).unsaid[0]
    assert diagnose(np.full((1, 1000), np.nan), Known(FS)).unsaid == ("the record holds values that are no numbers",)


def test_the_channel_that_shows_it_is_named():
    x = np.stack([noise(1), bearing(2, KNOWN.rates(SHAFT)["outer"])])
    found = diagnose(x, Known(FS, machine=KNOWN, shaft=SHAFT)).named[0]
    assert found.name == "bearing: outer race" and found.channel == 1 and found.evidence[0].startswith("channel 1: ")


def test_two_calls_agree():
    x = bearing(3, KNOWN.rates(SHAFT)["inner"])[None]
    assert diagnose(x, Known(FS, machine=KNOWN, shaft=SHAFT)) == diagnose(x, Known(FS, machine=KNOWN, shaft=SHAFT))


def test_the_nearest_states_are_compared_with():
    load = np.linspace(0, 1, 201)[:, None]
    others = [i for i in range(201) if i != 100]
    near = mates_of(others, 100, load, 1000)
    assert len(near.rows) == NEAREST and min(near.rows) == 70 and max(near.rows) == 130
    np.testing.assert_allclose(near.state[:, 0], (load[near.rows, 0] - 0.5) / load[others].std())
    load[100] = np.nan
    spread = mates_of(others, 100, load, 1000)
    assert (
        len(spread.rows) == NEAREST and (spread.rows[0], spread.rows[-1]) == (0, 200) and spread.state.shape == (60, 0)
    )
    assert len(mates_of(others, 100, load, 10**7).rows) == 5
    assert mates_of([], 0, load, 1000).rows == []


def test_what_the_state_explains_is_no_deviation():
    rng = np.random.default_rng(0)
    state = np.linspace(-2, 2, 60)[:, None] - 1.5
    level = 10 * (state + 1.5) ** 2 + 0.1 * rng.normal(size=(60, 1))
    case = Case(np.zeros(100), FS, baseline=Baseline(np.zeros((60, 100)), state=state))
    usual = np.array([10 * 1.5**2])
    difference, z = case.deviation(usual, level, 0.01)
    assert abs(difference[0]) < 0.2 and abs(z[0]) < 3
    assert case.deviation(usual + 2, level, 0.01)[1][0] > 10
    blind = Case(np.zeros(100), FS, baseline=Baseline(np.zeros((60, 100))))
    assert blind.deviation(usual + 2, level, 0.01)[1][0] < 3
