"""What fusers share: a weighted mean of the scores at hand, rank correlation, and the base of every linear rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vibro.api import Exported, Fuser, NotFittedError, State
from vibro_plugins.portable import fusing

Floats = NDArray[np.float64]
Labels = NDArray[np.int16]
CHUNK = 8_192  # rows whose columns stay in the processor's cache


def weighted_mean(z: Floats, weights: Floats, transform: Callable[[Floats], Floats] | None = None) -> Floats:
    """Mean of the finite cells (n, d), transformed if wanted, with weights (d,) >= 0; NaN where none of them has weight.

    Summed column by column, so that a row's result is independent of the batch.
    """
    mean = np.full(len(z), np.nan)
    columns = np.flatnonzero(weights > 0)
    for start in range(0, len(z), CHUNK):
        rows = slice(start, start + CHUNK)
        total, used = np.zeros(len(z[rows])), np.zeros(len(z[rows]))
        for j in columns:
            column = z[rows, j]
            present = np.isfinite(column)
            column = np.where(present, column, 0.0)
            total += weights[j] * (transform(column) if transform else column)
            used += weights[j] * present
        np.divide(total, used, out=mean[rows], where=used > 0)
    return mean


class Order(NamedTuple):
    """Ranks of the finite cells in every column (n, d)."""

    rank: Floats  # (n, d) mean rank from 1 = lowest, NaN where missing
    place: NDArray[np.intp]  # (n, d) number of cells as high or higher, itself included; 0 where missing
    known: NDArray[np.intp]  # (d,) finite cells
    alike: NDArray[np.intp]  # (d,) largest number of equal ones


def ordered(z: Floats) -> Order:
    """The order of every column, equal cells sharing their place."""
    n, d = z.shape
    out = Order(np.full((n, d), np.nan), np.zeros((n, d), np.intp), np.zeros(d, np.intp), np.zeros(d, np.intp))
    for j in range(d):
        rows = np.flatnonzero(np.isfinite(z[:, j]))
        if not len(rows):
            continue
        rows = rows[np.argsort(z[rows, j])]
        rising = z[rows, j]
        first = np.flatnonzero(np.append(True, rising[1:] != rising[:-1]))
        count = np.append(first[1:], len(rows)) - first
        out.rank[rows, j] = np.repeat(first + 0.5 * (count + 1), count)
        out.place[rows, j] = np.repeat(len(rows) - first, count)
        out.known[j], out.alike[j] = len(rows), count.max()
    return out


def correlation(x: Floats) -> Floats:
    """Pearson correlation (d, d) over the rows that both columns have; 0 where it is not defined, 1 on the diagonal."""
    here = np.isfinite(x)
    if here.all():
        here = here[:1]  # one count for all pairs
        x = x - x.mean(axis=0)
        product, square = x.T @ x, np.broadcast_to((x * x).sum(axis=0)[:, None], (x.shape[1],) * 2)
        scale = np.sqrt(square * square.T)
    else:
        filled, both = np.where(here, x, 0.0), here.astype(np.float64)
        n = np.maximum(both.T @ both, 1.0)
        mean, square = filled.T @ both / n, (filled * filled).T @ both / n
        product = filled.T @ filled / n - mean * mean.T
        variance = np.maximum(square - mean * mean, 0.0)
        scale = np.sqrt(variance * variance.T)
    c = np.divide(product, scale, out=np.zeros_like(product), where=scale > 1e-12)
    np.fill_diagonal(c, 1.0)
    return np.asarray(np.clip(c, -1.0, 1.0))


def spearman(z: Floats) -> Floats:
    """Rank correlation (d, d) of the columns."""
    return correlation(ordered(z).rank)


def dead(order: Order) -> NDArray[np.bool_]:
    """(d,) constant columns: fewer than two distinct finite values, or one value in more than 95 % of the rows."""
    silent: NDArray[np.bool_] = (order.alike > np.maximum(0.95 * order.known, 1.0)) | (order.known == 0)
    return silent


def tail_precisions(place: NDArray[np.intp], z: Floats, tail: int) -> Floats:
    """(d, d) average precision of column i of z (n, d) for the ``tail`` largest cells of column j, from 0 at chance to 1.

    ``place`` as in ``Order``; ties with the smallest of these cells are included.
    """
    n, d = z.shape
    found = np.zeros((d, d))
    least = n - min(tail, n)
    for j in range(d):
        wanted = np.flatnonzero(z[:, j] >= np.partition(z[:, j], least)[least])
        chance = len(wanted) / n
        if chance < 1:
            hits = np.sort(place[wanted], axis=0)
            last = np.append(hits[1:] != hits[:-1], np.ones((1, d), np.bool_), axis=0)  # of equal scores
            count = np.where(last, np.arange(1, len(hits) + 1)[:, None], n)
            count = np.minimum.accumulate(count[::-1], axis=0)[::-1]
            found[:, j] = np.maximum(((count / hits).mean(axis=0) - chance) / (1 - chance), 0.0)
    return found


def normalised(weights: Floats) -> Floats:
    """Positive part of the weights, summing to 1; equal ones where nothing is left."""
    positive = np.maximum(weights, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(weights), 1.0 / max(len(weights), 1))


class LinearFuser(Fuser):
    """A fuser whose rule is a weighted mean; ``fit`` sets ``_weights`` (d,), which sum to 1."""

    _weights: Floats | None = None

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        return weighted_mean(z, self._fitted())

    def weights(self) -> Floats:
        """(d,) weights summing to 1."""
        return self._fitted().copy()

    def state(self) -> State:
        """The weights."""
        return {"weights": self._fitted()}

    def export(self) -> Exported:
        """The weights, with numpy alone."""
        return Exported(self.state(), fusing.weighted_mean)

    def load_state(self, state: State) -> None:
        """Restores the weights."""
        self._weights = np.asarray(state["weights"], dtype=np.float64)

    def _fitted(self) -> Floats:
        if self._weights is None:
            raise NotFittedError(f"fuser {self.name} was used before fit")
        return self._weights
