"""The reference level of a sensor: the median RMS of its fit records, by which views that keep the level divide."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.portable.covariates import or_pool
from vibro_plugins.compiled import compiled

CHUNK = 64
RESOLUTION = 1e-7  # an RMS below this share of the largest sample is the rounding of a constant


def unit_records(raw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Centred records of RMS 1 as float32 (n, C, T), and their RMS (n, C) in float64, so that 1e30 overflows nowhere.

    A constant record gives zeros and RMS 0.
    """
    unit = np.empty(raw.shape, np.float32)
    level = np.empty(raw.shape[:-1])
    _standardise(
        np.ascontiguousarray(raw).reshape(-1, raw.shape[-1]), unit.reshape(-1, raw.shape[-1]), level.reshape(-1)
    )
    return unit, level


@compiled(fastmath=True, nogil=True, error_model="numpy")
def _standardise(x, unit, level):
    n, samples = x.shape
    for r in range(n):
        total, peak = 0.0, 0.0
        for i in range(samples):
            total += np.float64(x[r, i])
            peak = max(peak, abs(np.float64(x[r, i])))
        mean, power = total / samples, 0.0
        for i in range(samples):
            power += (np.float64(x[r, i]) - mean) ** 2
        rms = np.sqrt(power / samples)
        level[r] = rms if rms > RESOLUTION * peak else 0.0
        factor = 1 / rms if level[r] > 0 else 0.0
        for i in range(samples):
            unit[r, i] = (np.float64(x[r, i]) - mean) * factor


def fit_sigma(raw: NDArray[np.float32], sensor: NDArray[Any]) -> NDArray[np.float64]:
    """Reference levels (sensors + 1, C): the median RMS by sensor code, and of all records in the last row.

    Constant records do not count. A sensor without other records takes the pooled level; where there is none it is 1.
    """
    chunks = (unit_records(raw[start : start + CHUNK])[1] for start in range(0, len(raw), CHUNK))
    level = np.concatenate([np.empty((0, raw.shape[1])), *chunks])
    code = np.asarray(sensor, dtype=np.intp).reshape(-1)
    table = np.empty((code.max(initial=-1) + 2, raw.shape[1]))
    for channel in range(raw.shape[1]):
        sound = level[:, channel] > 0
        table[:, channel] = np.median(level[sound, channel]) if sound.any() else 1.0
        for s in np.unique(code[sound & (code >= 0)]):
            table[s, channel] = np.median(level[sound & (code == s), channel])
    return table


def sigma_of(table: NDArray[np.float64], sensor: NDArray[Any]) -> NDArray[np.float64]:
    """Reference level of every row, (n, C); an unknown sensor (code -1 or beyond the table) takes the pooled one."""
    return table[or_pool(np.asarray(sensor, dtype=np.intp).reshape(-1), len(table) - 1)]


def decibel(power: NDArray[np.floating], gain: NDArray[np.float64], floor: float) -> NDArray[np.float32]:
    """10 log10(power gain^2), not below ``floor``; ``gain`` (n,) applies to the rows of ``power``."""
    gain_db = 20 * np.log10(np.maximum(gain, 1e-300)).astype(np.float32)
    level = np.log(np.maximum(power, np.float32(1e-30)), dtype=np.float32)
    level *= np.float32(10 / np.log(10))
    level += gain_db.reshape(-1, *[1] * (power.ndim - 1))
    return np.maximum(level, np.float32(floor), out=level)
