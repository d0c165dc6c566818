"""Audition: physical faults of graded severity put into calm records show what each detector and the ensemble catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scores import Cuts

KINDS = ("level", "harmonics", "band_noise", "impacts", "modulation", "clipping", "dropout")
SEVERITIES = (0.05, 0.1, 0.2, 0.4, 0.8)  # share of the record's rms added, of its level, of its samples or of its depth
A_SENSOR = 12  # calm records taken of each sensor
CAUGHT = 0.5  # share of a sensor's records that must be caught at a severity and above

Floats = NDArray[np.float64]
Scorer = Callable[[SignalBatch], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Audition:
    """What was caught, without any label.

    ``caught`` (kinds, severities, d + 1): share of the records over a detector's own cut, last the fused score over the
    alarm cut; ``usefulness`` (d,) mean over kinds and severities of what a detector catches beyond its clean records;
    ``smallest`` (sensors, kinds): least severity from which half of a sensor's records raise an alarm, NaN = none does.
    """

    caught: Floats
    usefulness: Floats
    smallest: Floats


def calm_rows(batch: SignalBatch, score: Floats, most: int = A_SENSOR) -> NDArray[np.intp]:
    """Valid rows of the lower half of each sensor's fused scores (n,), evenly spread over that half."""
    chosen = []
    for s in np.unique(batch.sensor):
        mine = np.flatnonzero((batch.sensor == s) & batch.valid & np.isfinite(score))
        half = mine[np.argsort(score[mine], kind="stable")][: (len(mine) + 1) // 2]
        chosen.append(half[np.unique(np.linspace(0, len(half) - 1, min(most, len(half))).astype(np.intp))])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)


def audition(batch: SignalBatch, rows: NDArray[np.intp], score: Scorer, cuts: Cuts, seed: int) -> Audition:
    """Injects every kind at every severity into these rows and scores them with the frozen ensemble.

    ``score`` gives z (m, d) and the fused score (m,) of a batch. Each kind draws from its own stream of the seed.
    """
    clean = batch.take(rows)
    false, _ = _over(*score(clean), cuts)
    caught = np.zeros((len(KINDS), len(SEVERITIES), len(cuts.own) + 1))
    alarms = np.zeros((len(KINDS), len(SEVERITIES), len(rows)), np.bool_)
    for i, kind in enumerate(KINDS):
        for j, severity in enumerate(SEVERITIES):
            hurt = inject(clean, kind, severity, np.random.default_rng([seed, i]))
            caught[i, j], alarms[i, j] = _over(*score(hurt), cuts)
    usefulness = np.maximum(caught[..., :-1] - false[:-1], 0.0).mean(axis=(0, 1))
    smallest = np.full((len(batch.sensors), len(KINDS)), np.nan)
    for s in np.unique(clean.sensor):
        held = alarms[:, :, clean.sensor == s].mean(axis=2) >= CAUGHT
        from_here = np.logical_and.accumulate(held[:, ::-1], axis=1)[:, ::-1]
        some = from_here.any(axis=1)
        smallest[s, some] = np.array(SEVERITIES)[from_here.argmax(axis=1)[some]]
    return Audition(caught, usefulness, smallest)


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
        added = _ADDED[kind](x, t, rng)
        power = np.sqrt(
            np.mean(x**2, axis=2, keepdims=True) / np.maximum(np.mean(added**2, axis=2, keepdims=True), 1e-30)
        )
        x += severity * power * added
    return replace(batch, x=(x + mean).astype(np.float32))


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


def _over(z: Floats, fused: Floats, cuts: Cuts) -> tuple[Floats, NDArray[np.bool_]]:
    """Share of the rows over each detector's own cut and, last, over the alarm cut; and which rows raise an alarm."""
    alarm = np.asarray(fused > cuts.alarm)
    return np.append((z > cuts.own).mean(axis=0), alarm.mean()), alarm
