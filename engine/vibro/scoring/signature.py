"""The signature of a record: how impulsive it is and how strong in each band, in units of its sensor's own spread.

It tells kinds of events apart where scores cannot: two faults may lie equally far from the usual, in different bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.scoring.marks import Look
from vibro.scoring.regression import sensor_rows

BANDS = 24  # of equal width in log frequency, a channel
LAGS = (1, 2, 4, 8)  # samples, of the second differences that a burst may show in
WINDOWS, SAMPLES = 64, 4  # stretches of a record at most, and samples in one at least
BURST = 0.69  # nepers, twice the usual stretch, below which the strongest is no burst: chance, or one of many impacts
OWN = 20  # rows of a sensor from which it has a centre and a spread of its own
LEAST_SPREAD = 0.01  # nepers; a level never varies less
BLOCK = 1 << 18  # samples worked on at a time

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Signature:
    """Centre and spread of every part of the raw signature, a sensor, frozen at the fit.

    ``arrays``: ``centre`` and ``spread`` (sensors + 1, k), the pool in the last row; ``own`` (sensors,) which have records
    enough to be measured by themselves.
    """

    arrays: State

    @classmethod
    def fit(cls, raw: Floats, sensor: NDArray[np.int32], sensors: int) -> Signature:
        """From ``measure`` of the fit rows (r, k) and their sensors (r,)."""
        groups = sensor_rows(sensor, sensors)
        own = np.array([len(rows) >= OWN for rows in groups], np.bool_)
        centre, spread = (np.tile(part, (sensors + 1, 1)) for part in _middle(raw))
        for s in np.flatnonzero(own):
            centre[s], spread[s] = _middle(raw[groups[s]])
        return cls({"centre": centre, "spread": spread, "own": own})

    def look(self, raw: Floats, z: Floats, sensor: NDArray[np.int32]) -> Look:
        """What records look like: ``raw`` (n, k) of ``measure``, ``z`` (n, d) of the detectors, ``sensor`` (n,), -1 = unknown."""
        signature = (raw - self.arrays["centre"][sensor]) / self.arrays["spread"][sensor]
        signature[:, 0] = np.where(raw[:, 0] < BURST, np.minimum(signature[:, 0], 0.0), signature[:, 0])
        own = np.append(np.asarray(self.arrays["own"], np.bool_), False)
        return Look(signature.astype(np.float32), z, np.where(own[sensor], sensor, -1).astype(np.int32))


def _middle(raw: Floats) -> tuple[Floats, Floats]:
    """Centre and spread (k,) of signatures (r, k)."""
    centre = np.median(raw, axis=0)
    return centre, np.maximum(1.4826 * np.median(np.abs(raw - centre), axis=0), LEAST_SPREAD)


def measure(x: NDArray[np.float32]) -> Floats:
    """(n, k) raw signatures of records (n, channels, samples).

    First the log of the strongest over the usual short stretch, then log levels of the bands of each channel.
    """
    step = max(1, BLOCK // max(1, x[:1].size))
    blocks = [_block(np.asarray(x[i : i + step])) for i in range(0, len(x), step)]
    return np.concatenate(blocks) if blocks else np.zeros((0, 1))


def _block(x: NDArray[np.float32]) -> Floats:
    bursts = np.max([_burst(x, lag) for lag in LAGS], axis=0)
    return np.column_stack([bursts, band_levels(x)])


def _burst(x: NDArray[np.float32], lag: int) -> Floats:
    """(n,) log of the rms of the strongest stretch of a second difference over that of the median stretch, worst channel."""
    length = x.shape[-1] - 2 * lag
    windows = min(WINDOWS, length // SAMPLES)
    if windows < 4:
        return np.zeros(len(x))
    width = length // windows
    d = x[..., 2 * lag :] - 2 * x[..., lag:-lag] + x[..., : -2 * lag]
    parts = d[..., : windows * width].reshape(*x.shape[:2], windows, width)
    rms = np.sqrt(np.einsum("nkws,nkws->nkw", parts, parts, dtype=np.float64) / width)
    strongest, usual = rms.max(axis=-1), np.median(rms, axis=-1)
    tiny = 1e-6 * strongest + np.finfo(np.float32).tiny
    return np.asarray(np.log((strongest + tiny) / (usual + tiny)).max(axis=-1))


def band_levels(x: NDArray[np.float32]) -> Floats:
    """(n, channels x bands) log of the power in each band, not less than 100 dB below the whole."""
    from scipy.fft import rfft

    window = np.hanning(x.shape[-1]).astype(np.float32)
    power = np.abs(rfft((x - x.mean(axis=-1, keepdims=True)) * window, axis=-1)) ** 2
    edges = np.unique(np.geomspace(1, power.shape[-1], BANDS + 1).round().astype(int))
    bands = np.add.reduceat(power.astype(np.float64), edges[:-1], axis=-1)
    floor = 1e-10 * bands.sum(axis=-1, keepdims=True) + np.finfo(np.float32).tiny
    return np.asarray(np.log(bands + floor).reshape(len(x), -1)) / 2
