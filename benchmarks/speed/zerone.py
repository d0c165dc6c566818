"""``zerone`` v2 against the plain per-record loop, in turns on one core, and where the time goes.

    python -m benchmarks.speed.zerone

Writes ``benchmarks/results/speed/zerone.json`` and ``.md``. The plain loop is also the independent reference of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from time import thread_time
from typing import Any
from unittest import mock

import numpy as np
import scipy.fft
import scipy.signal
import scipy.stats

THRESHOLDS = (1000, 2000, 3000, 4000)
RECORDS, PLAIN, ROUNDS, FS, LENGTH, EPS = 256, 32, 11, 8192.0, 8192, 1e-9


def checked_moments(y: np.ndarray) -> tuple[float, float]:
    """Kurtosis and skewness as most would write them; scipy.stats takes about a millisecond to check its input."""
    return scipy.stats.kurtosis(y, fisher=False), scipy.stats.skew(y)


def bare_moments(y: np.ndarray) -> tuple[float, float]:
    """Kurtosis and skewness from NumPy alone."""
    y = y - y.mean()
    power = np.mean(y**2)
    return np.mean(y**4) / power**2, np.mean(y**3) / power**1.5


def plain(x: np.ndarray, fs: float, eps: float | None = None, moments: Callable = checked_moments) -> np.ndarray:
    """The 1,200 values of one record, written as one would: layout v2 with ``eps``, classic without."""
    x = np.asarray(x, dtype=np.float64)
    v2 = eps is not None
    y = x - x.mean() if v2 else x
    f, density = scipy.signal.welch(
        x, fs, "hann", nperseg=min(4096, len(x)), noverlap=min(4096, len(x)) // 2, nfft=len(x), scaling="density"
    )
    return np.concatenate(
        [
            plain_time(x, y, v2, moments),
            plain_frames(y, fs, v2),
            plain_lines(f, density, fs, eps),
            plain_ratios(f, density, fs, v2),
        ]
    )


def plain_time(x: np.ndarray, y: np.ndarray, v2: bool, moments: Callable) -> list[float]:
    """15 values."""
    rms, size = np.sqrt(np.mean(y**2)), np.abs(y)
    peak = size.max() if v2 else y.max()
    l4 = peak / np.mean(y**4) ** 0.25
    return [
        x.mean(),
        rms,
        np.var(y),
        l4 if v2 else np.std(y),
        y.max(),
        y.min(),
        np.ptp(y),
        *moments(y),
        np.mean(np.diff(y < 0)),
        size.mean(),
        peak / rms,
        peak / size.mean(),
        peak / np.mean(np.sqrt(size)) ** 2 if v2 else l4,
        rms / size.mean(),
    ]


def plain_frames(y: np.ndarray, fs: float, v2: bool) -> np.ndarray:
    """127 values."""
    _, _, z = scipy.signal.stft(y, fs, "hann", nperseg=128, noverlap=64, boundary=None, padded=False)
    amplitude = np.abs(z)[1:65]  # bins x frames
    if v2:
        mean = amplitude.mean(axis=1)
        return np.concatenate([mean, (amplitude.std(axis=1) / mean)[:63]])
    out = np.zeros(127)
    envelope = amplitude.mean(axis=0)[:127]
    out[: len(envelope)] = envelope
    return out


def plain_lines(f: np.ndarray, density: np.ndarray, fs: float, eps: float | None) -> np.ndarray:
    """1,050 values."""
    hertz = np.arange(1, 2001)
    at = np.interp(hertz, f, density)
    out = np.concatenate([at[:1000], at[1000:].reshape(50, 20).mean(axis=1)])
    if eps is not None:
        out = np.log10(out + eps)
    top = np.concatenate([hertz[:1000], hertz[1000:].reshape(50, 20)[:, -1]])
    out[top > f[-1] * (1 + 1e-12)] = 0
    return out


def plain_ratios(f: np.ndarray, density: np.ndarray, fs: float, v2: bool) -> list[float]:
    """8 values."""
    if not v2:
        f, density = f[f <= 4000], density[f <= 4000]
    out = []
    for threshold in THRESHOLDS:
        above, below = f >= threshold, f < threshold
        if (v2 and threshold > 0.45 * fs) or not above.any():
            out += [0.0, 0.0]
            continue
        power = np.trapezoid(density[above], f[above]) / np.trapezoid(density, f)
        out += [density[above].mean() / density[below].mean(), power]
    return out


def ways(x: np.ndarray) -> dict[str, tuple[int, Callable[[], object]]]:
    """Each way or part with the records it handles in one call."""
    from vibro.context import Context
    from vibro_plugins.dsp.spectrum import scaled
    from vibro_plugins.features.zerone import Zerone
    from vibro_plugins.features.zerone import fft as _fft
    from vibro_plugins.features.zerone.values import Grid, _frames_v2, _lines, _ratios, _time_v2, density

    inputs = {"raw": x[:, None], "sensor": np.zeros((len(x), 1), np.float32)}
    view = Zerone.make({}, Context(fs=FS))
    view.fit(inputs)
    rows, grid = scaled(x[:64]), Grid(FS, LENGTH, "v2")
    gain = np.ldexp(1.0, rows.exponent)[:, None]
    power = density(rows, grid)
    return {
        "plain loop": (PLAIN, lambda: [plain(row, FS, EPS) for row in x[:PLAIN]]),
        "plain loop, bare moments": (PLAIN, lambda: [plain(row, FS, EPS, bare_moments) for row in x[:PLAIN]]),
        "zerone v2 with scipy.fft": (len(x), lambda: with_scipy(view, inputs)),
        "zerone v2": (len(x), lambda: view.transform(inputs)),
        "  scale and centre": (64, lambda: scaled(x[:64])),
        "  time values": (64, lambda: _time_v2(rows, gain)),
        "  three padded segments": (64, lambda: _fft.segment_power(rows.y, grid.hop, grid.window)),
        "  127 frames": (64, lambda: _frames_v2(rows, gain)),
        "  lines and logarithm": (64, lambda: np.log(_lines(power, grid) + EPS)),
        "  ratios": (64, lambda: _ratios(power, grid)),
    }


def with_scipy(view: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The whole view with ``scipy.fft``, eight rows at a time, instead of its own transforms."""
    from vibro_plugins.features.zerone import fft

    def in_eights(part: Callable) -> Callable:
        return lambda y, *rest: [part(y[i : i + 8], *rest) for i in range(0, len(y), 8)]

    def segments(y: np.ndarray, hop: int, window: np.ndarray) -> np.ndarray:
        total = np.zeros((len(y), 4097))
        for start in range(0, y.shape[1] - 4095, hop):
            part = y[:, start : start + 4096]
            z = scipy.fft.rfft((part - part.mean(axis=1, keepdims=True)) * window, n=8192, axis=1)
            total += z.real**2 + z.imag**2
        return total

    def frames(y: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(y, 128, axis=1)[:, ::64] * window, axis=2)[
            ..., 1:65
        ]
        amplitude = np.sqrt(z.real**2 + z.imag**2)
        return np.stack([amplitude.mean(axis=1), amplitude.std(axis=1)], axis=2), amplitude.mean(axis=2)

    with mock.patch.multiple(
        fft,
        segment_power=lambda *a: np.concatenate(in_eights(segments)(*a)),
        frame_statistics=lambda *a: [np.concatenate(found) for found in zip(*in_eights(frames)(*a), strict=True)],
    ):
        return view.transform(inputs)


