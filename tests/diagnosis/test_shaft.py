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


def test_orders_must_be_lines():
    """Noise that rises at all low frequencies, and a record too short to part the orders, are no loose shaft."""
    hz = np.fft.rfftfreq(24_000, 1 / FS)
    low = np.fft.irfft(np.fft.rfft(np.random.default_rng(1).normal(size=24_000)) * np.where(hz < 400, 5.0, 0.0), 24_000)
    assert not [name for name in named(shaft(8) + low)[0] if name.startswith("shaft")]
    _, short = named(shaft(9, dict.fromkeys(np.arange(0.5, 7, 0.5), 0.4), seconds=0.1), baseline=BASE[:, :, :1200])
    assert any("the record holds 3.0 revolutions" in line for line in short.unsaid)


def test_a_few_revolutions_are_never_strong():
    few = 2400  # 6 revolutions
    found, _ = named(shaft(10, {1.0: 1.5})[:few], baseline=BASE[:, :, :few])
    assert found["shaft: imbalance"].grade == "weak" and "only 6.0 revolutions" in found["shaft: imbalance"].against[-1]
    assert named(shaft(10, {1.0: 1.5}))[0]["shaft: imbalance"].grade == "strong"


def test_zone_of_velocity_for_the_strictest_and_the_mildest_class():
    t = np.arange(24_000) / FS
    x = 3.0 * np.sqrt(2) * np.sin(2 * np.pi * SHAFT * t)[None]  # 3 mm/s RMS

    def facts(x, unit, **machine):
        said = diagnose(x, Known(FS, unit, machine=Machine(rpm=1800, **machine), shaft=SHAFT)).facts
        return [fact for fact in said if "velocity" in fact]

    (fact,) = facts(x, "mm/s")
    assert "velocity 3 mm/s RMS" in fact and "zone C" in fact and "zone A" in fact and "is not known" in fact
    assert facts(x * 2 * np.pi * SHAFT / 9806.65, "g") == [fact]
    assert not facts(x, "unknown") and not facts(x[:, :4800], "mm/s") and not facts(x, "mm/s", winding="transformer")
