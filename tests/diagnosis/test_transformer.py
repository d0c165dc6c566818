"""Transformers against their own baseline: each signature gets its name, a normal record none."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.diagnose import Known, diagnose
from vibro.diagnosis.knowledge import Machine

from .made import transformer

FS = 8192.0
BASE = np.stack([transformer(seed)[None] for seed in range(100, 120)])
KNOWN = Known(FS, "m/s2", 50.0, Machine(winding="transformer"))


def named(x):
    found = diagnose(x[None], KNOWN, BASE).named
    return (found[0].name, found[0].grade, found[0]) if found else ("", "", None)


def bursts(x, times, hz=2200.0, size=1.5):
    y = x.copy()
    for time in times:
        t = np.arange(int(0.006 * FS)) / FS
        first = int(time * FS)
        y[first : first + len(t)] += size * np.exp(-t / 0.001) * np.sin(2 * np.pi * hz * t)
    return y


def test_normal_records_look_like_nothing():
    assert [named(transformer(seed))[0] for seed in range(200, 220)] == [""] * 20


def test_loose_core():
    rise = {n: 1 + n / 4 for n in range(4, 24, 2)}
    x = bursts(transformer(1, rise), 0.01 * np.flatnonzero(np.random.default_rng(0).random(97) < 0.5), 1100.0, 1.0)
    name, grade, h = named(x)
    assert (name, grade) == ("core: loose clamping", "strong")
    assert any("rattle" in line for line in h.evidence) and {m.hz for m in h.marks} >= {200.0, 400.0, 600.0}


def test_direct_current():
    assert named(transformer(2, {3: 20.0, 5: 8.0}))[:2] == ("core: DC bias", "strong")


def test_loose_winding_moves_its_resonance_down():
    moved = {2: 1.6, 4: 2.2, 6: 1.5, 8: 0.5, 10: 0.6, 12: 0.7}
    assert named(transformer(3, moved))[:2] == ("winding: loose clamping", "strong")


def test_loose_winding_whose_resonance_lay_low_loses_higher_multiples_together():
    found = named(transformer(3, {6: 0.4, 8: 0.5, 10: 0.55, 12: 0.6}))
    assert found[0] == "winding: loose clamping"
    assert named(transformer(3, {2: 0.3, 4: 0.4, 6: 0.4, 8: 0.5, 10: 0.55}))[0] == "winding: deformation"


def test_deformed_winding_changes_lines_both_ways():
    assert named(transformer(4, {2: 0.6, 4: 1.5, 6: 0.5, 8: 1.7, 10: 0.6}))[0] == "winding: deformation"


def test_tap_changer():
    healthy = bursts(transformer(5), [0.3, 0.34, 0.4, 0.45], size=5.0)
    name, grade, h = named(healthy)
    assert (name, grade) == ("tap changer: operation", "weak") and "no fault by itself" in h.against[0]
    worn = bursts(
        transformer(6), 0.2 + np.cumsum([0, 0.03, 0.02, 0.05, 0.01, 0.04, 0.03, 0.06, 0.03, 0.04, 0.05]), size=5.0
    )
    assert named(worn)[:2] == ("tap changer: wear", "strong")


def test_cooling():
    rng = np.random.default_rng(7)
    spectrum = np.fft.rfft(rng.normal(size=8192))
    hz = np.fft.rfftfreq(8192, 1 / FS)
    flow = np.fft.irfft(np.where((hz > 300) & (hz < 1500), spectrum, 0)) * 0.03
    rotor = 0.05 * np.sin(2 * np.pi * 14 * np.arange(8192) / FS)
    assert named(transformer(8) + flow + rotor)[:2] == ("cooling: fan or pump", "strong")


@pytest.mark.parametrize(
    ("baseline", "mains", "said"), [(BASE[:3], 50.0, "fewer than five"), (BASE, None, "no mains comb")]
)
def test_what_is_missing_is_said(baseline, mains, said):
    found = diagnose(transformer(9)[None], Known(FS, "g", mains, Machine(winding="transformer")), baseline)
    assert any(said in line for line in found.unsaid)


def test_a_rate_too_low_for_the_lines_is_said():
    slow = np.stack([transformer(seed, fs=600.0)[None] for seed in range(10)])
    found = diagnose(slow[0], Known(600.0, "g", 50.0, Machine(winding="transformer")), slow[1:])
    assert any("holds too few multiples of 50 Hz" in line for line in found.unsaid)
