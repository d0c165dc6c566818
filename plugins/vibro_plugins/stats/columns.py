"""What detectors on vectors share: usable columns, reduction to leading axes, and scoring in blocks of one fixed size."""

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
    """Holds BLAS and OpenMP at one thread inside a ``with``: the same bits whatever the machine's settings."""
    return threadpool_limits(1)


def in_blocks(
    score: Callable[[NDArray[Any]], NDArray[np.float64]], x: NDArray[Any], size: int = BLOCK
) -> NDArray[np.float64]:
    """``score`` of x (n, *item) in zero-padded blocks of ``size`` rows on one BLAS thread -> (n,).

    Matrix products round differently for different shapes; with one shape a row has the same score, to the last bit,
    alone and in any company.
    """
    out = np.empty(len(x), np.float64)
    with one_thread():
        for start in range(0, len(x), size):
            rows = x[start : start + size]
            block = np.zeros((size, *x.shape[1:]), x.dtype)
            block[: len(rows)] = rows
            out[start : start + len(rows)] = score(block)[: len(rows)]
    return out


@dataclass(frozen=True)
class Columns:
    """Columns that vary over the fit rows, with their median and robust spread.

    The spread is IQR / 1.349, not below a twentieth of the standard deviation: a column that seldom moves would
    otherwise own every distance.
    """

    keep: NDArray[np.bool_]  # (features of the view,)
    centre: NDArray[np.float64]  # (kept,)
    scale: NDArray[np.float64]  # (kept,)

    @classmethod
    def fit(cls, x: NDArray[Any]) -> Self:
        """From (n, *item); NotApplicableError where no column varies."""
        flat = flatten(x)
        low, middle, high = np.quantile(flat, [0.25, 0.5, 0.75], axis=0)
        spread = flat.std(axis=0)
        keep = spread > 1e-6 * np.abs(flat).max(axis=0)
        if not keep.any():
            raise NotApplicableError(
                f"all {flat.shape[1]} columns of the view are constant over the {len(flat)} fit rows"
            )
        return cls(keep, middle[keep], np.maximum((high - low) / 1.349, spread / 20)[keep])

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


def row_keys(x: NDArray[Any]) -> NDArray[np.uint64]:
    """One 64-bit key a row of float32 (n, *item): rows with the same values have the same key, others hardly ever."""
    bits = (np.ascontiguousarray(x, np.float32).reshape(len(x), -1) + np.float32(0)).view(np.uint32)
    factors = np.random.default_rng(0).integers(1, 2**64, bits.shape[1], dtype=np.uint64)
    return np.sum((bits.astype(np.uint64) + np.uint64(1)) * factors, axis=1, dtype=np.uint64)


def leading_axes(z: NDArray[np.float64], k: int, seed: int) -> NDArray[np.float64]:
    """The k leading principal axes of z (n, p) as (p, k), found on values within +-10 so that few rows cannot own one."""
    from sklearn.utils.extmath import randomized_svd

    clipped = np.clip(z, -10, 10)
    _, _, axes = randomized_svd(clipped - clipped.mean(axis=0), n_components=k, random_state=seed % 2**32)
    return np.ascontiguousarray(axes.T)
