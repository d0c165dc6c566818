"""What networks read, made with numpy alone, and their scores; the network itself is an ONNX graph, ``run``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.portable.rows import Arrays, Floats, nearest, place_of, standardised

LIMIT, CLIP = 20.0, 12.0  # of what a network reads, and of the standardised values that it is made from
SHARE, FEWEST, MOST = 0.1, 8, 100  # nearest rows that a residual is taken from: a tenth, within these bounds
VALUES, CHANNELS = 140, 3  # of a profile, and of what is shown of it
Run = Callable[[NDArray[np.float32]], NDArray[Any]]


def channels_score(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """A network of vectors (n, d): their values, the same whitened, and what their neighbours leave unexplained."""
    return _each(run, _channels(arrays, x, None))


def pixels_score(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """A network of images (n, c, h, w)."""
    z = np.clip((x - arrays["pixels.centre"]) * arrays["pixels.factor"], -LIMIT, LIMIT)
    return _each(run, z.astype(np.float32))


def vae_score(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """Error of the rebuilt image and, weighted, the divergence of its code, each in units of the fit rows'."""
    found, (l1, kl) = pixels_score(arrays, run, x), arrays["terms"]
    return np.asarray((found[:, 0] - l1[0]) / l1[1] + arrays["weight"] * (found[:, 1] - kl[0]) / kl[1])


