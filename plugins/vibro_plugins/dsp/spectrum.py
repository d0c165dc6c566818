"""What the vector features share: rows in blocks, scaling that cannot overflow, log levels, power spectra.

Every function works along the last axis, row by row, without matrix products, so that a row's result is independent of the
batch, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]  # (rows, samples) or (rows, values)
BLOCK = 1 << 19  # samples worked on at a time: 4 MiB of float64
LOWEST = -30.0  # log10 of the smallest amplitude, in any unit
LOG2 = float(np.log10(2.0))
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Scaled(NamedTuple):
    """Centred rows divided by a power of two, so that no product overflows: x = (mean + y) 2^exponent, abs(y) < 2."""

    y: Rows
    mean: Rows  # (rows,), scaled like y
    exponent: NDArray[np.int32]  # (rows,)


def by_channel(x: NDArray[Any], core: Callable[..., Rows], *beside: NDArray[Any]) -> NDArray[np.float32]:
    """``core`` of each channel of x (n, C, T), joined along the last axis -> (n, C * values) float32, finite.

    ``core`` takes (rows, T), and the same rows of each array (n, C) in ``beside`` as (rows,), and gives (rows, values);
    it is called with blocks of whole rows.
    """
    n, channels, length = x.shape
    arrays = [x.reshape(n * channels, length), *(values.reshape(n * channels) for values in beside)]
    step = max(1, BLOCK // length)
    parts = [finite32(core(*(a[i : i + step] for a in arrays))) for i in range(0, n * channels, step)]
    return np.concatenate(parts).reshape(n, -1)


def finite32(values: NDArray[Any]) -> NDArray[np.float32]:
    """As float32, clipped to its range."""
    return np.clip(values, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)


def scaled(x: NDArray[Any]) -> Scaled:
    """(rows, samples) as ``Scaled``; powers of two keep every digit, so a gain of 2^k changes the exponent alone."""
    from vibro_plugins.dsp.kernels import scale_rows

    exponent = np.frexp(np.maximum(x.max(axis=1), -x.min(axis=1)).astype(np.float64))[1]
    y, mean = np.empty(x.shape), np.empty(len(x))
    rows = np.ascontiguousarray(x).view()
    rows.flags.writeable = False  # as the engine gives them: one compiled form for all
    scale_rows(rows, exponent, y, mean)
    return Scaled(y, mean, exponent)


def log_level(amplitude: Rows, exponent: NDArray[np.int32]) -> Rows:
    """log10 of scaled amplitudes (rows,) or (rows, values) in the record's own unit, at least ``LOWEST``."""
    shift = exponent * LOG2
    return np.maximum(log10(amplitude) + (shift if amplitude.ndim == 1 else shift[:, None]), LOWEST)


def log10(values: Rows) -> Rows:
    """log10 of what is not negative; 0 counts as 1e-60."""
    return np.log(np.maximum(values, 1e-60)) * (1 / np.log(10))


def ratio(above: Rows, below: Rows, empty: float = 0.0) -> Rows:
    """above / below, ``empty`` where below is 0."""
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, float(empty)), where=below > 0)


def hann(length: int) -> Rows:
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def welch(y: Rows, segment: int, hop: int) -> Rows:
    """Mean power (rows, segment // 2 + 1) of Hann segments, each without its mean; bins sum to about the mean square.

    Welch, IEEE Trans. Audio Electroacoustics 15, 1967. The last segment ends at most ``hop`` - 1 samples before the row.
    """
    from scipy.fft import rfft

    window = hann(segment)
    total = np.zeros((len(y), segment // 2 + 1))
    starts = range(0, y.shape[1] - segment + 1, hop)
    for start in starts:
        part = y[:, start : start + segment]
        z = rfft((part - part.mean(axis=1, keepdims=True)) * window, axis=1)
        total += z.real**2 + z.imag**2
    total[:, 1 : (segment + 1) // 2] *= 2
    return total / (len(starts) * segment * np.sum(window**2))


def log_edges(bins: int, bands: int) -> NDArray[np.intp]:
    """First bins of at most ``bands`` bands, evenly spaced in log frequency over bins 1..``bins``, and ``bins`` + 1.

    Low bands narrower than a bin are merged, so that no band is empty.
    """
    return np.unique(np.round(np.geomspace(1, bins + 1, bands + 1)).astype(np.intp))
