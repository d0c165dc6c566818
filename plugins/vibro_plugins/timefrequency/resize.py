"""Area resizing as small weight matrices: rows of weights that sum to 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def area_weights(size: int, cells: int) -> NDArray[np.float32]:
    """(cells, size): cell j averages the stretch [j, j + 1) size / cells, parts of samples by their overlap."""
    edges = np.arange(cells + 1) * (size / cells)
    low, high = edges[:-1, None], edges[1:, None]
    at = np.arange(size)
    overlap = np.clip(np.minimum(high, at + 1) - np.maximum(low, at), 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def adaptive_weights(size: int, cells: int) -> NDArray[np.float32]:
    """(cells, size): cell j averages the whole samples floor(j size / cells) .. ceil((j + 1) size / cells) - 1.

    This is ``torch.nn.functional.interpolate(mode="area")`` along one axis.
    """
    j = np.arange(cells)[:, None]
    at = np.arange(size)
    inside = (at >= j * size // cells) & (at < -((-(j + 1) * size) // cells))
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


def point_weights(size: int, cells: int) -> NDArray[np.float32]:
    """(cells, size): linear interpolation at the cells' centres, no smoothing: what image libraries do by default."""
    centre = np.clip((np.arange(cells) + 0.5) * (size / cells) - 0.5, 0, size - 1)
    return np.maximum(1 - np.abs(centre[:, None] - np.arange(size)), 0).astype(np.float32)


def banded(weights: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """A matrix of short runs of weights as the runs' starts (cells,) and a narrow matrix (cells, count)."""
    start = (weights > 0).argmax(axis=1)
    count = int((weights > 0).sum(axis=1).max())
    start = np.minimum(start, weights.shape[1] - count)
    return start, np.take_along_axis(weights, start[:, None] + np.arange(count), axis=1)
