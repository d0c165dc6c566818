"""What fusers share: a masked weighted mean, rank agreement, and the base of every linear rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vibro.api import Fuser, NotFittedError, State

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
CHUNK = 8_192  # rows whose columns stay in the processor's cache


def weighted_mean(z: Floats, ok: Mask, weights: Floats, bend: Callable[[Floats], Floats] | None = None) -> Floats:
    """Mean of the usable cells (n, d), bent or plain, by weights (d,) >= 0; NaN where no usable cell has weight.

    Column by column, so that a row's result does not depend on how many rows are in the call.
    """
    mean = np.full(len(z), np.nan)
    columns = np.flatnonzero(weights > 0)
    for start in range(0, len(z), CHUNK):
        rows = slice(start, start + CHUNK)
        total, used = np.zeros(len(z[rows])), np.zeros(len(z[rows]))
        for j in columns:
            column = z[rows, j]
            present = ok[rows, j] & np.isfinite(column)
            column = np.where(present, column, 0.0)
            total += weights[j] * (bend(column) if bend else column)
            used += weights[j] * present
        np.divide(total, used, out=mean[rows], where=used > 0)
    return mean


def ranks(z: Floats) -> Floats:
    """Mean ranks of every column (n, d) among its finite cells; NaN stays NaN."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(z, axis=0, nan_policy="omit"), dtype=np.float64)


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
    return np.clip(c, -1.0, 1.0)


def spearman(z: Floats) -> Floats:
    """Rank correlation (d, d) of the columns."""
    return correlation(ranks(z))


def dead(z: Floats) -> Mask:
    """(d,) columns that say nothing: fewer than two distinct finite values, or one value in more than 95 % of the rows."""
    silent = np.ones(z.shape[1], np.bool_)
    for j in range(z.shape[1]):
        known = z[np.isfinite(z[:, j]), j]
        if len(known):
            silent[j] = np.unique(known, return_counts=True)[1].max() > max(0.95 * len(known), 1)
    return silent


def tail_precision(score: Floats, target: Floats, tail: int) -> float:
    """Average precision of ``score`` for the ``tail`` largest of ``target``, from 0 at chance to 1; ties go by row."""
    n = len(score)
    tail = min(tail, n - 1)
    if tail < 1:
        return 0.0
    wanted = np.zeros(n, np.bool_)
    wanted[np.argsort(-target, kind="stable")[:tail]] = True
    hits = np.flatnonzero(wanted[np.argsort(-score, kind="stable")])
    precision = float(np.mean(np.arange(1, tail + 1) / (hits + 1)))
    chance = tail / n
    return max((precision - chance) / (1.0 - chance), 0.0)


def normalised(weights: Floats) -> Floats:
    """Weights without their negative part, summing to 1; equal ones where nothing is left."""
    positive = np.maximum(weights, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(weights), 1.0 / max(len(weights), 1))


class LinearFuser(Fuser):
    """A fuser whose rule is a weighted mean; ``fit`` sets ``_weights`` (d,), which sum to 1."""

    _weights: Floats | None = None

    def fuse(self, z: Floats, ok: Mask) -> Floats:
        """(n, d) and the mask of usable cells -> (n,)."""
        return weighted_mean(z, ok, self._fitted())

    def weights(self) -> Floats:
        """(d,) weights summing to 1."""
        return self._fitted().copy()

    def state(self) -> State:
        """The weights."""
        return {"weights": self._fitted()}

    def load_state(self, state: State) -> None:
        """Restores the weights."""
        self._weights = np.asarray(state["weights"], dtype=np.float64)

    def _fitted(self) -> Floats:
        if self._weights is None:
            raise NotFittedError(f"fuser {self.name} was used before fit")
        return self._weights
