"""Centres and scales of the rows that a network reads, computed a block at a time to bound memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # rows read at a time
VALUES = 1 << 22  # values copied at a time where all rows are needed


def floor_scale(scale: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales of channels; a channel that is constant over the fit rows gets a twentieth of their mean instead of 0."""
    return np.where(scale > 1e-6 * scale.max(), scale, 0.05 * scale.mean()).astype(np.float32)


def medians(x: NDArray[np.float32], about: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Median over the rows of x (n, *item) of each value, or of how far it lies from ``about``.

    A few values at a time, since ``np.median`` copies its input.
    """
    flat, step = x.reshape(len(x), -1), max(1, VALUES // max(1, len(x)))

    def values(place: slice) -> NDArray[np.float32]:
        return flat[:, place] if about is None else np.abs(flat[:, place] - about.reshape(-1)[place])

    parts = [np.median(values(slice(i, i + step)), axis=0) for i in range(0, flat.shape[1], step)]
    return np.concatenate(parts).reshape(x.shape[1:]).astype(np.float32)


def mean_squares(x: NDArray[np.float32], centre: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean of (x - centre)^2 over these axes of the rows x (n, *item), in float64."""
    blocks = ((x[i : i + BLOCK] - centre).astype(np.float64) for i in range(0, len(x), BLOCK))
    return np.concatenate([np.mean(block**2, axis=axes) for block in blocks])


def median_and_mad(values: NDArray[np.float64], floor: float = 0.0) -> tuple[float, float]:
    """Median and 1.4826 MAD of values (n,), the latter at least ``floor`` times the median and 1e-9."""
    middle = float(np.median(values))
    return middle, float(max(1.4826 * np.median(np.abs(values - middle)), floor * abs(middle), 1e-9))
