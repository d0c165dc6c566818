"""What detectors on vectors share: standardised columns, leading axes, fit rows found again, scoring in blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from vibro.errors import NotApplicableError

BLOCK = 256
SOME = 16  # columns that are measured at a time, so that many rows take no copy of all of them
ROWS = 1 << 16  # rows worked on at a time where a copy of all would be large
KEYS = 4  # projections by which a row is known again
SAME = 5e-3  # of their spread within which two rows are the same
STRIP = 1e6  # places from one strip of the first projection to the next
WITHIN = 1.001  # places between two rows that may be the same; a little more than 1, since places are rounded
LIMIT = 1e6  # standardised values are clipped here, so that squares and float32 stay finite


def one_thread() -> AbstractContextManager[Any]:
    """Context in which BLAS and OpenMP use one thread, so that results do not depend on the machine's settings."""
    return _thread_pools(len(sys.modules)).limit(limits=1)


@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> ThreadpoolController:
    """The pools of the libraries loaded by so many modules: looking for them takes milliseconds, once they are known."""
    return ThreadpoolController()


def in_blocks(
    score: Callable[[NDArray[Any]], NDArray[np.float64]], x: NDArray[Any], size: int = BLOCK
) -> NDArray[np.float64]:
    """``score`` of x (n, *item) in zero-padded blocks of ``size`` rows on one BLAS thread -> (n,) or (n, d).

    Matrix products round differently for different shapes; with one shape a row's score is independent of the batch, to the
    last bit.
    """
    parts = [np.empty(0)] if not len(x) else []
    with one_thread():
        for start in range(0, len(x), size):
            rows = x[start : start + size]
            block = np.zeros((size, *x.shape[1:]), x.dtype)
            block[: len(rows)] = rows
            parts.append(score(block)[: len(rows)])
    return np.concatenate(parts)


def evenly_spaced(rows: int, most: int) -> NDArray[np.intp]:
    """Indices of all rows, or of ``most`` of them evenly spaced from the first to the last."""
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.intp)


