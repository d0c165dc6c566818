"""``zerone`` v2 against the plain per-record loop, in turns on one core, and where the time goes.

    python -m benchmarks.speed.zerone

Writes benchmarks/results/speed/zerone.json and zerone.md. The plain loop is also the independent reference of the tests.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from statistics import median

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import scipy.signal  # noqa: E402
import scipy.stats  # noqa: E402

RESULTS = Path(__file__).parents[1] / "results" / "speed"
THRESHOLDS = (1000, 2000, 3000, 4000)
RECORDS, ROUNDS, FS, LENGTH = 256, 7, 8192.0, 8192


def plain(x: np.ndarray, fs: float, eps: float | None = None) -> np.ndarray:
    """The 1,200 values of one record, written as one would: layout v2 with ``eps``, classic without."""
    x = np.asarray(x, dtype=np.float64)
    v2 = eps is not None
    y = x - x.mean() if v2 else x
    f, density = scipy.signal.welch(
        x, fs, "hann", nperseg=min(4096, len(x)), noverlap=min(4096, len(x)) // 2, nfft=len(x), scaling="density"
    )
    return np.concatenate([plain_time(x, y, v2), plain_frames(y, fs, v2), plain_lines(f, density, fs, eps), plain_ratios(f, density, fs, v2)])


def plain_time(x: np.ndarray, y: np.ndarray, v2: bool) -> list[float]:
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
        scipy.stats.kurtosis(y, fisher=False),
        scipy.stats.skew(y),
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
