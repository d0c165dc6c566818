"""zerone: every value against the plain per-record loop, closed forms, odd records, masks, and what may change a value."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from vibro.api import Context, NotFittedError
from vibro_plugins.dsp.spectrum import scaled
from vibro_plugins.features.zerone import Zerone
from vibro_plugins.features.zerone.values import Grid, values

EPS = 1e-9
RATES = [(8192, 8192), (10_000, 20_000), (25_600, 2560), (1000, 1000), (1000, 198), (200, 140), (50_000, 4097)]
TIME = slice(0, 15)
FRAMES = slice(15, 142)
LINES = slice(142, 1192)
RATIOS = slice(1192, 1200)


@pytest.fixture(scope="module")
def plain():
    """The plain loop of the benchmark: scipy.signal and NumPy, one record at a time."""
    path = Path(__file__).parents[3] / "benchmarks" / "speed" / "zerone.py"
    spec = importlib.util.spec_from_file_location("plain_zerone", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plain


def records(fs: float, length: int) -> np.ndarray:
    """A mains comb on an offset, white noise, an impulse, bursts, a clipped sine: float64 (5, length)."""
    rng = np.random.default_rng(length)
    t = np.arange(length) / fs
    comb = sum(np.sin(2 * np.pi * 50 * n * t + n) / n**2 for n in range(1, 8) if 100 * n < fs)
    impulse = 1e-3 * rng.standard_normal(length)
    impulse[length // 3] += 1.0
    burst = rng.standard_normal(length) * (1 + 9 * (np.sin(2 * np.pi * 7 * np.arange(length) / length) > 0.9))
    clipped = np.clip(np.sin(2 * np.pi * 0.013 * fs * t), -0.7, 0.7)
    rows = [0.3 + comb + 0.01 * rng.standard_normal(length), rng.standard_normal(length), impulse, burst, clipped]
    return np.stack(rows)


def core(x: np.ndarray, fs: float, layout: str) -> tuple[np.ndarray, np.ndarray]:
    grid = Grid(fs, x.shape[1], layout)
    return values(scaled(x), grid, np.full(len(x), EPS)), grid.kept


def worst(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference relative to the value, or to a thousandth of the largest of its block where it is less."""
    size = np.abs(wanted)
    for block in (FRAMES, LINES):
        size[:, block] = np.maximum(size[:, block], 1e-3 * size[:, block].max(axis=1, keepdims=True))
    return float((np.abs(found - wanted) / np.maximum(size, 1e-6)).max())


@pytest.mark.parametrize("layout", ["v2", "classic"])
@pytest.mark.parametrize(("fs", "length"), RATES)
def test_every_value_is_that_of_the_plain_loop(plain, fs, length, layout):
    x = records(fs, length)
    found, kept = core(x, fs, layout)
    wanted = np.stack([plain(row, fs, EPS if layout == "v2" else None) for row in x])
    assert found.shape == (len(x), 1200)
    assert worst(np.where(kept, found, 0), np.where(kept, wanted, 0)) < 1e-9
    assert not found[:, ~kept].any()


