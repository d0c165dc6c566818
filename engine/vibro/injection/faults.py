"""Faults as they look in a record: level, harmonics, band noise, impacts, modulation, clipping, dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch

Floats = NDArray[np.float64]
PERTURBATIONS = 5  # of ``perturb``
KINDS = ("level", "harmonics", "band_noise", "impacts", "modulation", "clipping", "dropout")
SEVERITIES = (0.05, 0.1, 0.2, 0.4, 0.8)  # share of the record's rms added, of its level, of its samples or of its depth


def inject(batch: SignalBatch, kind: str, severity: float, rng: np.random.Generator) -> SignalBatch:
    """The same records with one fault.

    ``level``: gain 1 + severity. ``harmonics`` (twice and three times the strongest line), ``band_noise`` (a tenth of
    the band), ``impacts`` (a train of decaying bursts): added with this share of the record's rms. ``modulation``:
    amplitude, of this depth. ``clipping``, ``dropout``: this share of the samples cut off or held at the mean.
    """
    x = batch.x.astype(np.float64)
    mean = x.mean(axis=2, keepdims=True)
    x = x - mean
    t = np.arange(x.shape[2])
    if kind == "level":
        x *= 1.0 + severity
    elif kind == "modulation":
        x *= 1.0 + severity * np.sin(2 * np.pi * (rng.integers(3, 9, (len(x), 1, 1)) * t / len(t)))
    elif kind == "clipping":
        limit = np.quantile(np.abs(x), 1.0 - severity, axis=2, keepdims=True)
        x = np.clip(x, -limit, limit)
    elif kind == "dropout":
        start = (rng.random((len(x), 1, 1)) * (1.0 - severity) * len(t)).astype(np.intp)
        x[np.broadcast_to((t >= start) & (t < start + severity * len(t)), x.shape)] = 0.0
    else:
        x = add(x, _ADDED[kind](x, t, rng), severity)
    return replace(batch, x=(x + mean).astype(np.float32))


def add(x: Floats, added: Floats, severity: float | Floats) -> Floats:
    """Centred records (n, C, T) with ``added`` at this share of their rms."""
    power = np.sqrt(np.mean(x**2, axis=2, keepdims=True) / np.maximum(np.mean(added**2, axis=2, keepdims=True), 1e-30))
    return np.asarray(x + severity * power * added)


def _harmonics(x: Floats, t: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    line = np.argmax(np.abs(np.fft.rfft(x, axis=2)), axis=2)[..., None]
    phase = 2 * np.pi * line * t / len(t)
    return np.asarray(np.sin(2 * phase + 1.0) + 0.5 * np.sin(3 * phase + 2.0))


def _band_noise(x: Floats, t: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    spectrum = np.zeros((*x.shape[:2], len(t) // 2 + 1), np.complex128)
    width = max(1, spectrum.shape[2] // 10)
    low = int(rng.integers(1, max(2, spectrum.shape[2] - width)))
    band = spectrum[..., low : low + width]
    band += rng.standard_normal(band.shape) + 1j * rng.standard_normal(band.shape)
    return np.fft.irfft(spectrum, len(t), axis=2)


def _impacts(x: Floats, t: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    period = max(8, len(t) // int(rng.integers(12, 25)))
    ring = 0.1 + 0.3 * float(rng.random())  # of the sampling rate
    since = (t + rng.integers(0, period, (len(x), 1, 1))) % period
    return np.asarray(np.exp(-8.0 * since / period) * np.sin(2 * np.pi * ring * since) * np.ones_like(x))


_ADDED: dict[str, Callable[[Floats, NDArray[np.intp], np.random.Generator], Floats]] = {
    "harmonics": _harmonics,
    "band_noise": _band_noise,
    "impacts": _impacts,
}


def perturb(batch: SignalBatch, rows: NDArray[np.intp], rng: np.random.Generator) -> SignalBatch:
    """Some records followed by the same records once for each of the perturbations of the sensitivity check.

    gain x 3; tones at 1.5 and 2.5 times the strongest line, 30 % of its amplitude; clipping at 1 rms; a dropout of
    30 % held at zero; noise in one tenth of the band at + 6 dB of the record's power.
    """
    clean = batch.take(rows)
    x = clean.x.astype(np.float64)
    n, _, t = x.shape
    mean = x.mean(axis=2, keepdims=True)
    rms = np.sqrt(np.mean((x - mean) ** 2, axis=2, keepdims=True))
    spectrum = np.fft.rfft(x - mean, axis=2)
    peak = np.argmax(np.abs(spectrum), axis=2)[..., None]
    amplitude = 2 * np.take_along_axis(np.abs(spectrum), peak, axis=2) / t
    phase = 2 * np.pi * peak * np.arange(t) / t
    harmonics = x + 0.3 * amplitude * (np.sin(1.5 * phase) + np.sin(2.5 * phase))
    dropout = x.copy()
    start = rng.integers(0, max(1, t - 3 * t // 10), n)
    for i in range(n):
        dropout[i, :, start[i] : start[i] + max(1, 3 * t // 10)] = 0.0
    bins = spectrum.shape[2]
    low = int(rng.integers(bins // 4, max(bins // 4 + 1, bins // 2)))
    noise = np.zeros_like(spectrum)
    band = slice(low, low + max(1, bins // 10))
    noise[..., band] = rng.standard_normal((*spectrum.shape[:2], noise[..., band].shape[2])) * np.exp(
        2j * np.pi * rng.random((*spectrum.shape[:2], noise[..., band].shape[2]))
    )
    added = np.fft.irfft(noise, t, axis=2)
    added *= 2.0 * rms / np.maximum(np.sqrt(np.mean(added**2, axis=2, keepdims=True)), 1e-30)
    parts = [x, mean + 3 * (x - mean), harmonics, np.clip(x, mean - rms, mean + rms), dropout, x + added]
    all_rows = np.tile(np.arange(len(rows)), len(parts))
    return replace(clean.take(all_rows), x=np.concatenate(parts).astype(np.float32))