@dataclass(frozen=True)
class Columns:
    """Columns that vary over the fit rows, with their median and robust scale.

    The scale is IQR / 1.349, at least a twentieth of the standard deviation: a column that is mostly constant would otherwise
    dominate every distance.
    """

    keep: NDArray[np.bool_]  # (features of the view,)
    centre: NDArray[np.float64]  # (kept,)
    scale: NDArray[np.float64]  # (kept,)

    @classmethod
    def fit(cls, x: NDArray[Any]) -> Self:
        """From (n, *item); NotApplicableError where no column varies."""
        low, middle, high = by_columns(_quartiles, x)
        deviation = by_columns(lambda part: part.std(axis=0), x)
        highest, lowest = (np.asarray(end, np.float64).reshape(-1) for end in (x.max(axis=0), x.min(axis=0)))
        keep = deviation > 1e-6 * np.maximum(highest, -lowest)
        if not keep.any():
            raise NotApplicableError(f"all {len(keep)} columns of the view are constant over the {len(x)} fit rows")
        return cls(keep, middle[keep], np.maximum((high - low) / 1.349, deviation / 20)[keep])

    def apply(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """(n, *item) -> standardised (n, kept), within +-1e6."""
        flat = np.asarray(x).reshape(len(x), int(np.prod(x.shape[1:])))
        kept = int(self.keep.sum())
        z = np.empty((len(flat), kept), order="F")  # as ``flat[:, keep]`` lies, so that sums round alike
        for start in range(0, len(flat), ROWS):
            z[start : start + ROWS] = flat[start : start + ROWS, self.keep]
        z -= self.centre
        z /= self.scale
        return np.clip(z, -LIMIT, LIMIT, out=z)

    def apply32(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """``apply`` in float32, without a copy of all rows in float64."""
        z = np.empty((len(x), int(self.keep.sum())), np.float32, order="F")
        for start in range(0, len(x), ROWS):
            z[start : start + ROWS] = self.apply(x[start : start + ROWS])
        return z

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a component's state."""
        return {"columns.keep": self.keep, "columns.centre": self.centre, "columns.scale": self.scale}

    @classmethod
    def load(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Back from ``state``."""
        return cls(state["columns.keep"].astype(bool), state["columns.centre"], state["columns.scale"])


def by_columns(measure: Callable[[NDArray[np.float64]], NDArray[Any]], x: NDArray[Any]) -> NDArray[Any]:
    """``measure`` of the columns of x (n, *item), (n, few) -> (few,) or (d, few), as (features,) or (d, features).

    It is given ``SOME`` or fewer at a time in float64, so that no copy of all is made.
    """
    flat = np.asarray(x).reshape(len(x), int(np.prod(x.shape[1:])))
    edges = np.linspace(0, flat.shape[1], max(1, -(-flat.shape[1] // SOME)) + 1).astype(np.intp)
    parts = map(slice, edges[:-1], edges[1:])
    return np.concatenate([measure(np.asarray(flat[:, part], np.float64)) for part in parts], axis=-1)


def _quartiles(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, few) of columns (n, few), each in one piece, which is the quicker way."""
    return np.quantile(np.array(x.T, order="C"), [0.25, 0.5, 0.75], axis=1, overwrite_input=True)


def flatten(x: NDArray[Any]) -> NDArray[np.float64]:
    """(n, *item) -> (n, features) float64."""
    return np.asarray(x, np.float64).reshape(len(x), int(np.prod(x.shape[1:])))


@dataclass(frozen=True)
class FitRows:
    """Recognises the rows of a fit, so that they can be scored as if they had been left out: a fit follows its own rows.

    A row is known by four random projections of its columns, each in units of its spread over the fit rows. The same recording
    in another unit, format or rounding is the same row; two different rows are hardly ever so near in all four.
    """

    keys: NDArray[np.float64]  # (n, 4), those near to each other in the first two side by side
    scale: NDArray[np.float64]  # (p,) of the columns

    @classmethod
    def of(cls, x: NDArray[Any]) -> tuple[Self, NDArray[np.intp]]:
        """From the fit rows (n, *item); also the order (n,) in which they are kept."""
        spread = by_columns(lambda part: part.std(axis=0), x)
        rows = cls(np.empty((0, KEYS)), np.where(spread > 0, spread, 1.0))
        rows = replace(rows, keys=rows._keys(x))
        order = np.argsort(rows._places, kind="stable")
        return replace(rows, keys=rows.keys[order]), order

    def find(self, x: NDArray[Any]) -> NDArray[np.intp]:
        """(n,) place in the kept order of the fit row that each row of x (n, *item) is; -1 for none."""
        keys = self._keys(x)
        found, nearest = np.full(len(x), -1), np.ones(len(x))
        for strip in (-1.0, 0.0, 1.0):
            place = self._place(keys, strip)
            low = np.searchsorted(self._places, place - WITHIN, "left")
            high = np.searchsorted(self._places, place + WITHIN, "right")
            for step in range(int((high - low).max(initial=0))):
                asked = np.flatnonzero((low + step < high) & (nearest > 0))
                if not len(asked):
                    break
                away = np.max(np.abs(self.keys[low[asked] + step] - keys[asked]) / self._reach, axis=1)
                nearer = away < nearest[asked]
                nearest[asked[nearer]], found[asked[nearer]] = away[nearer], low[asked[nearer]] + step
        return found

    @cached_property
    def _reach(self) -> NDArray[np.float64]:
        """(4,) how far the keys of one row may lie apart."""
        return np.asarray(SAME * np.sort(self.keys, axis=0).std(axis=0) + 1e-12)  # the same in whatever order they are

    @cached_property
    def _places(self) -> NDArray[np.float64]:
        return self._place(self.keys)

    def _place(self, keys: NDArray[np.float64], strip: float = 0.0) -> NDArray[np.float64]:
        """(n,) places of keys (n, 4) on one line: strips of the first key, one after the other, in each by the second.

        So the few rows near to one are found without a look at all that are near in one key, whose number grows with n.
        """
        first, second = np.clip(keys[:, :2] / self._reach[:2], -STRIP / 4, STRIP / 4).T
        return np.asarray((np.floor(first) + strip) * STRIP + second)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a component's state."""
        return {"own.keys": self.keys, "own.scale": self.scale}

    @classmethod
    def load(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Back from ``state``."""
        return cls(state["own.keys"], state["own.scale"])

    def _keys(self, x: NDArray[Any]) -> NDArray[np.float64]:
        weights = np.random.default_rng(0).standard_normal((len(self.scale), KEYS)) / self.scale[:, None]
        parts = [np.nan_to_num(flatten(x[i : i + ROWS])) @ weights for i in range(0, max(1, len(x)), ROWS)]
        return np.concatenate(parts)


def leading_axes(z: NDArray[np.float64], k: int, seed: int) -> NDArray[np.float64]:
    """The k leading principal axes of z (n, p) as (p, k), of values clipped to +-10, so that few rows cannot define one."""
    from sklearn.utils.extmath import randomized_svd

    clipped = np.clip(z, -10, 10)
    clipped -= clipped.mean(axis=0)
    _, _, axes = randomized_svd(clipped, n_components=k, random_state=seed % 2**32)
    return np.ascontiguousarray(axes.T)
