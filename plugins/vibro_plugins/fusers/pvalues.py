"""Rules that combine each member's p-value against its held-out reference: Stouffer's and the Cauchy combination."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Fuser, NotFittedError, State
from vibro_plugins.fusers.linear_base import Floats, Labels, correlation
from vibro_plugins.stats import pareto

KNOTS = 1025  # points of the stored reference of a member
TAIL = 20  # largest reference scores that make its generalised-Pareto tail, within 2 and 10 % of them
SMALLEST = 1e-300


class _Combination(Fuser):
    """A rule on p-values; what it learns is each member's reference, thinned to knots, and its tail."""

    _knots: Floats | None = None
    _tail: Floats

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Stores the distribution of every member on the held-out reference."""
        d = z.shape[1]
        self._knots, self._tail = np.full((KNOTS, d), np.nan), np.full((4, d), np.nan)
        for j in range(d):
            known = z[np.isfinite(z[:, j]), j]
            if not len(known):
                continue
            self._knots[:, j] = np.quantile(known, np.linspace(0.0, 1.0, KNOTS))
            share = min(max(TAIL / len(known), 0.02), 0.1)
            start = np.quantile(known, 1.0 - share)
            excess = known[known > start] - start
            scale, shape = pareto.fit_moments(excess) if len(excess) else (1.0, 0.0)
            self._tail[:, j] = share, start, scale, max(shape, 0.0)

    def p_value(self, z: Floats, j: int) -> Floats:
        """(n,) survival of member j's z: empirical below its tail, generalised Pareto above; NaN where z is."""
        if self._knots is None:
            raise NotFittedError(f"fuser {self.name} was used before fit")
        knots, (share, start, scale, shape) = self._knots[:, j], self._tail[:, j]
        below = np.searchsorted(knots, z, "left") + np.searchsorted(knots, z, "right")
        p = np.clip(1.0 - below / (2.0 * KNOTS), share, 1.0 - 0.5 / KNOTS)
        above = z > start
        p[above] = share * pareto.survival(z[above] - start, scale, shape)
        p[np.isnan(z) | np.isnan(start)] = np.nan
        return np.maximum(p, SMALLEST)

    def state(self) -> State:
        """Knots (k, d) and tails (4, d): share, start, scale, shape."""
        if self._knots is None:
            raise NotFittedError(f"fuser {self.name} was used before fit")
        return {"knots": self._knots, "tail": self._tail}

    def load_state(self, state: State) -> None:
        """Restores them."""
        self._knots, self._tail = np.asarray(state["knots"], np.float64), np.asarray(state["tail"], np.float64)


class Stouffer(_Combination):
    """sum_j q_j / sqrt(1' C 1), q the normal quantile of 1 - p and C its correlation on the reference.

    Stouffer et al., The American Soldier (1949); the correlation makes it right for dependent members (Strube, 1985).
    """

    name = "stouffer"
    summary = "sum of normal quantiles of p, scaled by the members' correlation"

    _correlation: Floats

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Stores distributions and correlation."""
        super().fit(z, y, usefulness)
        self._correlation = correlation(np.column_stack([self._normal(z, j) for j in range(z.shape[1])]))

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        total = np.zeros(len(z))
        usable = np.empty(z.shape, np.bool_)
        for j in range(z.shape[1]):
            q = self._normal(z, j)
            usable[:, j] = ~np.isnan(q)
            total += np.where(usable[:, j], q, 0.0)
        patterns, pattern = _patterns(usable)
        variance = np.array([self._correlation[np.ix_(p, p)].sum() for p in patterns])
        scale = np.sqrt(np.maximum(variance, 1e-12))
        return np.where(patterns.any(axis=1)[pattern], total / scale[pattern], np.nan)

    def _normal(self, z: Floats, j: int) -> Floats:
        from scipy.special import ndtri

        return np.asarray(-ndtri(self.p_value(z[:, j], j)), dtype=np.float64)

    def state(self) -> State:
        """Also the correlation (d, d)."""
        return {**super().state(), "correlation": self._correlation}

    def load_state(self, state: State) -> None:
        """Restores all."""
        super().load_state(state)
        self._correlation = np.asarray(state["correlation"], np.float64)


class Cauchy(_Combination):
    """-log p of T = mean_j tan((1/2 - p_j) pi), p = 1/2 - arctan(T) / pi (Liu and Xie, JASA 2020).

    Its tail holds under any dependence. p_j is capped at 1/2: otherwise one inverted member (p near 1) outweighs all others.
    """

    name = "cauchy"
    summary = "Cauchy combination of p-values, p capped at one half"

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        total, used = np.zeros(len(z)), np.zeros(len(z))
        for j in range(z.shape[1]):
            p = np.minimum(self.p_value(z[:, j], j), 0.5)
            usable = ~np.isnan(p)
            total += np.where(usable, 1.0 / np.tan(np.pi * np.where(usable, p, 0.5)), 0.0)
            used += usable
        mean = np.divide(total, used, out=np.full(len(z), np.nan), where=used > 0)
        return -np.log(np.arctan2(1.0, mean) / np.pi)


def _patterns(usable: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """The distinct rows of a mask (m, d) and each row's index among them (n,)."""
    if usable.all():
        return usable[:1], np.zeros(len(usable), np.intp)
    packed = np.ascontiguousarray(np.packbits(usable, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, pattern = np.unique(keys, return_index=True, return_inverse=True)
    return usable[first], pattern


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fusers."""
    register(Stouffer)
    register(Cauchy)
