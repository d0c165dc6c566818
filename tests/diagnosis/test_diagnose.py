"""Any record gets an answer: odd rates, lengths and values, several channels, nearest operating states."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.diagnose import NEAREST, Known, diagnose, nearest_rows
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
    load = np.linspace(0, 1, 101)[:, None]
    near = nearest_rows([i for i in range(101) if i != 50], 50, load)
    assert len(near) == NEAREST and min(near) == 40 and max(near) == 60
    load[50] = np.nan
    spread = nearest_rows([i for i in range(101) if i != 50], 50, load)
    assert len(spread) == NEAREST and spread[0] == 0 and spread[-1] == 100
    assert nearest_rows([], 0, load) == []
