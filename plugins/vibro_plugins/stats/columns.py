"""What detectors on vectors share: standardised columns, leading axes, fit rows found again, scoring in blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vibro.errors import NotApplicableError

BLOCK = 256
LIMIT = 1e6  # standardised values are clipped here, so that squares and float32 stay finite


def one_thread() -> threadpool_limits:
    """Context in which BLAS and OpenMP use one thread, so that results do not depend on the machine's settings."""
    return threadpool_limits(1)


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
        flat = flatten(x)
        low, middle, high = np.quantile(flat, [0.25, 0.5, 0.75], axis=0)
        deviation = flat.std(axis=0)
        keep = deviation > 1e-6 * np.abs(flat).max(axis=0)
        if not keep.any():
            raise NotApplicableError(
                f"all {flat.shape[1]} columns of the view are constant over the {len(flat)} fit rows"
            )
        return cls(keep, middle[keep], np.maximum((high - low) / 1.349, deviation / 20)[keep])

    def apply(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """(n, *item) -> standardised (n, kept), within +-1e6."""
        return np.clip((flatten(x)[:, self.keep] - self.centre) / self.scale, -LIMIT, LIMIT)

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays for a component's state."""
        return {"columns.keep": self.keep, "columns.centre": self.centre, "columns.scale": self.scale}

    @classmethod
    def load(cls, state: dict[str, NDArray[Any]]) -> Self:
        """Back from ``state``."""
        return cls(state["columns.keep"].astype(bool), state["columns.centre"], state["columns.scale"])


def flatten(x: NDArray[Any]) -> NDArray[np.float64]:
    """(n, *item) -> (n, features) float64."""
    return np.asarray(x, np.float64).reshape(len(x), -1)


@dataclass(frozen=True)
class FitRows:
    """Recognises the rows of a fit, so that they can be scored as if they had been left out: a fit follows its own rows.

    Rows are known by a 64-bit hash of their values as float32: equal rows have equal keys, others practically never.
    """

    keys: NDArray[np.uint64]  # (n,) sorted

    @classmethod
    def of(cls, x: NDArray[Any]) -> tuple[Self, NDArray[np.intp]]:
        """From the fit rows (n, *item); also the order (n,) in which they are kept."""
        keys = cls._hash(x)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order]), order

    def find(self, x: NDArray[Any]) -> NDArray[np.intp]:
        """(n,) place in the kept order of the fit row that equals each row of x (n, *item); -1 for none."""
        keys = self._hash(x)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)

    @staticmethod
    def _hash(x: NDArray[Any]) -> NDArray[np.uint64]:
        bits = (np.ascontiguousarray(x, np.float32).reshape(len(x), -1) + np.float32(0)).view(np.uint32)
        factors = np.random.default_rng(0).integers(1, 2**64, bits.shape[1], dtype=np.uint64)
        return np.sum((bits.astype(np.uint64) + np.uint64(1)) * factors, axis=1, dtype=np.uint64)


def leading_axes(z: NDArray[np.float64], k: int, seed: int) -> NDArray[np.float64]:
    """The k leading principal axes of z (n, p) as (p, k), of values clipped to +-10, so that few rows cannot define one."""
    from sklearn.utils.extmath import randomized_svd

    clipped = np.clip(z, -10, 10)
    _, _, axes = randomized_svd(clipped - clipped.mean(axis=0), n_components=k, random_state=seed % 2**32)
    return np.ascontiguousarray(axes.T)
