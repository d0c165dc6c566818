"""Cycle maps and the three-channel image: what they show of a signal, how they fall back, and that they move with nothing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from vibro.context import Context
from vibro_plugins.dsp.cycles import MAINS, PATCHES, PERIOD, dominant_period, mains_comb
from vibro_plugins.dsp.reference_level import unit_records
from vibro_plugins.features.cycles import Cycles
from vibro_plugins.features.hetero import Hetero

FS, SAMPLES = 8192.0, 8192
T = np.arange(SAMPLES) / FS


def mains(frequency, delay=0.0, first=0.4, noise=0.02, fs=FS, samples=SAMPLES, seed=0):
    t = np.arange(samples) / fs + delay
    lines = np.cos(4 * np.pi * frequency * t) + 0.5 * np.cos(8 * np.pi * frequency * t + 0.4)
    lines += first * np.cos(2 * np.pi * frequency * t + 0.9)
    return lines + noise * np.random.default_rng(seed).standard_normal(samples)


def records(*signals):
    return np.stack(signals)[:, None].astype(np.float32)


def view(cls, x, fs=FS, rows=None, **settings):
    extractor = cls.make(settings, Context(fs=fs))
    inputs = {"raw": x, "sensor": np.zeros((len(x), 1), np.float32)}
    extractor.fit(inputs if rows is None else {k: v[rows] for k, v in inputs.items()})
    return extractor.transform(inputs), extractor.state()


@pytest.mark.parametrize("nominal", [50.0, 60.0])
def test_mains_frequency_and_share(nominal):
    wanted = nominal + np.array([-0.4, -0.05, 0.0, 0.2])
    x = unit_records(records(*(mains(f, seed=i) for i, f in enumerate(wanted))))[0][:, 0]
    frequency, share, _, _ = mains_comb(x, FS, nominal)
    assert frequency == pytest.approx(wanted, abs=0.02)
    assert (share > 0.9).all()
    noise = np.random.default_rng(0).standard_normal((8, SAMPLES)).astype(np.float32)
    assert (mains_comb(noise, FS, nominal)[1] < 0.1).all()
    assert (mains_comb(x[:, :800], FS, nominal)[1] == 0).all()  # fewer than six cycles cannot show a comb


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


def test_hetero_range_is_fixed_at_fit_and_never_by_image():
    """Ten times the amplitude must stay ten times brighter: T10."""
    x = records(*(mains(50.0, 0.003 * i, seed=i) for i in range(20)))
    extractor = Hetero.make({"size": 32}, Context(fs=FS))
    sensor = np.zeros((20, 1), np.float32)
    extractor.fit({"raw": x, "sensor": sensor})
    state = extractor.state()
    usual = extractor.transform({"raw": x, "sensor": sensor})
    louder = extractor.transform({"raw": 10 * x, "sensor": sensor})
    assert usual.shape == (20, 3, 32, 32) and usual.min() >= 0 and usual.max() <= 1
    assert state["mode"] == MAINS and state["low"].shape == (3,)
    step = 20 / (state["high"][:2] - state["low"][:2])  # 20 dB in units of the range
    for channel in (0, 1):
        free = (louder[:, channel] < 1) & (usual[:, channel] > 0)
        assert np.allclose((louder - usual)[:, channel][free], step[channel], atol=1e-3)
    assert (louder[:, :2].mean(axis=(2, 3)) > usual[:, :2].mean(axis=(2, 3)) + 0.1).all()
    quiet = extractor.transform({"raw": 0 * x[:1], "sensor": sensor[:1]})
    assert (quiet[0, :2] == 0).all()  # a dead sensor is dark, not noise at full scale


def test_hetero_rows_and_context():
    tone = np.sin(2 * np.pi * 3000 * T)
    low = np.sin(2 * np.pi * 60.0 * T)
    got, _ = view(Hetero, records(*(mains(50.0, seed=i) for i in range(6)), tone, low), rows=slice(0, 8))
    high, slow = got[6], got[7]
    assert high[0].mean(axis=1).argmax() < 10 < slow[0].mean(axis=1).argmax()
    assert high[1].mean(axis=1).argmax() < 20 and slow[1].mean(axis=1).argmax() >= 62
    rows = got[0, 2]
    assert np.abs(rows - rows.mean(axis=0)).mean() < 0.05  # healthy = the same cycle in every row


def test_classic_hetero_is_the_plan_s_image():
    x = np.random.default_rng(5).standard_normal((3, 1, SAMPLES)).astype(np.float32)
    got, _ = view(Hetero, x, layout="classic", size=32)
    assert got.min() == 0 and got.max() == 1
    assert (got.reshape(3, 3, -1).max(axis=2) == 1).all() and (got.reshape(3, 3, -1).min(axis=2) == 0).all()
    lines = x[0, 0].reshape(32, 256).reshape(32, 32, 8).mean(axis=2)
    assert np.corrcoef(got[0, 2].ravel(), lines.ravel())[0, 1] > 0.9999
    stft = np.abs(scipy.signal.stft(x[0, 0], nperseg=256, noverlap=128)[2])
    edges = [(np.arange(32) * n // 32, -((-np.arange(1, 33) * n) // 32)) for n in stft.shape]
    want = [[stft[a:b, c:d].mean() for c, d in zip(*edges[1], strict=True)] for a, b in zip(*edges[0], strict=True)]
    assert np.corrcoef(got[0, 1].ravel(), np.ravel(want))[0, 1] > 0.999


@pytest.mark.parametrize(("name", "mode"), [("itsc_current", MAINS), ("ecg5000", PATCHES), ("adi_motor", None)])
def test_cycles_of_real_records(real, name, mode):
    data = real(name)
    signals = data["signals"][np.linspace(0, len(data["signals"]) - 1, 24).astype(int)][:, None]
    got, state = view(Cycles, signals, fs=float(data["fs"]) or 1.0)
    assert np.isfinite(got).all() and (mode is None or state["mode"] == mode)
    if mode == MAINS:
        assert state["locked"] > 0.9
        assert np.std(got - got.mean(axis=1, keepdims=True)) < 0.25 * got.std()
