"""Signals that several files of tests are tried on."""

from __future__ import annotations

import numpy as np

FS = SAMPLES = 8192


def comb(f0: float, amplitudes: dict[int, float], fs: float = FS, length: int = FS, noise: float = 1e-3, seed: int = 0):
    """Lines at n f0 of these amplitudes on white noise: (length,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(length) / fs
    lines = sum(a * np.sin(2 * np.pi * n * f0 * t + rng.uniform(0, 6)) for n, a in amplitudes.items())
    return lines + noise * rng.standard_normal(length)


def waves(samples, fs):
    """Records that break short cuts in different ways, (n, 1, samples)."""
    t = np.arange(samples) / fs
    rng = np.random.default_rng(samples)
    noise = rng.standard_normal(samples)
    burst = np.exp(-(((t - t[samples // 3]) / (30 / fs)) ** 2)) * np.sin(2 * np.pi * 0.21 * fs * t)
    x = {
        "sine": np.sin(2 * np.pi * 0.05 * fs * t),
        "chirp": np.sin(2 * np.pi * (0.02 + 0.2 * t / t[-1]) * fs * t),
        "noise": noise,
        "burst": burst + 0.01 * noise,
        "lines": sum(np.cos(2 * np.pi * 0.0125 * fs * k * t + k) / k for k in range(1, 8)) + 0.02 * noise,
        "slope": np.cumsum(noise) / 20,
    }
    return np.stack(list(x.values()))[:, None].astype(np.float32)


def mains(frequency, delay=0.0, first=0.4, noise=0.02, fs=FS, samples=SAMPLES, seed=0):
    t = np.arange(samples) / fs + delay
    lines = np.cos(4 * np.pi * frequency * t) + 0.5 * np.cos(8 * np.pi * frequency * t + 0.4)
    lines += first * np.cos(2 * np.pi * frequency * t + 0.9)
    return lines + noise * np.random.default_rng(seed).standard_normal(samples)


def records(*signals):
    return np.stack(signals)[:, None].astype(np.float32)