@pytest.mark.parametrize("layout", ["v2", "classic"])
@pytest.mark.parametrize("name", ["adi_motor", "mfpt", "pronostia", "ecg5000", "itsc_current"])
def test_every_value_on_real_records(real, plain, name, layout):
    data = real(name)
    x = data["signals"][:: max(1, len(data["signals"]) // 8)][:8]
    fs = float(np.ravel(data["fs"])[0]) or 140.0
    view = Zerone.make({"layout": layout}, Context(fs=fs))
    inputs = {"raw": x[:, None], "sensor": np.zeros((len(x), 1), np.float32)}
    view.fit(inputs)
    eps = float(view.state()["eps"][0, 0])
    wanted = np.stack([plain(row, fs, eps if layout == "v2" else None) for row in x])
    found = view.transform(inputs)
    assert found.dtype == np.float32
    assert worst(found, np.where(view.kept, wanted, 0)) < 1e-5


def test_closed_forms_of_a_sine():
    amplitude, offset, fs = 0.5, 2.0, 8192
    t = np.arange(8192) / fs
    x = (offset + amplitude * np.sin(2 * np.pi * 100 * t + 0.1))[None]
    v, _ = core(x, fs, "v2")
    mean, rms, var, l4, high, low, p2p, kurtosis, skewness, crossings, size, crest, impulse, clearance, form = v[
        0, TIME
    ]
    assert mean == pytest.approx(offset)
    assert [rms, var, high, low, p2p] == pytest.approx([0.5**0.5 * 0.5, 0.125, 0.5, -0.5, 1.0], rel=1e-3)
    assert [kurtosis, crest, crossings] == pytest.approx([1.5, 2**0.5, 200 / 8191], rel=1e-2)
    assert skewness == pytest.approx(0, abs=1e-9)
    assert [size, impulse, form] == pytest.approx([1 / np.pi, np.pi / 2, np.pi / 8**0.5], rel=1e-3)
    assert l4 == pytest.approx((8 / 3) ** 0.25, rel=1e-3)
    mean_root = 0.7627597635  # of sqrt(abs(sin)): gamma(3/4) / (sqrt(pi) gamma(5/4))
    assert clearance == pytest.approx(1 / mean_root**2, rel=1e-3)
    lines = 10 ** v[0, LINES] - EPS
    assert np.argmax(lines) == 99  # 100 Hz
    assert lines[:1000].sum() == pytest.approx(var, rel=1e-3)  # density in 1 Hz bins holds the power
    assert v[0, FRAMES][1] == pytest.approx(amplitude / 2, rel=0.2)  # bin 2 = 128 Hz of the short frames


def test_high_frequency_ratios_of_two_sines():
    t = np.arange(8192) / 8192
    x = (np.sin(2 * np.pi * 500 * t) + 2 * np.sin(2 * np.pi * 2500 * t))[None]
    v, kept = core(x, 8192, "v2")
    assert v[0, RATIOS][1::2] == pytest.approx([0.8, 0.8, 0, 0], abs=1e-6)
    assert not kept[1198:].any()  # 4 kHz is above 0.9 Nyquist


@pytest.mark.parametrize(("fs", "absent"), [(8192, 2), (200, 958), (1000, 558), (25_600, 0), (50_000, 0)])
def test_trap_35_what_a_rate_cannot_give_is_masked(fs, absent):
    assert np.count_nonzero(~Grid(fs, 8192, "v2").kept) == absent


def test_no_frames_in_very_short_records():
    kept = Grid(140, 100, "v2").kept
    assert not kept[FRAMES].any() and kept[TIME].all()


@pytest.mark.parametrize(("fs", "length"), [*RATES, (100_000, 100_000)])
def test_odd_records_are_finite(fs, length):
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(length)
    spike = np.zeros(length)
    spike[5] = 1
    odd = np.stack([np.zeros(length), np.full(length, 7.0), spike, np.sign(noise), 1e30 * noise, 1e-41 * noise])
    inputs = {"raw": odd.astype(np.float32)[:, None], "sensor": np.arange(6.0)[:, None]}
    for layout in ("v2", "classic"):
        view = Zerone.make({"layout": layout}, Context(fs=fs))
        view.fit(inputs)
        assert np.isfinite(view.transform(inputs)).all()


@pytest.mark.parametrize(("fs", "length"), [(8192, 8192), (1000, 1000)])
def test_a_row_is_independent_of_the_batch(fs, length):
    x = np.random.default_rng(2).standard_normal((70, 2, length)).astype(np.float32)
    sensor = (np.arange(70) % 3).astype(np.float32)[:, None]
    view = Zerone.make({}, Context(fs=fs))
    view.fit({"raw": x, "sensor": sensor})
    whole = view.transform({"raw": x, "sensor": sensor})
    parts = [view.transform({"raw": x[i:j], "sensor": sensor[i:j]}) for i, j in ((0, 1), (1, 4), (4, 67), (67, 70))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert whole.shape == (70, 2400)
    one = Zerone.make({}, Context(fs=fs))
    one.fit({"raw": x[:, :1], "sensor": sensor})
    assert np.array_equal(one.transform({"raw": x[:, :1], "sensor": sensor}), whole[:, :1200])


def test_gain_offset_and_start():
    fs, rng = 8192, np.random.default_rng(3)
    t = np.arange(3 * fs) / fs
    long = sum(np.sin(2 * np.pi * f * t) for f in (50, 100, 300, 750)) + 0.2 * rng.standard_normal(3 * fs)
    x = long[:fs][None]
    v, _ = core(x, fs, "v2")
    doubled, _ = core(2 * x, fs, "v2")
    assert (doubled - v)[0, LINES] == pytest.approx(np.log10(4), abs=1e-2)  # eps stays behind
    shape = [3, 7, 8, 9, 11, 12, 13, 14, *range(79, 142), *range(1192, 1200)]
    assert np.array_equal(doubled[0, shape], v[0, shape])
    assert doubled[0, [1, 4, 6, 10, 20]] == pytest.approx(2 * v[0, [1, 4, 6, 10, 20]])
    raised, _ = core(x + 5.0, fs, "v2")
    assert raised[0, 0] == pytest.approx(v[0, 0] + 5)
    assert raised[0, 1:] == pytest.approx(v[0, 1:], rel=1e-9, abs=1e-9)
    tones = sum(a * np.sin(2 * np.pi * f * t) for f, a in ((50, 0.1), (100, 1), (300, 1), (750, 1)))
    early, late = (core(tones[i : i + fs][None], fs, "v2")[0] for i in (0, 1234))
    # time values, short-frame bins that hold a tone, and the lines themselves
    steady = [1, 2, 3, 6, 7, 10, 11, 12, 13, 14, 15, 16, 19, 20, 26, 142 + 49, 142 + 99, 142 + 299, 142 + 749]
    assert early[0, steady] == pytest.approx(late[0, steady], rel=1e-2)


def test_eps_follows_the_sensor():
    rng = np.random.default_rng(4)
    quiet, loud = 1e-3 * rng.standard_normal((30, 1, 2048)), rng.standard_normal((30, 1, 2048))
    raw = np.concatenate([quiet, loud]).astype(np.float32)
    sensor = np.repeat([0.0, 2.0], 30)[:, None]  # code 1 is in the model without rows
    view = Zerone.make({}, Context(fs=2048))
    with pytest.raises(NotFittedError):
        view.state()
    view.fit({"raw": raw, "sensor": sensor})
    eps = view.state()["eps"][:, 0]
    assert eps[2] / eps[0] == pytest.approx(1e6, rel=0.1)
    assert eps[1] == eps[3]  # the pool's
    # white noise of variance s^2 has a one-sided density of 2 s^2 / fs; the median of chi^2 with few degrees is below it
    assert eps[2] == pytest.approx(1e-3 * 2 / 2048, rel=0.4)
    again = Zerone.make({}, Context(fs=2048))
    again.load_state(view.state())
    unknown = {"raw": raw[:5], "sensor": np.full((5, 1), -1.0)}
    assert np.array_equal(again.transform(unknown), view.transform(unknown))
    assert not np.array_equal(
        view.transform(unknown)[:, LINES], view.transform({"raw": raw[:5], "sensor": sensor[:5]})[:, LINES]
    )
