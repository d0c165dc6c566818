"""Building blocks of simulated records: rings, coloured noise, rattle, and what a faulty sensor does to a record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]


def add_ring(x: Signal, time: float, amplitude: float, hz: float, decay: float, fs: float) -> None:
    """Adds a damped sine that starts at ``time`` s with time constant ``decay`` s, in place."""
    start = int(np.ceil(time * fs))
    stop = min(len(x), start + int(8 * decay * fs) + 1)
    if start < stop:
        t = np.arange(start, stop) / fs - time
        x[start:stop] += (amplitude * np.exp(-t / decay) * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def coloured_noise(
    rng: np.random.Generator, white: NDArray[np.float64], flow: NDArray[np.float64], length: int, fs: float
) -> Signal:
    """(S, T) white noise of RMS ``white``, half as much pink noise, and flow noise in 0.3-1.5 kHz of RMS ``flow``."""
    hz = np.fft.rfftfreq(length, 1 / fs)
    pink = np.zeros_like(hz)
    pink[1:] = 1 / hz[1:]
    band = ((hz >= 300) & (hz <= 1500)).astype(float)
    flat = np.ones_like(hz)
    power = sum(
        (np.asarray(rms)[:, None] ** 2) * shape / max(shape.sum(), 1e-12)
        for rms, shape in ((white, flat), (0.5 * white, pink), (flow, band))
    )
    scale = (np.sqrt(power) * length / 2).astype(np.float32)
    z = rng.standard_normal((len(white), len(hz), 2), dtype=np.float32)
    z *= scale[..., None]
    return np.asarray(np.fft.irfft(z.view(np.complex64)[..., 0], length), dtype=np.float32)


def rattle(rng: np.random.Generator, x: Signal, severity: float, rate: float, fs: float) -> Signal:
    """Rings of 1.1 kHz at ``rate`` Hz in half of the cycles, of RMS 0.25 severity times that of ``x``."""
    out = np.zeros_like(x)
    cycles = int(len(x) / fs * rate)
    offset = rng.random() / rate
    for cycle in np.flatnonzero(rng.random(cycles) < 0.5):
        add_ring(out, offset + cycle / rate, rng.lognormal(0, 0.3), min(1100.0, 0.4 * fs), 0.0015, fs)
    level = float(np.std(out))
    return out * np.float32(0.25 * severity * np.std(x) / level if level > 0 else 0.0)


def spoil(
    rng: np.random.Generator,
    x: Signal,
    fault: str,
    severity: float,
    episode: int,
    fs: float,
    noise: float,
    mains: float = 50.0,
) -> Signal:
    """What a faulty sensor gives in place of ``x``; the sign of a gain error and of a dropout holds for an episode.

    ``s_emi``: the first and third mains line and bursts of switching spikes, on this channel alone. ``s_rate``: the
    record was sampled up to a quarter faster than it says, so every line lies too low by one ratio.
    """
    rms = float(np.std(x))
    s = severity
    if fault == "s_clip":
        limit = (2.2 - 1.3 * s) * rms
        return np.clip(x, -limit, limit)
    if fault == "s_gain":
        factor = 1 + 1.2 * s
        return x * np.float32(factor if episode % 2 else 1 / factor)
    if fault == "s_dropout":
        gone = max(1, int(0.45 * s * len(x)))
        start = int(rng.integers(0, len(x) - gone + 1))
        out = x.copy()
        out[start : start + gone] = x[start] if episode % 2 else 0
        return out
    if fault == "s_emi":
        return x + _interference(rng, len(x), s * rms, fs, mains)
    if fault == "s_rate":
        place = np.arange(len(x)) / (1 + 0.25 * s)
        return np.interp(place, np.arange(len(x)), x).astype(np.float32)
    hz = np.fft.rfftfreq(len(x), 1 / fs)
    if fault == "s_drift":
        shape = np.where((hz > 0) & (hz < 20), 1 / np.maximum(hz, 1), 0)
        return x + _shaped(rng, shape, len(x), s * rms)
    if fault == "s_loose":
        centre = min(1900 - 700 * s, 0.4 * fs)
        ratio = hz / centre
        shape = 1 / np.abs(1 - ratio**2 + 2j * 0.05 * ratio)
        return x + _shaped(rng, shape, len(x), noise * (1 + 3 * s))
    raise ValueError(f"unknown sensor fault {fault!r}")


def _interference(rng: np.random.Generator, length: int, level: float, fs: float, mains: float) -> Signal:
    """Mains lines of amplitude ``level`` and half of it, and 2-5 bursts of single-sample spikes five times as high."""
    t = np.arange(length) / fs
    out = level * np.sin(2 * np.pi * (mains * t + rng.random()))
    out += 0.5 * level * np.sin(2 * np.pi * (3 * mains * t + rng.random()))
    for _ in range(int(rng.integers(2, 6))):
        first = int(rng.integers(0, length))
        burst = np.arange(first, min(length, first + max(2, int(0.02 * fs))))
        spikes = burst[rng.random(len(burst)) < 0.1]
        out[spikes] += 5 * level * rng.choice((-1.0, 1.0), len(spikes))
    return np.asarray(out, dtype=np.float32)


def _shaped(rng: np.random.Generator, shape: NDArray[np.float64], length: int, rms: float) -> Signal:
    """Gaussian noise with this amplitude spectrum and RMS."""
    z = rng.standard_normal((2, len(shape)))
    y = np.fft.irfft((z[0] + 1j * z[1]) * shape, length)
    return np.asarray(y * (rms / max(float(np.std(y)), 1e-12)), dtype=np.float32)