def worst_error(x: np.ndarray) -> dict[str, float]:
    """Largest relative difference from the plain loop over records and values: of the float64 core and as float32."""
    from vibro_plugins.dsp.spectrum import finite32, scaled
    from vibro_plugins.features.zerone.values import Grid, values

    truth = np.stack([plain(row, FS, EPS) for row in x[:PLAIN]])
    core = values(scaled(x[:PLAIN]), Grid(FS, LENGTH, "v2"), np.full(PLAIN, EPS))
    size = np.maximum(np.abs(truth), 1e-12)
    return {
        "float64": float((np.abs(core - truth) / size).max()),
        "float32": float((np.abs(finite32(core) - truth) / size).max()),
    }


def main() -> int:
    """Measures in turns, in seconds of this thread's processor time, and writes the results."""
    from benchmarks.common import RESULTS, table, where

    from vibro.simulate.simulate import simulate

    x = simulate(records=RECORDS, seed=0).x[:, 0]
    todo = ways(x)
    taken: dict[str, list[float]] = {name: [] for name in todo}
    for _, work in todo.values():
        work()
    for _ in range(ROUNDS):
        for name, (records, work) in todo.items():
            begun = thread_time()
            work()
            taken[name].append((thread_time() - begun) / records * 1e6)
    against = {name: np.array(taken[name]) / np.array(taken["zerone v2"]) for name in list(todo)[:3]}
    found = {
        "microseconds_per_record": {
            name: {"median": np.median(t), "low": min(t), "high": max(t)} for name, t in taken.items()
        },
        "ratio": {name: {"median": np.median(r), "low": r.min(), "high": r.max()} for name, r in against.items()},
        "worst_relative_error": worst_error(x),
        "rounds": ROUNDS,
    }
    lines = [
        f"{RECORDS} simulated records of {LENGTH} samples, {ROUNDS} rounds in turns, processor time of one thread.",
        "",
        *table(["way", "us per record", "low", "high"], [[n, np.median(t), min(t), max(t)] for n, t in taken.items()]),
        *table(
            ["zerone v2 against", "times", "low", "high"],
            [[n, np.median(r), r.min(), r.max()] for n, r in against.items()],
        ),
        f"Largest relative error against the plain loop: {found['worst_relative_error']['float64']:.1e} in float64, "
        f"{found['worst_relative_error']['float32']:.1e} as the float32 view.",
    ]
    folder = RESULTS / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    about = where()
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    (folder / "zerone.json").write_text(json.dumps({"about": about, **found}, indent=1) + "\n")
    (folder / "zerone.md").write_text("\n".join(["# speed of zerone", "", head, "", *lines, ""]))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
