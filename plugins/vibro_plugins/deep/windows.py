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


def windows_of(records: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Indices of the windows of these records, ``count`` each, in the order of ``cut``."""
    return (records[:, None] * count + np.arange(count)).reshape(-1)
