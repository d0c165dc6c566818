"""Sensors: what a spoilt record shows is told from what a machine does."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.diagnose import Known, diagnose
from vibro.diagnosis.knowledge import Machine

from .made import transformer

FS = 8192.0
BASE = np.stack([transformer(seed)[None] for seed in range(100, 120)])
RNG = np.random.default_rng(0)
HZ = np.fft.rfftfreq(8192, 1 / FS)
TIME = np.arange(8192) / FS


def shaped(shape):
    return np.fft.irfft(np.fft.rfft(RNG.normal(size=8192)) * shape, 8192)


def drift(size):
    return size * 40 * shaped(np.where((HZ > 0) & (HZ < 20), 1 / np.maximum(HZ, 1), 0))


def mount(size):
    return size * shaped(1 / np.abs(1 - (HZ / 1500) ** 2 + 0.1j * HZ / 1500))


def spiked():
    x = transformer(1) + 0.2 * np.sin(2 * np.pi * 150 * np.arange(8192) / FS)
    x[RNG.integers(10, 8000, 40)] += 8
    return x


def held():
    x = transformer(2)
    x[3000:4500] = x[3000]
    return x


SPOILT = {
    "clipping": lambda: np.clip(transformer(3), -0.8, 0.8),
    "dropout": held,
    "gain": lambda: 2 * transformer(4),
    "offset": lambda: transformer(5) + 5,
    "drift or settling": lambda: transformer(6) + drift(0.3),
    "loose mount": lambda: transformer(7) + mount(0.01),
    "electrical interference": spiked,
    "wrong sampling rate": lambda: np.interp(np.arange(8192) / 1.2, np.arange(8192), transformer(8)),
    "dead": lambda: np.full(8192, 0.25),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_record_is_named(fault):
    found = diagnose(SPOILT[fault]()[None], Known(FS, "g", 50.0), BASE).named
    assert (found[0].name, found[0].grade) == (f"sensor: {fault}", "strong")
    assert found[0].evidence


NEGLIGIBLE = {
    "an offset of a tenth of the record's own size": lambda: 12 * transformer(11) + 1,
    "a drift of two per cent of the record's RMS": lambda: transformer(12) + drift(0.02),
    "impacts of one per cent of the record's size": lambda: (
        np.sin(2 * np.pi * 100 * TIME) + 1e-4 * RNG.normal(size=8192) + 0.02 * struck()
    ),
}


def struck():
    since = [TIME - start for start in (0.2, 0.24, 0.27, 0.3)]
    return sum((t >= 0) * np.exp(-np.clip(t, 0, None) / 0.003) * np.sin(2 * np.pi * 2500 * t) for t in since)


@pytest.mark.parametrize("effect", NEGLIGIBLE)
def test_what_is_small_against_the_record_is_no_finding_however_steady_the_baseline(effect):
    named = {h.name for h in diagnose(NEGLIGIBLE[effect]()[None], Known(FS, "g", 50.0), BASE).named}
    assert not {"sensor: offset", "sensor: drift or settling", "tap changer: operation"} & named


def test_on_a_rotating_machine_a_hump_of_noise_may_be_a_bearing():
    """A resonance at 1.5 kHz: weak where the noise is steady, and no mount at all where blows excite it at a steady rate."""
    known = Known(FS, "g", machine=Machine(rpm=1800), shaft=30.0)
    base = 0.1 * RNG.normal(size=(12, 1, 8192))
    steady = {h.name: h for h in diagnose((base[0, 0] + mount(0.04))[None], known, base[1:]).named}[
        "sensor: loose mount"
    ]
    assert steady.grade == "weak" and "bearing" in steady.against[0]
    blows = base[0, 0].copy()
    for start in np.arange(0.005, 0.99, 0.0093):
        t = TIME - start
        blows += 2 * (t >= 0) * np.exp(-np.clip(t, 0, None) / 0.002) * np.sin(2 * np.pi * 1500 * t)
    assert "sensor: loose mount" not in {h.name for h in diagnose(blows[None], known, base[1:]).named}


def test_a_level_names_no_cause():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(20, 1, 4096))
    found = diagnose(base[0] + 3 * np.sin(np.arange(4096) * 0.7), Known(2000.0), base[1:]).named
    level = next(h for h in found if h.name == "level: risen")
    assert level.grade == "weak" and level.against == ("a level alone names no cause",)


def test_a_slow_quantity_at_another_setting_is_no_offset_and_one_sample_at_an_extreme_no_clipping():
    rng = np.random.default_rng(3)
    setting = rng.choice([2.0, 9.0], 40, p=[0.6, 0.4])[:, None, None]
    base = setting + 0.1 * rng.normal(size=(40, 1, 1)) + 0.02 * rng.normal(size=(40, 1, 200))
    record = 9 + 0.02 * rng.normal(size=(1, 200))
    known = Known(100.0, "bar")
    assert not {h.name for h in diagnose(record, known, base).named} & {"sensor: offset", "sensor: clipping"}
    flat = np.clip(record, *np.quantile(record, [0.05, 0.95]))
    assert "sensor: clipping" in {h.name for h in diagnose(flat, known, base).named}
    still = base - base.mean(axis=2, keepdims=True) + 2
    assert "sensor: offset" in {h.name for h in diagnose(record, known, still).named}
