"""Band levels and statistics of a waveform, with numpy alone: ``spectrum``, ``lin`` and ``profile``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Rows = NDArray[np.float64]
BLOCK = 1 << 19  # samples worked on at a time
LOWEST = -30.0
LOG2 = float(np.log10(2.0))
PLACES = 64


def spectrum(arrays: Arrays, x: NDArray[Any]) -> NDArray[np.float32]:
    """Records (n, C, T) -> level, levels in log-spaced bands, and, if wanted, the time statistics (n, C * values)."""

    def values(rows: NDArray[Any]) -> Rows:
        y, exponent = _scaled(rows)
        columns = [_level(_rms(y), exponent)[:, None], _octaves(y, exponent, int(arrays["bands"]))[0]]
        return np.concatenate([*columns, _shape(y)] if arrays["statistics"] else columns, axis=1)

    return _by_channel(x, values)


def lin(arrays: Arrays, x: NDArray[Any]) -> NDArray[np.float32]:
    """Records (n, C, T) -> levels in bands of equal width (n, C * bands)."""
    return _by_channel(x, lambda rows: 2.0 * _even(*_scaled(rows), int(arrays["bands"]))[0])


def profile(arrays: Arrays, x: NDArray[Any]) -> NDArray[np.float32]:
    """Records (n, C, T) -> levels at even places of both lines, the level, and the time statistics (n, C * 140)."""

    def values(rows: NDArray[Any]) -> Rows:
        y, exponent = _scaled(rows)
        octaves, first = _octaves(y, exponent, PLACES)
        even, edges = _even(y, exponent, PLACES)
        middle = 0.5 * (np.log(first[:-1]) + np.log(np.maximum(first[1:] - 1, 1)))
        lines = [_stretched(octaves, middle), _stretched(even, 0.5 * (edges[:-1] + edges[1:]))]
        return np.concatenate([*lines, _level(_rms(y), exponent)[:, None], _shape(y)], axis=1)

    return _by_channel(x, values)


def means(arrays: Arrays, x: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    """Records (n, C, T) of slow sensors -> ``moments``; NaN for those of other sensors."""
    slow = np.isin(np.asarray(sensor).reshape(-1), arrays["slow"])
    out = np.full((len(x), 2 * x.shape[1]), np.nan, np.float32)
    out[slow] = moments(x[slow])
    return out


def moments(x: NDArray[Any]) -> Rows:
    """Means of the channels of records (n, C, T), then log10 of their standard deviations (n, 2 C)."""
    found, step = [np.empty((0, 2 * x.shape[1]))], max(1, BLOCK // max(1, x.shape[1] * x.shape[2]))
    for start in range(0, len(x), step):
        rows = x[start : start + step].astype(np.float64)
        mean = rows.mean(axis=2)
        spread = np.sqrt(np.square(rows - mean[:, :, None]).mean(axis=2))
        found.append(np.concatenate([mean, _log10(np.maximum(spread, 1e-6 * np.abs(mean) + 1e-30))], axis=1))
    return np.concatenate(found)


def _by_channel(x: NDArray[Any], values: Callable[[NDArray[Any]], Rows]) -> NDArray[np.float32]:
    n, channels, length = x.shape
    rows, step = x.reshape(n * channels, length), max(1, BLOCK // length)
    parts = [values(rows[i : i + step]) for i in range(0, len(rows), step)]
    most = float(np.finfo(np.float32).max)
    return np.clip(np.concatenate(parts), -most, most).astype(np.float32).reshape(n, -1)


def _scaled(x: NDArray[Any]) -> tuple[Rows, NDArray[np.int32]]:
    """Rows divided by a power of two and centred, and its exponent."""
    exponent = np.frexp(np.maximum(x.max(axis=1), -x.min(axis=1)).astype(np.float64))[1]
    y = np.ldexp(x.astype(np.float64), -exponent[:, None])
    return y - y.mean(axis=1, keepdims=True), exponent


def _rms(y: Rows) -> Rows:
    return np.sqrt(np.mean(y * y, axis=1))


def _level(amplitude: Rows, exponent: NDArray[np.int32]) -> Rows:
    shift = exponent * LOG2
    return np.maximum(_log10(amplitude) + (shift if amplitude.ndim == 1 else shift[:, None]), LOWEST)


def _log10(values: Rows) -> Rows:
    return np.log(np.maximum(values, 1e-60)) * (1 / np.log(10))


def _ratio(above: Rows, below: Rows, empty: float = 0.0) -> Rows:
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, float(empty)), where=below > 0)


def _welch(y: Rows, segment: int, hop: int) -> Rows:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(segment) / segment)
    total = np.zeros((len(y), segment // 2 + 1))
    starts = range(0, y.shape[1] - segment + 1, hop)
    for start in starts:
        part = y[:, start : start + segment]
        z = np.fft.rfft((part - part.mean(axis=1, keepdims=True)) * window, axis=1)
        total += z.real**2 + z.imag**2
    total[:, 1 : (segment + 1) // 2] *= 2
    return total / (len(starts) * segment * np.sum(window**2))


def _octaves(y: Rows, exponent: NDArray[np.int32], bands: int) -> tuple[Rows, NDArray[np.intp]]:
    segments = min(max(2 * y.shape[1] // 256 - 1, 1), 15)
    segment = 2 * y.shape[1] // (segments + 1)
    power = _welch(y, segment, max(1, segment // 2))
    edges = np.unique(np.round(np.geomspace(1, power.shape[1], bands + 1)).astype(np.intp))
    return _level(np.sqrt(np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)), exponent), edges


def _even(y: Rows, exponent: NDArray[np.int32], bands: int) -> tuple[Rows, NDArray[np.intp]]:
    segment = min(512, y.shape[1])
    power = _welch(y, segment, segment // 2)[:, 1:] if segment > 1 else np.zeros((len(y), 1))
    edges = np.unique(np.linspace(0, power.shape[1], min(bands, power.shape[1]) + 1).astype(np.intp))
    mean = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    mean = np.maximum(mean, 1e-6 * np.median(mean, axis=1, keepdims=True))
    return _level(np.sqrt(mean), exponent), edges


def _stretched(level: Rows, at: Rows) -> Rows:
    if len(at) == 1:
        return np.repeat(level, PLACES, axis=1)
    wanted = np.linspace(at[0], at[-1], PLACES)
    left = np.clip(np.searchsorted(at, wanted) - 1, 0, len(at) - 2)
    share = np.clip((wanted - at[left]) / (at[left + 1] - at[left]), 0, 1)
    return level[:, left] * (1 - share) + level[:, left + 1] * share


def _shape(y: Rows) -> Rows:
    power, size, root = np.mean(y * y, axis=1), np.mean(np.abs(y), axis=1), np.mean(np.sqrt(np.abs(y)), axis=1)
    high, low, rms = y.max(axis=1), y.min(axis=1), np.sqrt(power)
    slope = np.sqrt(np.mean(np.diff(y, axis=1) ** 2, axis=1))
    curvature = np.sqrt(np.mean((y[:, 2:] - 2 * y[:, 1:-1] + y[:, :-2]) ** 2, axis=1))
    peak, mobility = np.maximum(high, -low), _ratio(slope, rms, 1.0)
    parts = min(max(y.shape[1] // 32, 1), 16)
    each = y.shape[1] // parts
    blocks = np.sqrt(np.square(y[:, : parts * each]).reshape(len(y), parts, each).mean(axis=2))
    middle = blocks.mean(axis=1)
    columns = [
        _log10(_ratio(peak, rms, 1.0)),
        _log10(_ratio(np.mean(y**4, axis=1), power**2, 1.0)),
        _ratio(np.mean(y**3, axis=1), rms**3),
        _log10(_ratio(peak, root**2, 1.0)),
        _log10(_ratio(rms, size, 1.0)),
        np.mean((y[:, 1:] < 0) != (y[:, :-1] < 0), axis=1),
        _log10(mobility),
        _log10(_ratio(curvature, slope * mobility, 1.0)),
        _ratio(high + low, high - low),
        _log10(_ratio(blocks.std(axis=1), middle) + 1e-3),
        _log10(_ratio(blocks.max(axis=1), middle, 1.0)),
    ]
    return np.stack(columns, axis=1)
