"""The modulation depth at shaft speed."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.diagnosis.case import Baseline, Case
from vibro.diagnosis.modulation import depth, modulation

FS, SHAFT = 8192.0, 25.0
T = np.arange(8192) / FS


def carrier(m, seed=0, hz=2000.0):
    noise = 0.01 * np.random.default_rng(seed).standard_normal(len(T))
    return (1 + m * np.cos(2 * np.pi * SHAFT * 1.005 * T)) * np.sin(2 * np.pi * hz * T) + noise


@pytest.mark.parametrize("m", [0.05, 0.3, 0.8])
def test_the_depth_of_a_modulated_carrier_is_found_although_the_speed_is_a_little_off(m):
    assert depth(carrier(m), FS, SHAFT) == pytest.approx(m, rel=0.1)


def test_another_rate_is_not_taken_for_it_and_short_or_slow_records_have_none():
    assert depth(carrier(0.8), FS, 3.3 * SHAFT) < 0.02
    assert depth(carrier(0.8)[:1024], FS, SHAFT) is None
    assert depth(carrier(0.8), FS, 400.0) is None  # ten times that lies above the band


def test_it_is_said_beside_the_baseline():
    base = Baseline(np.stack([carrier(0.1, seed) for seed in range(1, 8)]), np.full(7, SHAFT))
    said = modulation(Case(carrier(0.6), FS, shaft=SHAFT, baseline=base))
    assert said.startswith("modulation depth at shaft speed (25 Hz) above 250 Hz: ")
    assert said.endswith("%, 10% in the median of 7 normal records")
    assert modulation(Case(carrier(0.6), FS)) == ""
