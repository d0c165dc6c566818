"""Centres and scales of the rows that a network reads, a block at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK, PLACES = 64, 4096  # rows, and places of a row, read at a time


def heard(scale: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales of channels; one that is silent at fit has a twentieth of their mean, to be heard when it no longer is."""
    return np.where(scale > 1e-6 * scale.max(), scale, 0.05 * scale.mean()).astype(np.float32)


def medians(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median over the rows of x (n, *item) at each place, a few places at a time, since a median copies what it is taken of."""
    flat = x.reshape(len(x), -1)
    parts = [np.median(flat[:, i : i + PLACES], axis=0) for i in range(0, flat.shape[1], PLACES)]
    return np.concatenate(parts).reshape(x.shape[1:]).astype(np.float32)


def mean_squares(x: NDArray[np.float32], centre: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean of (x - centre)^2 over these axes of the rows x (n, *item), in float64 a block of rows at a time."""
    blocks = ((x[i : i + BLOCK] - centre).astype(np.float64) for i in range(0, len(x), BLOCK))
    return np.concatenate([np.mean(block**2, axis=axes) for block in blocks])
