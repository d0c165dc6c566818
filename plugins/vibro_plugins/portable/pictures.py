"""Pictures of a record with numpy alone: wavelet maps, vectors laid out, and several joined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.portable.covariates import or_pool
from vibro_plugins.portable.rows import Arrays, codes_of

WIDTH, HEIGHT, LEAST_HEIGHT = 40, 30, 4
STRAIGHT = 18.0
CLIP = 12.0
FLOOR, LEAST, CORRECTION = -80.0, 1e-12, 0.25
RESOLUTION = 1e-7
BLOCK = 32  # records worked on at a time


def wavelet_image(arrays: Arrays, raw: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    """Records (n, C, T) -> power of complex Morlet wavelets in dB of the sensor's level (n, C, size, size)."""
    n, channels, samples = raw.shape
    sigma = arrays["sigma"][or_pool(codes_of(sensor), len(arrays["sigma"]) - 1)].reshape(-1)
    rows, parts = raw.reshape(-1, samples), []
    for start in range(0, len(rows), BLOCK):
        x = rows[start : start + BLOCK].astype(np.float64)
        x = x - x.mean(axis=1, keepdims=True)
        level = np.sqrt(np.mean(x**2, axis=1))
        level = np.where(level > RESOLUTION * np.abs(rows[start : start + BLOCK]).max(axis=1), level, 0.0)
        unit = np.divide(x, level[:, None], out=np.zeros_like(x), where=level[:, None] > 0).astype(np.float32)
        power = arrays["resize"] @ _pooled_power(arrays, unit)
        gain = 20 * np.log10(np.maximum(level / sigma[start : start + BLOCK], 1e-300))
        parts.append(np.maximum(10 * np.log10(np.maximum(power, 1e-30)) + gain[:, None, None], FLOOR))
    size = len(arrays["resize"])
    return np.concatenate(parts).astype(np.float32).reshape(n, channels, size, size)


def vector_image(arrays: Arrays, x: NDArray[Any]) -> NDArray[np.float32]:
    """A vector (n, d) in lines of 40 shades (n, C, h, 40)."""
    values = np.asarray(x, np.float64)
    unit = np.divide(values - arrays["middle"], arrays["reach"], out=np.zeros_like(values), where=arrays["reach"] > 0)
    shade = 0.5 + np.arctan(unit) / np.pi if arrays["arctan"] else np.clip(0.5 + unit / (2 * STRAIGHT), 0, 1)
    width = x.shape[1]
    height = max(-(-width // WIDTH), LEAST_HEIGHT) if width % (HEIGHT * WIDTH) else HEIGHT
    full = np.pad(shade.astype(np.float32), ((0, 0), (0, -width % (height * WIDTH))))
    return full.reshape(len(x), -1, height, WIDTH)


def joined(arrays: Arrays, *inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures, the one ``of`` each channel resized to one size; every pixel in units of its sensor where that was learned."""
    *views, sensor = inputs
    size, parts = int(arrays["size"]), []
    for i in arrays["of"]:
        x = np.asarray(views[i], np.float32)
        if x.ndim == 2:
            x = np.pad(x, ((0, 0), (0, -x.shape[1] % size)), mode="edge").reshape(len(x), 1, -1, size)
        high, wide = (_area_weights(side, size) for side in x.shape[2:])
        parts.append(np.einsum("ih,nchw,jw->ncij", high, x, wide, optimize=True))
    picture = np.concatenate(parts, axis=1).astype(np.float32)
    if "location" not in arrays:
        return picture
    row, flat = or_pool(codes_of(sensor), len(arrays["location"]) - 1), picture.reshape(len(picture), -1)
    z = np.clip((flat - arrays["location"][row]) / arrays["scale"][row], -CLIP, CLIP)
    return np.where(arrays["kept"], z, 0).astype(np.float32).reshape(picture.shape)


def _pooled_power(arrays: Arrays, unit: NDArray[np.float32]) -> NDArray[Any]:
    """(n, samples) -> mean power of every band in every column (n, bands, columns)."""
    length, lead, columns, bins = (int(v) for v in arrays["grid"])
    padded = np.zeros((len(unit), length))
    padded[:, lead : lead + unit.shape[1]] = unit
    half = np.fft.rfft(padded)
    mirror = half[:, length - bins + 1 : half.shape[1] - 1][:, ::-1].conj()
    spectrum = np.concatenate([half, mirror], axis=1) if bins > half.shape[1] else half
    out, i = np.empty((len(unit), int(arrays["bands"]), columns)), 0
    while f"{i}.rows" in arrays:
        per_column, points, start = (int(v) for v in arrays[f"{i}.shape"])
        taps, offset = arrays[f"{i}.taps"], arrays[f"{i}.offset"]
        at = start + per_column * np.arange(columns)[:, None] + np.arange(len(arrays[f"{i}.straight"]))
        for b, (row, first) in enumerate(zip(arrays[f"{i}.rows"], arrays[f"{i}.first"], strict=True)):
            mine = taps[offset[b] : offset[b + 1]]
            before = int(first) % points
            product = np.pad(
                spectrum[:, first : first + len(mine)] * mine, ((0, 0), (before, -(before + len(mine)) % points))
            )
            wave = np.fft.ifft(product.reshape(len(unit), -1, points).sum(axis=1), norm="forward")
            power = (wave.real**2 + wave.imag**2)[:, at]
            straight, finer = power @ arrays[f"{i}.straight"], power @ arrays[f"{i}.cubic"]
            limit = CORRECTION * straight
            out[:, row] = straight + np.clip(finer - straight, -limit, limit)
        i += 1
    known = np.log(np.maximum(out[:, arrays["beside"]], LEAST))
    out[:, arrays["between"]] = np.exp(arrays["share"] @ known)
    return out


def _area_weights(size: int, cells: int) -> NDArray[np.float32]:
    """(cells, size): cell j averages the stretch [j, j + 1) size / cells."""
    edges, at = np.arange(cells + 1) * (size / cells), np.arange(size)
    overlap = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    overlap = np.clip(overlap, 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), np.float32)
