"""Shafts, gears and motors: orders against the baseline."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.diagnose import Known, diagnose
from vibro.diagnosis.knowledge import Machine

from .made import FS, SHAFT, shaft

BASE = np.stack([shaft(seed)[None] for seed in range(100, 112)])


def named(x, machine=Machine(rpm=1800), baseline=BASE, **known):
    found = diagnose(x[None], Known(FS, machine=machine, shaft=SHAFT, **known), baseline)
    return {h.name: h for h in found.named}, found


@pytest.mark.parametrize(
    ("orders", "name"),
    [
        ({1.0: 1.0}, "imbalance"),
        ({2.0: 0.6}, "misalignment"),
        (dict.fromkeys(np.arange(0.5, 7, 0.5), 0.4), "looseness"),
    ],
)
def test_a_shaft_fault_is_named_first(orders, name):
    found, _ = named(shaft(1, orders))
    assert next(iter(found)) == f"shaft: {name}"


def test_normal_shafts_look_like_nothing():
    assert [list(named(shaft(seed))[0]) for seed in range(200, 210)] == [[]] * 10


def test_speed_may_differ_between_records():
    rng = np.random.default_rng(0)
    t = np.arange(24_000) / FS
    speeds = rng.uniform(25, 35, 12)
    base = np.stack([(0.2 * np.sin(2 * np.pi * s * t) + 0.1 * rng.normal(size=len(t)))[None] for s in speeds])
    x = (0.8 * np.sin(2 * np.pi * SHAFT * t) + 0.1 * rng.normal(size=len(t)))[None]
    found = diagnose(x, Known(FS, machine=Machine(), shaft=SHAFT), base, speeds)
    assert found.named[0].name == "shaft: imbalance" and "1x +1" in found.named[0].evidence[0]


def test_gear_with_side_bands():
    mesh = {23.0: 0.5, **{23.0 + k: 0.3 for k in (-3, -2, -1, 1, 2, 3)}}
    healthy = np.stack([shaft(seed, {23.0: 0.5})[None] for seed in range(12)])
    found, _ = named(shaft(3, mesh), Machine(rpm=1800, teeth=23), healthy)
    h = found["gear: damaged tooth"]
    assert h.grade == "strong" and any(m.text == "gear mesh" and abs(m.hz - 690) < 5 for m in h.marks)
    alone, _ = named(shaft(3, mesh), Machine(rpm=1800, teeth=23), None)
    assert alone["gear: damaged tooth"].grade == "weak"


def test_motor():
    machine = Machine(rpm=1800, poles=2, mains_hz=31.0, winding="motor")  # slip 1 Hz, pole passing 2 Hz
    found, _ = named(shaft(4, {62 / 30: 0.5}), machine)
    assert found["motor: stator or air gap"].grade == "strong"
    bars = {n + k / 15: 0.05 for n in (1.0, 2.0, 3.0) for k in (-1, 1)}
    found, _ = named(shaft(5, bars), machine)
    assert "motor: rotor bars" in found
    _, short = named(shaft(5, seconds=0.5), machine, None)
    assert any("side bands 2 Hz apart need records of" in line for line in short.unsaid)


def test_what_is_missing_is_said():
    _, found = named(shaft(6), baseline=None)
    assert any(
        "imbalance, misalignment and looseness cannot be judged: fewer than five" in line for line in found.unsaid
    )
    without = diagnose(shaft(6)[None], Known(FS), BASE)
    assert any("shaft speed (rpm) not given" in line for line in without.unsaid)
    _, short = named(shaft(7, seconds=0.05), baseline=None)
    assert any("holds 1.5 revolutions" in line for line in short.unsaid)


def test_zone_states_what_it_assumes():
    t = np.arange(24_000) / FS
    x = 3.0 * np.sqrt(2) * np.sin(2 * np.pi * SHAFT * t)[None]  # 3 mm/s RMS
    facts = diagnose(x, Known(FS, "mm/s", machine=Machine(rpm=1800), shaft=SHAFT)).facts
    assert "velocity 3 mm/s RMS" in facts[0] and "zone C" in facts[0] and "assumed" in facts[0]
    g = x * 2 * np.pi * SHAFT / 9806.65
    assert "velocity 3 mm/s RMS" in diagnose(g, Known(FS, "g", machine=Machine(rpm=1800), shaft=SHAFT)).facts[0]
    others = diagnose(x, Known(FS, "unknown", machine=Machine(rpm=1800), shaft=SHAFT)).facts
    assert not any("velocity" in fact for fact in others)
