"""Rules that make one score of the members' z, with numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.portable.rows import Arrays, Floats


def weighted_mean(arrays: Arrays, z: NDArray[Any]) -> Floats:
    """Mean of the z (n, d) that are there, by ``weights`` (d,); NaN where none has any."""
    there = np.isfinite(z)
    used = there @ arrays["weights"]
    total = np.where(there, z, 0.0) @ arrays["weights"]
    return np.divide(total, used, out=np.full(len(z), np.nan), where=used > 0)


def asinh_mean(arrays: Arrays, z: NDArray[Any]) -> Floats:
    """The same of asinh(z / reach), and back."""
    return np.sinh(weighted_mean(arrays, np.arcsinh(z / arrays["reach"])))


def median(arrays: Arrays, z: NDArray[Any]) -> Floats:
    """Median of the z that are there."""
    return trimmed_mean({"trim": np.array(0.5)}, z)


def trimmed_mean(arrays: Arrays, z: NDArray[Any]) -> Floats:
    """Mean of the z that are there without the share ``trim`` at either end; half of them at each: the median."""
    out = np.full(len(z), np.nan)
    for i, row in enumerate(z):
        known = np.sort(row[np.isfinite(row)])
        drop = min(int(np.floor(arrays["trim"] * len(known))), (len(known) - 1) // 2)
        if len(known):
            out[i] = known[drop : len(known) - drop].mean()
    return out


def largest(arrays: Arrays, z: NDArray[Any]) -> Floats:
    """Largest of the z that are there."""
    return np.fmax.reduce(np.where(np.isfinite(z), z, np.nan), axis=1)