def departures_score(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """A network of departures from profiles (n, C * 140), a fit row shown as if it had been left out."""
    place = place_of(arrays, x)
    own = np.where(place < 0, len(arrays["row"]), arrays["row"][place])
    shown = np.zeros((len(x), CHANNELS, x.shape[1]), np.float32)
    shown[:, :, arrays["channels.factor"] > 0] = _channels(arrays, x, own)
    return _each(run, shown.reshape(len(x), CHANNELS, -1, VALUES).transpose(0, 2, 1, 3))


def sequences_score(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """A network of sequences: patches of ``patch`` values, -1 = 25 or as many as leave 64 steps, 0 = they are sequences."""
    if patch := int(arrays["patch"]):
        wide = x.reshape(len(x), -1, x.shape[-1])
        n, lines, samples = wide.shape
        patch = max(25, -(-samples // 64)) if patch < 0 else patch
        steps = -(-samples // patch)
        cut = np.pad(wide, ((0, 0), (0, 0), (0, steps * patch - samples))).reshape(n, lines, steps, patch)
        x = cut.transpose(0, 2, 1, 3).reshape(n, steps, lines * patch)
    z = np.clip((x.astype(np.float64) - arrays["centre"]) / arrays["scale"], -100.0, 100.0)
    return _each(run, z.astype(np.float32))


def windows_score(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """TadGAN: error and critic of the windows of a record, joined and pooled."""
    lines = x.reshape(len(x), -1, x.shape[-1])
    found = _windows(arrays, run, _cut(lines, arrays["centre"].shape[-1], int(arrays["hop"])))
    e0, e1, middle, deviation, c0, c1 = arrays["reference"]
    error, critic = (found[:, 0] - e0) / e1, (np.abs(found[:, 1] - middle) / deviation - c0) / c1
    if arrays["sum"]:
        both = arrays["alpha"] * error + (1 - arrays["alpha"]) * critic
    else:
        both = _positive(1 + error) * _positive(1 + critic)
    both = both.reshape(len(x), -1)
    return np.asarray(both.mean(axis=1) if arrays["mean"] else both.max(axis=1))


def codes_knn(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """Contrastive codes by the mean distance to the nearest of the fit, of directions where ``cosine`` is set."""
    codes = _codes(arrays, run, x)
    asked = (_unit(codes) if arrays["cosine"] else codes).astype(np.float32)
    return np.asarray(nearest(arrays["head.codes"], int(arrays["head.neighbours"]), asked)[0].mean(axis=1))


def codes_centroid(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """Contrastive codes by their distance from the mean code, or mean direction."""
    codes, centre = _codes(arrays, run, x), arrays["head.centre"]
    return np.asarray(1 - _unit(codes) @ centre if arrays["cosine"] else np.linalg.norm(codes - centre, axis=1))


def codes_mahalanobis(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """Contrastive codes by their distance in the scatter of the fit's."""
    head = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
    white = (standardised(head, _codes(arrays, run, x)) - head["centre"]) @ head["whiten"]
    return np.asarray(np.sqrt(np.mean(white**2, axis=1)))


def _codes(arrays: Arrays, run: Run, x: NDArray[Any]) -> Floats:
    """Codes of records (n, code): the mean over their windows."""
    if "channels.rows" in arrays:
        shown: NDArray[Any] = _channels(arrays, x, None)
    elif x.ndim == 3:
        length = arrays["centre"].shape[-1]
        shown = _cut(x, length, length)
    else:
        shown = x[:, None] if x.ndim == 2 else x
    codes = _windows(arrays, run, shown)
    return np.asarray(codes.reshape(len(x), -1, codes.shape[1]).mean(axis=1))


def _windows(arrays: Arrays, run: Run, windows: NDArray[Any]) -> Floats:
    z = np.clip((windows.astype(np.float64) - arrays["centre"]) * (1 / arrays["scale"]), -LIMIT, LIMIT)
    return _each(run, z.astype(np.float32))


def _cut(lines: NDArray[Any], length: int, hop: int) -> NDArray[Any]:
    """(n, channels, samples) -> (n * windows, channels, length); the last window ends with the record."""
    samples = lines.shape[2]
    starts = [*range(0, samples - length, hop), samples - length]
    return np.stack([lines[:, :, i : i + length] for i in starts], axis=1).reshape(-1, lines.shape[1], length)


def _channels(arrays: Arrays, x: NDArray[Any], own: NDArray[np.intp] | None) -> NDArray[np.float32]:
    """(n, d) -> (n, 3, columns that vary); ``own`` (n,): the fit row that each is, or their number for none."""
    factor, rows = arrays["channels.factor"], arrays["channels.rows"]
    z = np.clip((x - arrays["channels.centre"]) * factor, -CLIP, CLIP)[:, factor > 0]
    centre, whiten = arrays["channels.scatter_centre"], arrays["channels.whiten"]
    white = (z - centre) @ whiten
    squared = np.sum(rows**2, axis=1) - 2 * z @ rows.T + np.sum(z**2, axis=1, keepdims=True)
    squared[squared < 1e-9 * z.shape[1]] = np.inf
    if own is not None:
        index = arrays["channels.index"]
        place = np.full(int(max(own.max(initial=0), index.max())) + 1, -1, np.intp)
        place[index] = np.arange(len(index))
        mine = np.flatnonzero(place[own] >= 0)
        at = place[own[mine]]
        source, n = (rows[at] - centre) @ whiten, int(arrays["channels.scatter_rows"])
        part = (1 - float(arrays["channels.shrinkage"])) / (n - 1)
        left = np.maximum(1 - part * np.sum(source**2, axis=1, keepdims=True), 1e-2)
        white[mine] += (n / (n - 1) / np.sqrt(left) - 1) * source
        squared[mine, at] = np.inf
    count = min(max(FEWEST, min(MOST, int(SHARE * len(rows)))), len(rows) - 1)
    near = np.sort(np.argpartition(squared, count - 1, axis=1)[:, :count], axis=1)
    rest = z - np.stack([rows[i].mean(axis=0) for i in near])
    return np.clip(np.stack([z, white, rest], axis=1), -LIMIT, LIMIT).astype(np.float32)


def _each(run: Run, z: NDArray[np.float32]) -> Floats:
    """The graph's first output of every row of z, one by one, as it was made for one row."""
    return np.concatenate([run(np.ascontiguousarray(z[i : i + 1])) for i in range(len(z))]).astype(np.float64)


def _positive(u: Floats) -> Floats:
    return np.asarray((u + np.sqrt(u * u + 1)) / 2)


def _unit(codes: Floats) -> Floats:
    return np.asarray(codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12))
