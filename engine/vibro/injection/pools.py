"""Pools of records to pre-train on: parts of a data set as other data may be, with copies in pairs of the same disturbance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.core.copies import Copies
from vibro.data import SignalBatch
from vibro.injection.disturbed import KINDS, LEAST_SEVERITY, disturb

LEAST, MOST = 36, 300  # records of a pool
SHORTEST, LONGEST = 128, 4096  # samples of its records
STRONGEST = 2.0  # severity


def draw_pools(batch: SignalBatch, count: int, seed: int) -> Iterator[SignalBatch]:
    """Pools of some sensors' records, each cut to one random length, half of them brought to a lower rate before.

    Nothing where the batch has fewer than ``LEAST`` records that are valid.
    """
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        rows = np.flatnonzero(batch.valid)
        some = rng.permutation(len(batch.sensors))[: rng.integers(1, len(batch.sensors) + 1)]
        mine = rows[np.isin(batch.sensor[rows], some)]
        rows = mine if len(mine) >= LEAST else rows
        if len(rows) < LEAST:
            return
        size = int(_between(LEAST, min(MOST, len(rows)), rng))
        part = batch.take(np.sort(rng.permutation(rows)[:size]))
        length = int(_between(min(SHORTEST, batch.length), min(LONGEST, batch.length), rng))
        most = batch.length // length
        rate = int(rng.integers(2, most + 1)) if most > 1 and rng.random() < 0.5 else 1
        start = int(rng.integers(0, batch.length - length * rate + 1))
        x = _slower(part.x[:, :, start : start + length * rate], rate)
        yield replace(part, x=np.ascontiguousarray(x), fs=batch.fs / rate)


def disturb_pairs(batch: SignalBatch, count: int, seed: int) -> tuple[Copies, Copies]:
    """Copies of records, and copies of others with the same disturbance, pair by pair; pairs in which one equals its record
    are left out.
    """
    rng, n = np.random.default_rng(seed), len(batch)
    first = rng.integers(0, n, count)
    second = (first + rng.integers(1, n, count)) % n
    kind, severity = rng.integers(0, len(KINDS), count), STRONGEST * (LEAST_SEVERITY / STRONGEST) ** rng.random(count)
    sides, differ = [], np.ones(count, np.bool_)
    for row in (first, second):
        copies = batch.take(row)
        x = np.empty(copies.x.shape, np.float32)
        for k, name in enumerate(KINDS):
            mine = np.flatnonzero(kind == k)
            if len(mine):
                x[mine] = disturb(copies.x[mine], name, severity[mine], np.random.default_rng([seed, k]))
        differ &= (x != copies.x).any(axis=(1, 2))
        sides.append((replace(copies, x=x), row))
    one, other = (Copies(copies.take(np.flatnonzero(differ)), row[differ]) for copies, row in sides)
    return one, other


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _slower(x: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Records (n, C, T) at a ``rate`` times lower sampling rate."""
    if rate == 1:
        return x
    from scipy.signal import decimate

    return np.asarray(decimate(x.astype(np.float64), rate, axis=2, ftype="fir"), np.float32)
