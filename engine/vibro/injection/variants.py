"""Disturbed copies of labelled faults: what the same fault may look like at another moment, severity, level or speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.core.copies import Copies
from vibro.data import SignalBatch, record_id
from vibro.diagnosis.levels import decibel, log_bands, spectrum

FILL = 40  # records and copies that a class is filled up to
MOST_OF_ROW = 10  # copies of one record
SEVERITY = 0.25  # how far the excess of a fault over a normal record, in dB, is stretched or shrunk: 1 -+ this
GAIN = 1.0  # dB
SPEED = 0.01  # share
SMOOTH = 5  # bins over which the excess is averaged
BANDS, INSIDE, REACH = 24, 0.9, 3.0  # a copy lies within REACH dB of its class in this share of the bands

Floats = NDArray[np.float64]


def fault_copies(
    batch: SignalBatch, kind: NDArray[np.int16], spare: NDArray[np.bool_], steady: bool, seed: int
) -> Copies | None:
    """Copies of the records of each class in ``kind`` (n,), -1 = none, that has fewer than FILL; None where none has.

    A copy starts at another sample, is up to GAIN louder or softer and runs up to SPEED faster or slower, unless mains keep
    it ``steady``. Its excess over a normal record of its sensor, one of ``spare`` (n,), is stretched or shrunk, where there
    is such a record.
    """
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for c in np.unique(kind[kind >= 0]):
        mine = np.flatnonzero(kind == c)
        rows += np.repeat(mine, min(MOST_OF_ROW, (FILL - 1) // len(mine))).tolist()
    if not rows:
        return None
    copies = batch.take(np.array(rows))
    x = np.empty(copies.x.shape, np.float32)
    for i, row in enumerate(rows):
        same = np.flatnonzero(spare & (batch.sensor == batch.sensor[row]))
        normal = np.asarray(batch.x[rng.choice(same)], np.float64) if len(same) else None
        x[i] = variant(np.asarray(batch.x[row], np.float64), normal, steady, rng)
    ids = [record_id(batch.sensors[batch.sensor[row]], batch.time[row], x[i]) for i, row in enumerate(rows)]
    return Copies(replace(copies, x=x, ids=np.array(ids)), np.array(rows, np.intp))


def variant(x: Floats, normal: Floats | None, steady: bool, rng: np.random.Generator) -> Floats:
    """One copy of a record x (C, T)."""
    mean = x.mean(axis=1, keepdims=True)
    y = x - mean
    if normal is not None:
        y = more_severe(y, normal - normal.mean(axis=1, keepdims=True), 1 + SEVERITY * rng.uniform(-1, 1))
    if not steady:
        y = faster(y, 1 + SPEED * rng.uniform(-1, 1))
    return np.asarray(mean + np.roll(y, rng.integers(y.shape[1]), axis=1) * 10 ** (GAIN * rng.uniform(-1, 1) / 20))


def more_severe(x: Floats, normal: Floats, severity: float) -> Floats:
    """x (C, T) with ``severity`` times its excess in dB over a normal record at every frequency, and its own phases."""
    from scipy.ndimage import uniform_filter1d

    own = np.fft.rfft(x, axis=1)
    mine, usual = (uniform_filter1d(np.abs(y) ** 2, SMOOTH, axis=1) for y in (own, np.fft.rfft(normal, axis=1)))
    least = 1e-6 * max(float(mine.mean()), 1e-30)
    return np.fft.irfft(own * ((mine + least) / (usual + least)) ** ((severity - 1) / 2), x.shape[1], axis=1)


def faster(x: Floats, ratio: float) -> Floats:
    """x (C, T) with all its frequencies times ``ratio``, repeated from its start where it has become too short."""
    from scipy.signal import resample

    whole = resample(x, round(x.shape[1] / ratio), axis=1)
    return np.asarray(np.take(whole, np.arange(x.shape[1]) % whole.shape[1], axis=1))


def within_class(batch: SignalBatch, kind: NDArray[np.int16], copies: Copies) -> NDArray[np.bool_]:
    """(m,) copies whose spectrum lies in the band of the spectra of their class, ``kind`` (n,) of all records."""
    of_copies = _levels(copies.batch)
    inside = np.zeros(len(copies.row), np.bool_)
    for c in np.unique(kind[copies.row]):
        mine = kind[copies.row] == c
        level = _levels(batch.take(np.flatnonzero(kind == c)))
        low, high = level.min(axis=0) - REACH, level.max(axis=0) + REACH
        inside[mine] = ((of_copies[mine] >= low) & (of_copies[mine] <= high)).mean(axis=1) >= INSIDE
    return inside


def _levels(batch: SignalBatch) -> Floats:
    """(n, C * bands) levels in dB."""
    found = []
    for x in batch.x:
        power, hz = spectrum(np.asarray(x, np.float64), batch.fs or 1.0)
        found.append(
            decibel(np.concatenate([power[:, cell].sum(axis=1) for _, _, cell in log_bands(hz, hz[0], BANDS)]))
        )
    return np.array(found)
