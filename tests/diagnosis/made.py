"""Records made for the rules: bearings, transformers and shafts with one fault each, from formulas and not from the simulator."""

from __future__ import annotations

import numpy as np

FS = 12_000.0
SHAFT = 30.0


def ring(x: np.ndarray, time: float, size: float, hz: float = 3200.0, decay: float = 0.0015) -> None:
    """Adds a decaying ring that starts at ``time`` seconds."""
    first = int(np.ceil(time * FS))
    t = np.arange(first, min(len(x), first + int(8 * decay * FS))) / FS - time
    x[first : first + len(t)] += size * np.exp(-t / decay) * np.sin(2 * np.pi * hz * t)


def noise(seed: int, seconds: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=round(seconds * FS))


def bearing(seed: int, rate: float, size: float = 6.0, turn: float | None = None, seconds: float = 0.5) -> np.ndarray:
    """Impacts at ``rate`` Hz with 1 % jitter in noise of one, modulated at ``turn`` Hz."""
    rng = np.random.default_rng(seed + 1000)
    x = noise(seed, seconds)
    time = rng.uniform(0, 1 / rate)
    while time < seconds:
        zone = 1.0 if turn is None else 0.5 + 0.5 * np.cos(2 * np.pi * turn * time)
        ring(x, time, size * zone)
        time += (1 + 0.01 * rng.standard_normal()) / rate
    return x


def transformer(
    seed: int, lines: dict[int, float] | None = None, seconds: float = 1.0, fs: float = 8192.0
) -> np.ndarray:
    """Even multiples of 50 Hz that fall off, with 2 % scatter, in noise of a hundredth; ``lines`` multiplies some."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs)) / fs
    x = 0.01 * rng.normal(size=len(t))
    for n in range(1, 24):
        size = (0.02 if n % 2 else 1.0 / (1 + n / 4)) * (1 + 0.02 * rng.standard_normal()) * (lines or {}).get(n, 1.0)
        x += size * np.sin(2 * np.pi * 50 * n * t + rng.uniform(0, 2 * np.pi))
    return x


def shaft(seed: int, orders: dict[float, float] | None = None, seconds: float = 2.0) -> np.ndarray:
    """Shaft orders 1 to 6 in noise of a tenth; ``orders`` gives amplitudes that replace or join them."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * FS)) / FS
    x = 0.1 * rng.normal(size=len(t))
    sizes = {float(n): 0.2 / n for n in range(1, 7)} | (orders or {})
    for order, size in sizes.items():
        x += size * (1 + 0.03 * rng.standard_normal()) * np.sin(2 * np.pi * order * SHAFT * t + rng.uniform(0, 6.28))
    return x
