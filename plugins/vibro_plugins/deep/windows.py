"""Cutting records into windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_SAMPLES = 1 << 20  # of a window


def cut(lines: NDArray[np.float32], length: int, hop: int) -> NDArray[np.float32]:
    """(n, channels, samples) -> (n * windows, channels, length), those of one record after another.

    A window starts every ``hop`` samples; the last one ends with the record.
    """
    channels, samples = lines.shape[1:]
    if length == samples:
        return lines
    starts = [*range(0, samples - length, hop), samples - length]
    return np.stack([lines[:, :, i : i + length] for i in starts], axis=1).reshape(-1, channels, length)


def put_back(parts: NDArray[np.float64], shape: tuple[int, ...], hop: int) -> NDArray[np.float64]:
    """What ``cut`` has cut of records (n, channels, samples) in their places again, the mean where windows overlap."""
    n, channels, samples = shape
    length = parts.shape[2]
    if length == samples:
        return parts
    starts = [*range(0, samples - length, hop), samples - length]
    total, count = np.zeros(shape), np.zeros(samples)
    for start, part in zip(starts, parts.reshape(n, len(starts), channels, length).swapaxes(0, 1), strict=True):
        total[:, :, start : start + length] += part
        count[start : start + length] += 1
    return total / np.maximum(count, 1)


def windows_of(records: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Indices of the windows of these records, ``count`` each, in the order of ``cut``."""
    return (records[:, None] * count + np.arange(count)).reshape(-1)
