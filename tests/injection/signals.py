"""Records that faults are injected into."""

from __future__ import annotations

import numpy as np

from vibro.data import make_batch


def signals(n=40, length=1024, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(length) / length
    x = np.sin(2 * np.pi * 50 * t) + 0.1 * rng.normal(size=(n, channels, length)) + 3.0
    return make_batch(x, fs=1024.0, sensor=[f"s{i % 2}" for i in range(n)])


def rms(x):
    return np.sqrt(np.mean((x - x.mean(axis=2, keepdims=True)) ** 2, axis=2))
