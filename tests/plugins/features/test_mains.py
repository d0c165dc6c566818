"""mains: the comb and its lines, what stands in for them elsewhere, masks, and what may change a value."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, NotFittedError
from vibro_plugins.features.mains import NAMES, Mains

from ..signals import FS, comb

AT = {name: i for i, name in enumerate(NAMES)}


def fitted(x: np.ndarray, fs: float = FS) -> Mains:
    view = Mains.make({}, Context(fs=fs))
    view.fit({"raw": x})
    return view


def transformer(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    levels = {1: 0.01, 2: 0.1, 4: 0.05, 6: 0.02, 8: 0.02, 10: 0.01, 12: 0.005}
    rows = [
        comb(50 + 0.03 * rng.standard_normal(), {k: a * rng.lognormal(0, 0.1) for k, a in levels.items()}, seed=i)
        for i in range(n)
    ]
    return np.stack(rows)[:, None].astype(np.float32)


def test_lines_and_ratios_against_their_definition():
    levels = {1: 0.02, 2: 0.1, 3: 0.004, 4: 0.05, 5: 0.002, 6: 0.02, 8: 0.01}
    x = np.stack([comb(50.03, levels, noise=1e-5, seed=i) for i in range(6)])[:, None].astype(np.float32)
    v = fitted(x).transform({"raw": x})
    power = {n: a**2 / 2 for n, a in levels.items()}
    for n, p in power.items():
        assert v[:, AT[f"line_{n}"]] == pytest.approx(np.log10(np.sqrt(p)), abs=0.02)
    upper = sum(p for n, p in power.items() if n > 1)
    share = np.array([p / upper for n, p in power.items() if n > 1])
    even, odd = power[2] + power[4] + power[6] + power[8], power[3] + power[5]
    wanted = {
        "log_rms": np.log10(np.sqrt(sum(power.values()))),
        "base_ratio": power[2] / upper,
        "main_ratio": power[2] / upper,
        "log_odd_even": np.log10(odd / even),
        "harmonic_entropy": -np.sum(share * np.log2(share)),
        "log_thd": np.log10(np.sqrt((even - power[2]) / power[2])),
    }
    for name, value in wanted.items():
        assert v[:, AT[name]] == pytest.approx(value, abs=0.02), name
    assert (v[:, AT["log_between_lines"]] < -3).all()


@pytest.mark.parametrize(
    ("change", "name", "rises"),
    [
        (lambda x, t: x + 0.02 * np.sin(2 * np.pi * 150 * t), "log_odd_even", True),
        (lambda x, t: x * (1 + 0.3 * np.sin(2 * np.pi * 3 * t)), "log_cycle_variation", True),
        (lambda x, t: np.clip(x, -0.1, 0.1), "log_clip_share", True),
        (lambda x, t: np.where((t > 0.3) & (t < 0.6), 0, x), "log_longest_run", True),
        (lambda x, t: x + 0.05 * t, "log_below_20_hz", True),
        (lambda x, t: x + 0.02 * np.sin(2 * np.pi * 1777 * t), "log_above_1000_hz", True),
        (lambda x, t: np.round(x, 2), "log_distinct", False),
        (lambda x, t: x + 0.02 * np.sin(2 * np.pi * 117.3 * t), "log_between_lines", True),
    ],
)
def test_each_fault_moves_its_indicator(change, name, rises):
    x = transformer(30)
    view = fitted(x)
    normal = view.transform({"raw": x})[:, AT[name]]
    t = np.arange(FS) / FS
    moved = view.transform({"raw": change(x, t).astype(np.float32)})[:, AT[name]]
    assert (moved > normal.max()).all() if rises else (moved < normal.min()).all()


@pytest.mark.parametrize(
    ("fs", "length"),
    [
        (100, 140),
        (140, 140),
        (1000, 198),
        (1000, 1000),
        (25_600, 2560),
        (48_828, 8192),
        (50_000, 20_000),
        (100_000, 5000),
    ],
)
def test_any_rate_and_length_without_a_comb(fs, length):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((40, 1, length)).astype(np.float32)
    view = fitted(x, fs)
    v = view.transform({"raw": x})
    assert v.shape == (40, len(NAMES)) and np.isfinite(v).all()
    assert not view.kept[AT["line_1"] :].any() and not v[:, ~view.kept].any()
    assert np.count_nonzero(view.kept) >= 18
    impulsive = x * 0.2
    impulsive[:, :, :: length // 7] += 4
    moved = view.transform({"raw": impulsive})
    for name in ("log_crest", "log_kurtosis", "log_cycle_variation"):
        assert np.median(moved[:, AT[name]]) > v[:, AT[name]].max(), name


def test_short_records_of_a_current_at_60_hz():
    x = np.stack([comb(60.02, {1: 1.0, 3: 0.02, 5: 0.05, 7: 0.03}, fs=1000, length=1000, seed=i) for i in range(20)])
    view = fitted(x[:, None].astype(np.float32), 1000)
    assert view.state()["family"] == 60
    kept = dict(zip(NAMES, view.kept, strict=True))
    assert kept["line_6"] and not kept["line_8"] and not kept["log_above_1000_hz"]


def test_a_row_is_independent_of_the_batch_and_after_loading():
    x = np.concatenate([transformer(40), transformer(40, 1)], axis=1)
    view = fitted(x)
    whole = view.transform({"raw": x})
    again = Mains.make({}, Context(fs=FS))
    with pytest.raises(NotFittedError):
        again.transform({"raw": x})
    again.load_state(view.state())
    parts = [again.transform({"raw": x[i:j]}) for i, j in ((0, 1), (1, 8), (8, 40))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert np.array_equal(again.kept, view.kept) and whole.shape == (40, 2 * len(NAMES))


def test_gain_offset_and_start():
    x = transformer(12)
    view = fitted(x)
    v = view.transform({"raw": x})
    levels = [i for name, i in AT.items() if name.startswith(("log_rms", "octave", "line", "even_lines", "odd_lines"))]
    others = [i for i in range(len(NAMES)) if i not in levels]
    doubled = view.transform({"raw": 2 * x})
    assert (doubled - v)[:, levels] == pytest.approx(np.log10(2), abs=1e-5)
    assert np.array_equal(doubled[:, others], v[:, others])
    raised = view.transform({"raw": x + 0.5})
    loose = [AT["log_distinct"], AT["log_longest_run"]]  # a float32 offset rounds samples together
    rest = [i for i in range(len(NAMES)) if i not in loose]
    assert np.abs(raised - v)[:, rest].max() < 0.02
    long = comb(50.0, {2: 0.1, 4: 0.05, 6: 0.02, 8: 0.02, 10: 0.01}, length=2 * FS, noise=1e-4)
    early, late = (view.transform({"raw": long[None, None, i : i + FS].astype(np.float32)}) for i in (0, 777))
    steady = [AT[n] for n in ("log_rms", "log_crest", "log_kurtosis", "base_ratio", "harmonic_entropy", "log_thd")]
    steady += [AT[f"line_{n}"] for n in (2, 4, 6, 8, 10)]
    assert early[0, steady] == pytest.approx(late[0, steady], rel=0.01, abs=0.005)


def test_odd_records_are_finite():
    x = transformer(20)
    view = fitted(x)
    noise = np.random.default_rng(2).standard_normal(FS)
    spike = np.zeros(FS)
    spike[9] = 1
    odd = np.stack([np.zeros(FS), np.full(FS, 3.0), spike, np.sign(noise), 1e30 * noise, 1e-41 * noise])
    assert np.isfinite(view.transform({"raw": odd[:, None].astype(np.float32)})).all()
    fitted(odd[:1, None].astype(np.float32)).transform({"raw": x})
