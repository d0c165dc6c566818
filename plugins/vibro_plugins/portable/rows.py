"""Standardised columns, rows of the fit known again, and nearest rows, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
SAME = 5e-3  # of the spread of a key within which two rows are the same
NEARER = 0.03  # of the distance to the next row within which the nearest is the row itself
SPARE = 8  # candidates beyond k whose distances are computed again, since the fast ones are rounded
LIMIT = 1e6
BLOCK = 256  # rows worked on at a time


def flat(x: NDArray[Any]) -> Floats:
    """(n, *item) -> (n, features) float64."""
    return np.asarray(x, np.float64).reshape(len(x), int(np.prod(x.shape[1:])))


def codes_of(column: NDArray[Any]) -> NDArray[np.intp]:
    """Codes of sensors or numbers of instants (n,) from their view (n, 1)."""
    return np.asarray(column).reshape(-1).astype(np.intp)


def standardised(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """The columns (n, p) that varied at the fit, about their median in units of their scale."""
    kept = flat(x)[:, arrays["columns.keep"].astype(bool)]
    return np.clip((kept - arrays["columns.centre"]) / arrays["columns.scale"], -LIMIT, LIMIT)


def place_of(arrays: Arrays, x: NDArray[Any]) -> NDArray[np.intp]:
    """(n,) which fit row each row is, in the order in which their keys are kept; -1 for none."""
    kept, scale = arrays["own.keys"], arrays["own.scale"]
    weights = np.random.default_rng(0).standard_normal((len(scale), kept.shape[1])) / scale[:, None]
    keys, reach = np.nan_to_num(flat(x)) @ weights, SAME * kept.std(axis=0) + 1e-12
    place = np.full(len(keys), -1)
    for i, key in enumerate(keys):
        low = np.searchsorted(kept[:, 0], key[0] - reach[0], "left")
        high = np.searchsorted(kept[:, 0], key[0] + reach[0], "right")
        away = np.abs(kept[low:high] - key) / reach
        if len(away) and (worst := away.max(axis=1)).min() < 1:
            place[i] = low + int(worst.argmin())
    return place


def nearest(rows: NDArray[Any], k: int, asked: NDArray[Any]) -> tuple[Floats, NDArray[np.intp]]:
    """Distances and indices (n, k) of the nearest of ``rows`` (m, p), without the row itself."""
    stored, k = rows.astype(np.float64), min(k, len(rows) - 1)
    square, near = np.einsum("ij,ij->i", stored, stored), min(k + 1 + SPARE, len(rows))
    distances, indices = [np.empty((0, k))], [np.empty((0, k), np.intp)]
    for start in range(0, len(asked), BLOCK):
        part = asked[start : start + BLOCK].astype(np.float64)
        found = np.sort(np.argpartition(square - 2 * (part @ stored.T), near - 1, axis=1)[:, :near], axis=1)
        exact = np.stack([np.sum((stored[f] - row) ** 2, axis=1) for f, row in zip(found, part, strict=True)])
        order = np.argsort(exact, axis=1, kind="stable")
        first, second = np.take_along_axis(exact, order[:, :2], axis=1).T[..., None]
        order = np.where((first == 0) | (first < NEARER**2 * second), order[:, 1 : k + 1], order[:, :k])
        distances.append(np.sqrt(np.take_along_axis(exact, order, axis=1)))
        indices.append(np.take_along_axis(found, order, axis=1))
    return np.concatenate(distances), np.concatenate(indices)
