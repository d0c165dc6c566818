"""Baseline scores that need no model, reported beside every ensemble."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.metrics import midranks
from vibro.data import SignalBatch

Floats = NDArray[np.float64]

TRIVIAL = ("rms", "kurtosis", "mean_template", "random")
CHUNK = 256


def trivial_scores(batch: SignalBatch, seed: int, fit: NDArray[np.intp] | None = None) -> dict[str, Floats]:
    """Scores (n,) of the baselines in ``TRIVIAL``.

    ``rms`` and ``kurtosis`` about the mean, all channels together; ``mean_template``: mean squared difference from the
    mean record of the sensor, made of the ``fit`` rows (default: all), of all sensors where the sensor has no fit row.
    """
    n = len(batch)
    out = {name: np.zeros(n) for name in TRIVIAL}
    out["random"] = np.random.default_rng(seed).random(n)
    rows = np.arange(n) if fit is None else np.asarray(fit)
    template, which = _templates(batch, rows)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        x = np.asarray(batch.x[part], dtype=np.float64).reshape(-1, batch.channels * batch.length)
        centred = x - x.mean(axis=1, keepdims=True)
        square = centred * centred
        power = square.mean(axis=1)
        out["rms"][part] = np.sqrt(power)
        out["kurtosis"][part] = np.einsum("ij,ij->i", square, square) / x.shape[1] / np.maximum(power**2, 1e-300)
        x -= template[which[part]]
        out["mean_template"][part] = np.einsum("ij,ij->i", x, x) / x.shape[1]
    return out


def _templates(batch: SignalBatch, rows: NDArray[np.intp]) -> tuple[Floats, NDArray[np.intp]]:
    """Mean record of every sensor and, last, of all; and which of them each record is compared with."""
    sensors = len(batch.sensors)
    total = np.zeros((sensors + 1, batch.channels * batch.length))
    count = np.zeros(sensors + 1)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        x = np.asarray(batch.x[part]).reshape(len(part), -1)
        codes = np.where(batch.sensor[part] < 0, sensors, batch.sensor[part])
        for code in np.unique(codes):
            total[code] += x[codes == code].sum(axis=0, dtype=np.float64)
            count[code] += (codes == code).sum()
    total[-1], count[-1] = total.sum(axis=0), count.sum()
    mean = total / np.maximum(count, 1)[:, None]
    which = np.where((batch.sensor >= 0) & (count[batch.sensor] > 0), batch.sensor, sensors)
    return mean, which


def rank_consensus(raw: Floats) -> Floats:
    """Mean rank of the columns of (n, d): the consensus rule of PyOD's ADEngine, equal scores sharing their mean rank."""
    return np.asarray(np.stack([midranks(column) for column in raw.T]).mean(axis=0) / max(len(raw), 1))


def z_mean(raw: Floats) -> Floats:
    """Mean of the columns of (n, d), each with mean 0 and standard deviation 1."""
    spread = np.nanstd(raw, axis=0)
    z = (raw - np.nanmean(raw, axis=0)) / np.where(spread > 0, spread, 1)
    return np.asarray(np.nan_to_num(z).mean(axis=1))
