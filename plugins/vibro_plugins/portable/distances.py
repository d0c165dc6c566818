"""Classical detectors with numpy alone: distances, tails, histograms, and classifiers against disturbed copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.portable.rows import BLOCK, Arrays, Floats, nearest, place_of, standardised

PARTS = 5
LEAST = 1e-6


def mahalanobis(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Root mean square of the whitened columns; rows that the covariance comes from as if they had been left out."""
    white = (standardised(arrays, x) - arrays["centre"]) @ arrays["whiten"]
    squared, own, n = np.sum(white * white, axis=1), place_of(arrays, x) >= 0, len(arrays["own.keys"])
    part = (1 - float(arrays["shrinkage"])) / (n - 1)
    squared[own] *= (n / (n - 1)) ** 2 / np.maximum(1 - part * squared[own], 1e-6)
    return np.asarray(np.sqrt(squared / white.shape[1]))


def rise(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Mean of the columns above their medians, clipped."""
    return np.asarray(np.clip(standardised(arrays, x), 0.0, arrays["clip"]).mean(axis=1))


def deviation(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Root mean square of the standardised columns."""
    return np.asarray(np.sqrt(np.square(standardised(arrays, x)).mean(axis=1)))


def local(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Mean distance of a row's residual from the mean of its neighbours to the nearest residuals."""
    asked, rows = standardised(arrays, x).astype(np.float32), arrays["rows"]
    _, index = nearest(rows, int(arrays["near"]), asked)
    left = asked - np.stack([rows[i].mean(axis=0, dtype=np.float64) for i in index])
    units = {name.replace("units", "columns"): array for name, array in arrays.items() if "units" in name}
    distance, _ = nearest(arrays["residuals"], int(arrays["n_neighbors"]), standardised(units, left).astype(np.float32))
    return np.asarray(distance.mean(axis=1))


def synthetic_linear(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Log-odds of being a disturbed copy, by logistic regressions."""
    features = _told_apart(arrays, x)
    return _by_part(arrays, x, [features @ arrays[f"{k}.weight"] + arrays[f"{k}.offset"] for k in range(PARTS)])


def synthetic_trees(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Log-odds of being a disturbed copy, by forests."""
    features = _told_apart(arrays, x).astype(np.float32)
    return _by_part(arrays, x, [_forest(arrays, f"{k}.", features) for k in range(PARTS)])


def nearest_distance(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """kNN: the largest, mean or median distance to the nearest fit rows."""
    distance, _ = nearest(arrays["model.rows"], int(arrays["n_neighbors"]), _reduced(arrays, x))
    return np.asarray((np.max, np.mean, np.median)[int(arrays["method"])](distance, axis=1))


def local_outlier_factor(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """LOF: density of the neighbours over that of the row."""
    distance, index = nearest(arrays["model.rows"], int(arrays["n_neighbors"]), _reduced(arrays, x))
    density = 1 / (np.mean(np.maximum(distance, arrays["model.reach"][index]), axis=1) + 1e-10)
    return np.asarray(np.mean(arrays["model.density"][index], axis=1) / density)


def tails(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """ECOD, or COPOD where ``copula`` is set: the summed rarity of the values in the tails of their columns."""
    rows, columns = _reduced(arrays, x), arrays["model.sorted"]
    n = columns.shape[1]
    surprise = -np.log(np.maximum(np.arange(n + 1), 1) / n)
    total = np.zeros(len(rows))
    for column, skew, values in zip(columns, arrays["model.skew"], rows.T, strict=True):
        left = surprise[np.searchsorted(column, values, side="right")]
        right = surprise[n - np.searchsorted(column, values, side="left")]
        long = right if skew > 0 else left if skew < 0 else left + right
        total += np.maximum(long, (left + right) / 2 if arrays["copula"] else np.maximum(left, right))
    return total


def histograms(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """HBOS: the summed rarity of the values in histograms of their columns."""
    rows, total = _reduced(arrays, x).astype(np.float64), np.zeros(len(x))
    for edges, rarity, values in zip(arrays["model.edges"], arrays["model.rarity"], rows.T, strict=True):
        margin = arrays["tol"] * (edges[1] - edges[0])
        outside = (values < edges[0] - margin) | (values > edges[-1] + margin)
        bins = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(rarity) - 1)
        total += np.where(outside, rarity.max(), rarity[bins])
    return total


def _reduced(arrays: Arrays, x: NDArray[Any]) -> NDArray[np.float32]:
    z = standardised(arrays, x)
    return (z @ arrays["axes"] if arrays["axes"].size else z).astype(np.float32)


def _told_apart(arrays: Arrays, x: NDArray[Any]) -> Floats:
    """Each value, its size and its excess in robust units and whitened, and their means over all."""
    parts, z = [], standardised(arrays, x)
    for values in (z, (z - arrays["centre"]) @ arrays["whiten"]):
        held = np.clip(values, -12.0, 12.0)
        above = np.maximum(held, 0.0)
        mean = np.minimum(above, 6.0).mean(axis=1, keepdims=True)
        parts += [held, np.abs(held), above**2 / 12.0, mean, np.log(np.mean(held**2, axis=1, keepdims=True) + 1e-6)]
    return np.concatenate(parts, axis=1)


def _by_part(arrays: Arrays, x: NDArray[Any], answers: list[Floats]) -> Floats:
    """The mean of the five, of a fit row the answer of the one that has not seen it."""
    odds, place = np.stack(answers, axis=1), place_of(arrays, x)
    own = odds[np.arange(len(odds)), arrays["part"][np.maximum(place, 0)]]
    return np.where(place < 0, odds.mean(axis=1), own)


def _forest(arrays: Arrays, prefix: str, x: NDArray[np.float32]) -> Floats:
    root, left, right, feature, cut, share = (
        arrays[prefix + name] for name in ("root", "left", "right", "feature", "cut", "share")
    )
    found = [np.empty(0)]
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK]
        rows, node = np.arange(len(part))[:, None], np.tile(root, (len(part), 1))
        for _ in range(int(arrays[prefix + "depth"])):
            node = np.where(part[rows, feature[node]] <= cut[node], left[node], right[node])
        p = np.clip(share[node].mean(axis=1), LEAST, 1 - LEAST)
        found.append(np.log(p / (1 - p)))
    return np.concatenate(found)
