"""Cycle maps and the three-channel image: what they show of a signal, how they fall back, and that they move with nothing."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.context import Context
from vibro_plugins.dsp.cycles import MAINS, PATCHES, PERIOD, dominant_period
from vibro_plugins.dsp.reference_level import unit_records
from vibro_plugins.features.cycles import Cycles

from ..signals import FS, SAMPLES, mains, records

T = np.arange(SAMPLES) / FS


def view(cls, x, fs=FS, rows=None, **settings):
    extractor = cls.make(settings, Context(fs=fs))
    inputs = {"raw": x, "sensor": np.zeros((len(x), 1), np.float32)}
    extractor.fit(inputs if rows is None else {k: v[rows] for k, v in inputs.items()})
    return extractor.transform(inputs), extractor.state()


def test_cycles_are_locked_to_the_phase():
    """The map of a steady signal does not depend on when the record began, nor on the exact mains frequency."""
    rng = np.random.default_rng(1)
    x = records(*(mains(50 + rng.normal() * 0.03, rng.uniform(0, 1), seed=i) for i in range(12)))
    got, state = view(Cycles, x)
    assert state["mode"] == MAINS and state["locked"] == 1 and got.shape == (12, state["rows"], 64)
    assert got.shape[1] >= 45
    typical = np.median(got, axis=(0, 1))
    assert np.abs(got - typical).mean() < 0.1 * np.abs(typical).mean()
    assert typical.argmax() in (0, 63)  # a crest of twice the mains frequency begins the cycle


def test_cycles_keep_the_level_and_show_a_missing_cycle():
    loud, gap = 3 * mains(50.0, seed=2), mains(50.0, seed=3)
    gap[4000:4200] = 0
    x = records(*(mains(50.0, 0.001 * i, seed=i) for i in range(8)), loud, gap)
    got, _ = view(Cycles, x, rows=slice(0, 8))
    level = got.std(axis=(1, 2))
    assert level[8] == pytest.approx(3 * level[:8].mean(), rel=0.05)
    by_cycle = got[9].std(axis=1)
    assert by_cycle.argmin() in range(22, 26) and by_cycle.min() < 0.7 * np.median(by_cycle)


def test_cycles_fold_by_the_own_period_without_mains():
    rng = np.random.default_rng(2)
    shaft = 23.3 + rng.normal(size=10)
    x = [sum(np.cos(2 * np.pi * k * f * (T + 0.01 * i) + k) for k in (1, 2, 3)) for i, f in enumerate(shaft)]
    x = records(*(s + 0.3 * rng.standard_normal(SAMPLES) for s in x))
    got, state = view(Cycles, x)
    assert state["mode"] == PERIOD and state["locked"] == 1
    period, strength = dominant_period(unit_records(x)[0][:, 0])
    assert period == pytest.approx(FS / shaft, rel=2e-3) and (strength > 0.5).all()
    typical = np.median(got, axis=(0, 1))
    assert np.corrcoef(got.mean(axis=1).ravel(), np.tile(typical, 10))[0, 1] > 0.98


@pytest.mark.parametrize(("samples", "fs"), [(8192, 8192.0), (140, 1.0), (198, 50000.0), (20000, 10000.0)])
def test_cycles_fall_back_to_patches(samples, fs):
    x = np.random.default_rng(3).standard_normal((9, 1, samples)).astype(np.float32)
    got, state = view(Cycles, x, fs=fs, columns=32)
    assert state["mode"] == PATCHES and state["locked"] == 0
    assert got.shape == (9, state["rows"], 32) and np.isfinite(got).all()
    assert state["rows"] * state["period"] == pytest.approx(samples)


def test_a_row_without_the_cycle_takes_the_usual_one():
    noise = np.random.default_rng(4).standard_normal(SAMPLES)
    x = records(*(mains(50.0, seed=i) for i in range(5)), noise)
    got, state = view(Cycles, x, rows=slice(0, 5))
    assert state["mode"] == MAINS and np.isfinite(got).all() and got[5].std() > 0.5


@pytest.mark.parametrize(("name", "mode"), [("itsc_current", MAINS), ("ecg5000", PATCHES), ("adi_motor", None)])
def test_cycles_of_real_records(real, name, mode):
    data = real(name)
    signals = data["signals"][np.linspace(0, len(data["signals"]) - 1, 24).astype(int)][:, None]
    got, state = view(Cycles, signals, fs=float(data["fs"]) or 1.0)
    assert np.isfinite(got).all() and (mode is None or state["mode"] == mode)
    if mode == MAINS:
        assert state["locked"] > 0.9
        assert np.std(got - got.mean(axis=1, keepdims=True)) < 0.25 * got.std()
