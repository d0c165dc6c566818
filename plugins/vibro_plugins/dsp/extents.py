"""Where the values of a view lie in time and frequency: what several views need to say it (``vibro.api.Extent``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vibro.api import Extent

Ends = NDArray[np.float64]  # (..., 2) from and to, NaN = no certain place


def between(edges: ArrayLike) -> Ends:
    """(k + 1,) edges, rising or falling -> (k, 2) from and to of each step."""
    edges = np.asarray(edges, np.float64)
    return np.sort(np.stack([edges[:-1], edges[1:]], axis=1), axis=1)


def nowhere(*shape: int) -> Ends:
    """Values without a place."""
    return np.full((*shape, 2), np.nan)


def image_of(seconds: Ends, hz: Ends) -> Extent:
    """Of one channel of an image: columns (w, 2) and rows (h, 2)."""
    shape = (len(hz), len(seconds), 2)
    return Extent(np.broadcast_to(seconds, shape), np.broadcast_to(hz[:, None], shape))


def stacked(parts: list[Extent], channels: int = 1) -> Extent:
    """Pictures as the channels of an image, again for each channel of the record."""
    seconds, hz = np.stack([part.seconds for part in parts]), np.stack([part.hz for part in parts])
    return Extent(np.tile(seconds, (channels, 1, 1, 1)), np.tile(hz, (channels, 1, 1, 1)))


def levels_at(hz: Ends, channels: int) -> Extent:
    """A vector of values (k, 2), again for each channel."""
    hz = np.tile(hz, (channels, 1))
    return Extent(nowhere(len(hz)), hz)


def side_by_side(parts: list[Extent]) -> Extent:
    """Vectors, or channels of images, one after another."""
    return Extent(np.concatenate([part.seconds for part in parts]), np.concatenate([part.hz for part in parts]))


def flat(of: Extent) -> Extent:
    """As those of one vector."""
    return Extent(of.seconds.reshape(-1, 2), of.hz.reshape(-1, 2))


def as_rows(of: Extent, lay_out: Callable[[NDArray[Any]], NDArray[Any]]) -> Extent:
    """Of a vector (f,) that ``lay_out`` makes an image of: (n, f) -> (n, c, h, w)."""
    seconds, hz = (np.moveaxis(lay_out(ends.T), 0, -1) for ends in (of.seconds, of.hz))
    return Extent(seconds, hz)


def resized(of: Extent, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> Extent:
    """Of images (c, h, w) resized by weights (h', h) and (w', w): a new pixel lies where the pixels lie that count most in it.

    Those are all with half of the largest weight or more; if one of them has no place, the new one has none.
    """

    def reduced(ends: Ends) -> Ends:
        for axis, weights in ((1, rows), (2, columns)):
            most = weights >= 0.5 * weights.max(axis=1, keepdims=True)
            parts = [np.compress(mask, ends, axis) for mask in most]
            ends = np.stack([np.stack([p[..., 0].min(axis), p[..., 1].max(axis)], axis=-1) for p in parts], axis)
        return ends

    return Extent(reduced(of.seconds), reduced(of.hz))
