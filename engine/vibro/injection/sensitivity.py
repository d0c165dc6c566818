"""The sentinel: after a fit, known disturbances of calm records must raise a detector's score, else it is insensitive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch

ROWS = 48  # of which each detector is judged on the calmer half
KINDS = ("gain", "odd_harmonics", "clip", "dropout", "band_noise")


@dataclass(frozen=True)
class Sentinel:
    """Whether the median score of at least one disturbance passes a high percentile of the clean ones, and by how much.

    ``margin`` is (best median - that percentile) over the clean range from the 10th percentile to it.
    """

    passed: bool
    margin: float


def disturb(batch: SignalBatch, rows: NDArray[np.intp], rng: np.random.Generator) -> SignalBatch:
    """Some records followed by the same records once for each kind of disturbance.

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


def judge(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, Sentinel]:
    """The verdict on the scores (rows x (1 + kinds),) that every detector gave to ``disturb``'s records.

    Records to be fitted on may hold faults, which would hide a disturbance. So a detector is judged on the half that
    the other detectors rank lowest, against its 90th percentile there; a lone detector on all, against the 75th.
    """
    tables = {ident: column.reshape(1 + len(KINDS), -1) for ident, column in scores.items()}
    ranks = {ident: np.argsort(np.argsort(np.nan_to_num(table[0], nan=np.inf))) for ident, table in tables.items()}
    total = sum(ranks.values(), np.zeros(next(iter(tables.values())).shape[1]) if tables else np.zeros(0))
    found = {}
    for ident, table in tables.items():
        others = total - ranks[ident]
        calm = others <= np.median(others)
        found[ident] = _judge(table[:, calm], 0.9 if len(tables) > 1 else 0.75)
    return found


def _judge(table: NDArray[np.float64], level: float) -> Sentinel:
    clean = table[0][np.isfinite(table[0])]
    if not len(clean):
        return Sentinel(False, float("nan"))
    low, high = np.quantile(clean, [0.1, level])
    medians = [np.median(row[np.isfinite(row)]) for row in table[1:] if np.isfinite(row).any()]
    best = max(medians, default=float("-inf"))
    spread = max(float(high - low), 1e-12 * max(1.0, abs(float(high))))
    return Sentinel(bool(best > high), float(np.clip((best - high) / spread, -1e6, 1e6)))
