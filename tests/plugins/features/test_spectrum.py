"""spectrum: levels add up, follow gain, ignore offset, and exist for any rate and length."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import ConfigError, Context
from vibro_plugins.dsp.bands import segment_length
from vibro_plugins.dsp.statistics import SHAPE
from vibro_plugins.features.spectrum import Spectrum


def view(fs: float = 8192, **settings) -> Spectrum:
    return Spectrum.make(settings, Context(fs=fs))


def noise(n: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 1, length)).astype(np.float32)


@pytest.mark.parametrize("length", [140, 198, 1000, 2560, 8192, 20_000, 100_000])
def test_bands_hold_the_power_and_none_is_empty(length):
    x = noise(5, length)
    v = view(statistics=False).transform({"raw": x})
    assert 30 <= v.shape[1] <= 65
    bands = 10.0 ** (2 * v[:, 1:])
    assert (bands > 0).all() and (v > -20).all()
    assert bands.sum(axis=1) == pytest.approx(10.0 ** (2 * v[:, 0]), rel=0.25)


def test_segments():
    assert [segment_length(n) for n in (140, 300, 512, 1000, 8192, 100_000)] == [140, 300, 341 - 85, 285, 1024, 12_500]


def test_a_tone_stands_in_its_band():
    t = np.arange(8192) / 8192
    rows = np.stack([np.sin(2 * np.pi * f * t) for f in (40, 160, 640, 2560)])[:, None].astype(np.float32)
    v = view(statistics=False).transform({"raw": rows})
    highest = np.argmax(v[:, 1:], axis=1)
    assert (np.diff(highest) > 3).all()
    assert v[:, 0] == pytest.approx(np.log10(np.sqrt(0.5)), abs=1e-3)


def test_gain_moves_levels_alone_and_offset_nothing():
    x = noise(8, 2000)
    v = view().transform({"raw": x})
    levels = v.shape[1] - len(SHAPE)
    doubled = view().transform({"raw": 4 * x})
    assert (doubled - v)[:, :levels] == pytest.approx(np.log10(4), abs=1e-5)
    assert np.array_equal(doubled[:, levels:], v[:, levels:])
    assert view().transform({"raw": x + 2}) == pytest.approx(v, abs=2e-3)


def test_statistics_of_known_rows():
    t = np.arange(4096) / 4096
    impulses = np.zeros(4096)
    impulses[::512] = 1.0
    rows = np.stack([np.sin(2 * np.pi * 64 * t), impulses, np.random.default_rng(0).standard_normal(4096)])
    v = view().transform({"raw": rows[:, None].astype(np.float32)})[:, -len(SHAPE) :]
    sine, spiky, random = (dict(zip(SHAPE, row, strict=True)) for row in v)
    assert sine["log_crest"] == pytest.approx(np.log10(2**0.5), abs=1e-3)
    assert sine["log_kurtosis"] == pytest.approx(np.log10(1.5), abs=1e-3)
    assert sine["log_mobility"] == pytest.approx(np.log10(2 * np.pi * 64 / 4096), abs=1e-2)
    assert sine["log_complexity"] == pytest.approx(0, abs=1e-2)
    assert random["log_kurtosis"] == pytest.approx(np.log10(3), abs=0.1)
    assert random["zero_cross_rate"] == pytest.approx(0.5, abs=0.05)
    assert spiky["log_kurtosis"] > 2 and spiky["log_clearance"] > sine["log_clearance"] + 1
    assert spiky["asymmetry"] > 0.9


@pytest.mark.parametrize(("fs", "length"), [(200, 140), (1000, 200), (48_000, 2048), (100_000, 100_000)])
def test_a_row_is_independent_of_the_batch(fs, length):
    x = np.concatenate([noise(20, length), noise(20, length, 1)], axis=1)
    whole = view(fs).transform({"raw": x})
    parts = [view(fs).transform({"raw": x[i:j]}) for i, j in ((0, 1), (1, 7), (7, 20))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    one = view(fs).transform({"raw": x[:, :1]})
    assert np.array_equal(whole[:, : one.shape[1]], one)


@pytest.mark.parametrize("length", [140, 8192])
def test_odd_records_are_finite(length):
    rough = noise(1, length)[0, 0]
    spike = np.zeros(length)
    spike[3] = 1
    odd = np.stack([np.zeros(length), np.full(length, 5.0), spike, np.sign(rough), 1e30 * rough, 1e-41 * rough])
    assert np.isfinite(view().transform({"raw": odd[:, None].astype(np.float32)})).all()


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="bands"):
        view(bands=0)
