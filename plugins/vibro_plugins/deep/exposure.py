"""Outlier exposure (Hendrycks et al., ICLR 2019): networks that are shown disturbed copies of records as examples of faults.

Two kinds of example: copies of the records with a physical fault, which the engine makes and sends through the detector's
view (``Context.disturbed``), and broad ones made here, in the view itself: far from a record in any direction. The copies
teach what faults look like; without the broad ones a network would grow blind to all that no copy shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vibro.api import Context, NotApplicableError
from vibro_plugins.deep.standardise import BLOCK, medians
from vibro_plugins.deep.windows import windows_of

REACH = (0.3, 6.0)  # of broad examples: their distance from the record, in usual distances of records from their median
LEAST_CHANGE = 1e-6  # of a copy, relative to the view: below, it is the record itself
LEAST_COPIES = 16
LEAST_SEPARATION = 0.6  # ROC AUC of held-out examples against sound rows below which nothing was learned


@dataclass(frozen=True)
class Examples:
    """Examples of faults ``x`` (m, *item), and the fit row ``row`` (m,) that each was made from."""

    x: NDArray[np.float32]
    row: NDArray[np.intp]

    def draw(self, rows: NDArray[np.intp], size: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Indices of ``size`` random examples made from these fit rows."""
        return rng.choice(self.of(rows), size)

    def windows(self, cut: Callable[[NDArray[np.float32]], NDArray[np.float32]], count: int) -> Examples:
        """The windows of the examples, ``count`` each, and the window of a fit row that each was made from."""
        return Examples(cut(self.x), windows_of(self.row, count))

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Indices of the examples made from these fit rows."""
        return np.flatnonzero(np.isin(self.row, rows))


def exposed(ctx: Context, x: NDArray[np.float32]) -> Examples:
    """The disturbed copies of the fit rows x (n, *item) and as many broad examples; NotApplicableError without copies."""
    given, rng = ctx.disturbed, ctx.child("exposure").rng()
    if given is None:
        raise NotApplicableError("no disturbed copies of its records, which the objective 'exposure' learns from")
    change = np.array([np.abs(a - x[i]).max() for a, i in zip(given.x, given.row, strict=True)])
    away = x - medians(x)
    np.abs(away, out=away)
    usual = float(np.median(away, overwrite_input=True)) or float(np.abs(x).max()) or 1.0
    del away  # as large as all rows
    differs = np.flatnonzero(change > LEAST_CHANGE * usual)
    if len(differs) < LEAST_COPIES:
        raise NotApplicableError(f"{len(differs)} of {len(change)} disturbed copies differ from their records")
    copies, row = given.x[differs], given.row[differs].astype(np.intp)
    source = rng.choice(np.unique(row), len(row))
    return Examples(np.concatenate([copies, broad(x, source, rng)]), np.concatenate([row, source]))


def broad(x: NDArray[np.float32], source: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.float32]:
    """One example of each row ``source`` of x (n, *item): the row plus noise, a smooth curve, a band or a few values.

    Columns are changed in units of their median absolute deviation, by an amount uniform in its logarithm.
    """
    flat = x.reshape(len(x), -1)
    centre = medians(flat)
    unit = medians(flat, centre)
    unit = np.maximum(unit, 0.05 * unit.mean()) / 0.6745 * (unit > 0)
    scale = np.where(unit > 0, unit, np.inf)
    blocks = (np.square((flat[i : i + BLOCK] - centre) / scale) for i in range(0, len(flat), BLOCK))
    usual = float(np.median(np.concatenate([np.sqrt(np.mean(block, axis=1)) for block in blocks])))
    kind = rng.integers(0, 4, len(source))
    pattern = np.stack([_PATTERNS[k](flat.shape[1], rng) for k in kind])
    pattern /= np.sqrt(np.mean(pattern**2, axis=1, keepdims=True))
    reach = np.exp(rng.uniform(*np.log(REACH), (len(source), 1))) * usual
    return (flat[source] + reach * pattern * unit).astype(np.float32).reshape(len(source), *x.shape[1:])


def _noise(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(d)


def _smooth(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    waves = np.arange(int(rng.integers(1, 8)))[:, None]
    phase = 2 * np.pi * rng.random(waves.shape)
    return rng.standard_normal(len(waves)) @ np.cos(np.pi * waves * np.linspace(0, 1, d) + phase) + 1e-3


def _band(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    wide = int(rng.integers(1, max(2, d // 4)))
    start, out = int(rng.integers(0, d - wide + 1)), np.zeros(d)
    out[start : start + wide] = rng.choice((-1, 1)) * (1 + 0.3 * rng.standard_normal(wide))
    return out


def _few(d: int, rng: np.random.Generator) -> NDArray[np.float64]:
    out = np.zeros(d)
    out[rng.integers(0, d, int(rng.integers(1, 5)))] = rng.choice((-1, 1))
    return out


_PATTERNS = (_noise, _smooth, _band, _few)


def hypersphere(sound: Tensor, faulty: Tensor) -> Tensor:
    """Loss of distances (b,) of sound records and (m,) of examples of faults: the former are pulled to 0, the latter away.

    mean h(d) - mean log(1 - exp(-h(d))) with h(d) = sqrt(d^2 + 1) - 1 (Ruff et al., arXiv 2006.00339; Liznerski et al.,
    ICLR 2021).
    """
    near, far = (torch.sqrt(d.float() ** 2 + 1) - 1 for d in (sound, faulty))
    return near.mean() - torch.log1p(-torch.exp(-far.clamp(min=1e-4))).mean()


def margin(sound: Tensor, faulty: Tensor, least: float) -> Tensor:
    """Loss of errors (b,) of sound records and (m,) of examples of faults: the latter are to exceed the former's mean by a
    factor of ``least``; softplus of what is missing in the logarithm. 0 where all do.
    """
    usual = torch.log(sound.mean().detach() + 1e-12)
    missing = np.log(least) + usual - torch.log(faulty + 1e-12)
    return F.softplus(4 * missing).mean() / 4
