"""Sensors: what a spoilt record shows is told from what a machine does."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.diagnose import Known, diagnose

from .made import transformer

FS = 8192.0
BASE = np.stack([transformer(seed)[None] for seed in range(100, 120)])
RNG = np.random.default_rng(0)
HZ = np.fft.rfftfreq(8192, 1 / FS)


def shaped(shape):
    return np.fft.irfft(np.fft.rfft(RNG.normal(size=8192)) * shape, 8192)


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
    "drift or settling": lambda: transformer(6) + shaped(np.where((HZ > 0) & (HZ < 20), 1 / np.maximum(HZ, 1), 0)),
    "loose mount": lambda: transformer(7) + 0.01 * shaped(1 / np.abs(1 - (HZ / 1500) ** 2 + 0.1j * HZ / 1500)),
    "electrical interference": spiked,
    "wrong sampling rate": lambda: np.interp(np.arange(8192) / 1.2, np.arange(8192), transformer(8)),
    "dead": lambda: np.full(8192, 0.25),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_spoilt_record_is_named(fault):
    found = diagnose(SPOILT[fault]()[None], Known(FS, "g", 50.0), BASE).named
    assert (found[0].name, found[0].grade) == (f"sensor: {fault}", "strong")
    assert found[0].evidence


def test_a_level_names_no_cause():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(20, 1, 4096))
    found = diagnose(base[0] + 3 * np.sin(np.arange(4096) * 0.7), Known(2000.0), base[1:]).named
    level = next(h for h in found if h.name == "level: risen")
    assert level.grade == "weak" and level.against == ("a level alone names no cause",)
