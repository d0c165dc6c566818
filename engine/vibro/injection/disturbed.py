"""Disturbed copies of fit rows, from which detectors learn what a fault may look like.

None of these kinds is one of the fault-injection trial (``faults.KINDS``): the trial examines what was not taught.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vibro.core.copies import Copies
from vibro.data import SignalBatch
from vibro.injection.faults import add

MOST, MOST_BYTES = 2_400, 256 << 20  # copies in all, and bytes of their samples
MOST_OF_ROW = 10  # copies of one row
LEAST_SEVERITY = 0.05  # severities are log-uniform from here to 1
CHUNK = 1 << 21  # samples worked on at a time

Floats = NDArray[np.float64]


def disturb_rows(batch: SignalBatch, rows: NDArray[np.intp], seed: int) -> Copies | None:
    """Copies of these rows with one disturbance each, the kinds equally often; None where no record could be disturbed.

    Every row has equally many, 1 to ``MOST_OF_ROW``; where that would be more than ``MOST``, rows drawn at random have one.
    Copies that equal their record (one without any signal) are left out. ``rows`` in an order that the order of the input
    does not decide.
    """
    rng = np.random.default_rng(seed)
    most = min(MOST, MOST_BYTES // max(1, batch.x[:1].nbytes))
    each = min(MOST_OF_ROW, max(1, most // max(1, len(rows))))
    chosen = rows if len(rows) <= most else rows[np.sort(rng.permutation(len(rows))[:most])]
    row = np.repeat(chosen, each)
    kind = np.concatenate([rng.permutation(len(KINDS)) for _ in range(len(row) // len(KINDS) + 1)])[: len(row)]
    severity = LEAST_SEVERITY ** rng.random(len(row))
    copies = batch.take(row)
    differ = np.zeros(len(row), np.bool_)
    for k, name in enumerate(KINDS):
        mine = np.flatnonzero(kind == k)
        for part in np.array_split(mine, 1 + len(mine) * copies.x[:1].size // CHUNK):
            before = copies.x[part]
            copies.x[part] = disturb(before, name, severity[part], rng)
            differ[part] = (copies.x[part] != before).any(axis=(1, 2))
    if not differ.any():
        return None
    return Copies(copies if differ.all() else copies.take(np.flatnonzero(differ)), row[differ])


def disturb(x: NDArray[np.float32], kind: str, severity: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Records (n, C, T) with a disturbance of this kind; ``severity`` (n,): its rms as a share of the record's, about.

    ``tilt``: a smooth gain over frequency, up or down. ``tones``: three at frequencies of their own. ``noise``: of a smooth
    spectrum. ``burst``: one decaying oscillation. ``loss``: the level falls.
    """
    wide = x.astype(np.float64)
    mean = wide.mean(axis=2, keepdims=True)
    wide -= mean
    return np.asarray(_KINDS[kind](wide, severity[:, None, None], rng) + mean, np.float32)


def _tilt(x: Floats, severity: Floats, rng: np.random.Generator) -> Floats:
    shape = _smooth(x, rng)
    return _filtered(x, np.exp(1.5 * severity * shape))


def _tones(x: Floats, severity: Floats, rng: np.random.Generator) -> Floats:
    t = np.arange(x.shape[2])
    added = np.zeros_like(x)
    for _ in range(3):
        frequency = 0.5 * (4.0 / len(t)) ** rng.random((len(x), 1, 1))
        phase = 2 * np.pi * rng.random((len(x), 1, 1))
        added += rng.random((len(x), 1, 1)) * np.sin(2 * np.pi * frequency * t + phase)
    return add(x, added, severity)


def _noise(x: Floats, severity: Floats, rng: np.random.Generator) -> Floats:
    white = rng.standard_normal(x.shape)
    return add(x, _filtered(white, np.exp(3.0 * _smooth(x, rng))), severity)


def _burst(x: Floats, severity: Floats, rng: np.random.Generator) -> Floats:
    t = np.arange(x.shape[2])
    since = t - (rng.random((len(x), 1, 1)) * 0.9 * len(t)).astype(np.intp)
    length = len(t) * 0.02 * 10 ** rng.random((len(x), 1, 1))
    ring = 0.02 + 0.4 * rng.random((len(x), 1, 1))
    decay = np.where(since >= 0, np.exp(-np.maximum(since, 0) / length), 0.0)
    return add(x, decay * np.sin(2 * np.pi * ring * since) * np.ones_like(x), severity)


def _loss(x: Floats, severity: Floats, rng: np.random.Generator) -> Floats:
    return np.asarray(x * (1.0 - 0.8 * severity))


def _octaves(x: Floats) -> Floats:
    """(bins,) octaves of each frequency bin of the records above the first."""
    return np.asarray(np.log2(np.maximum(np.arange(x.shape[2] // 2 + 1), 1.0)))


def _smooth(x: Floats, rng: np.random.Generator) -> Floats:
    """(n, 1, bins) random curves over log frequency, four cosines each, deviation about 1, mean not 0."""
    place = _octaves(x)
    place = place / max(1.0, place[-1])
    curve = np.zeros((len(x), 1, len(place)))
    for waves in range(4):
        curve += (
            rng.standard_normal((len(x), 1, 1)) * np.cos(np.pi * (waves * place + rng.random((len(x), 1, 1)))) / 1.4
        )
    return curve


def _filtered(x: Floats, gain: Floats) -> Floats:
    return np.asarray(np.fft.irfft(np.fft.rfft(x, axis=2) * gain, x.shape[2], axis=2))


_KINDS: dict[str, Callable[[Floats, Floats, np.random.Generator], Floats]] = {
    "tilt": _tilt,
    "tones": _tones,
    "noise": _noise,
    "burst": _burst,
    "loss": _loss,
}
KINDS = tuple(_KINDS)
