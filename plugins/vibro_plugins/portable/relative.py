"""Views in units of their own sensor, without what covariates or the other sensors explain, with numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.portable.covariates import or_pool, residual
from vibro_plugins.portable.levels import means
from vibro_plugins.portable.rows import Arrays, Floats, codes_of, flat, nearest, place_of

HUBER = 1.5
REACH = 5.0


def per_sensor(arrays: Arrays, x: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    """(value - location) / scale of the sensor, clipped; 0 in columns that did not vary at the fit."""
    row = or_pool(codes_of(sensor), len(arrays["location"]) - 1)
    z = (flat(x) - arrays["location"][row]) / arrays["scale"][row]
    return np.where(arrays["kept"], np.clip(z, -arrays["clip"], arrays["clip"]), 0).astype(np.float32)


def conditioned(arrays: Arrays, x: NDArray[Any], covariates: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    """What a regression on the covariates leaves of a view, over its scale; the view itself where there is none."""
    if "coefficients" not in arrays:
        return np.asarray(x, np.float32)
    codes, known = codes_of(sensor), np.asarray(covariates, np.float64)
    place = place_of(arrays, np.concatenate([flat(x), known, codes[:, None]], axis=1).astype(np.float32))
    z = residual(arrays, flat(x), known, codes) / arrays["scale"][or_pool(codes, len(arrays["scale"]) - 1)]
    z += np.where(place < 0, np.float32(0), arrays["leverage"][place])[:, None] * np.clip(z, -HUBER, HUBER)
    return np.where(arrays["kept"], np.clip(z, -arrays["clip"], arrays["clip"]), 0).astype(np.float32)


def context(arrays: Arrays, x: NDArray[Any], sensor: NDArray[Any], instant: NDArray[Any]) -> NDArray[np.float32]:
    """What the other sensors of a machine do not explain of a view at the same instant; NaN where one of them is missing."""
    values, codes, at = flat(x), codes_of(sensor), codes_of(instant)
    out, i = np.full(values.shape, np.nan), 0
    while f"group{i}.sensors" in arrays:
        group = {name.rpartition(".")[2]: a for name, a in arrays.items() if name.startswith(f"group{i}.")}
        _predict(group, values, codes, at, out)
        i += 1
    place = place_of(arrays, np.concatenate([values, codes[:, None]], axis=1).astype(np.float32))
    out *= np.where(place < 0, np.float32(1), arrays["leverage"][place])[:, None]
    out[:, ~arrays["kept"].astype(bool)] *= 0
    return np.clip(out, -arrays["clip"], arrays["clip"]).astype(np.float32)


def modes(arrays: Arrays, x: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    """(value - median of the sensor's nearest fit rows) / their scatter, for each column; NaN where it has none."""
    values, codes = flat(x), codes_of(sensor)
    out, given = np.full(values.shape, np.nan), np.isfinite(values).all(axis=1)
    for code in np.unique(codes[given]):
        if f"{code}.rows" not in arrays:
            continue
        mine = given & (codes == code)
        unit, usual, rows = (arrays[f"{code}.{name}"] for name in ("unit", "usual", "rows"))
        asked = (values[mine] / unit).astype(np.float32)
        _, index = nearest(rows, int(arrays[f"{code}.near"]), asked)
        found = rows[index].astype(np.float64)
        centre = np.median(found, axis=1)
        scatter = 1.4826 * np.median(np.abs(found - centre[:, None]), axis=1)
        out[mine] = (asked - centre) / np.maximum(scatter, usual)
    return np.clip(out, -arrays["clip"], arrays["clip"]).astype(np.float32)


def with_means(arrays: Arrays, x: NDArray[Any], raw: NDArray[Any], sensor: NDArray[Any]) -> NDArray[np.float32]:
    """A view in which the records of slow sensors show what ``modes`` leaves of their means; the view itself where none is."""
    if "slow" not in arrays:
        return np.asarray(x, np.float32)
    learned = {name.removeprefix("modes."): a for name, a in arrays.items() if name.startswith("modes.")}
    return in_place_of(x, modes(learned, means(arrays, raw, sensor), sensor))


def in_place_of(x: NDArray[Any], left: NDArray[Any]) -> NDArray[np.float32]:
    """A view (n, *item), its rows replaced by residuals of means, then of spreads (n, 2 C), where these are not NaN.

    Mean and spread of a channel, one channel after another, each over an equal stretch of the row's values.
    """
    out, rows = np.array(x, np.float32), np.isfinite(left).all(axis=1)
    values, channels = int(np.prod(x.shape[1:])), left.shape[1] // 2
    stretch = np.arange(values) * left.shape[1] // values
    out[rows] = left[rows][:, stretch // 2 + channels * (stretch % 2)].reshape(-1, *x.shape[1:])
    return out


def concat(arrays: Arrays, *views: NDArray[Any]) -> NDArray[np.float32]:
    """The columns of views side by side."""
    return np.concatenate([np.asarray(x, np.float32).reshape(len(x), -1) for x in views], axis=1)


def _predict(group: Arrays, x: Floats, sensor: NDArray[Any], instant: NDArray[Any], out: Floats) -> None:
    """In place: the residuals of the records of one group of sensors at its complete instants."""
    codes = group["sensors"]
    rows = np.flatnonzero(np.isin(sensor, codes) & (instant >= 0))
    place = np.searchsorted(codes, sensor[rows])
    numbers, of = np.unique(instant[rows], return_inverse=True)
    count, total = np.zeros((len(numbers), len(codes))), np.zeros((len(numbers), len(codes), x.shape[1]))
    np.add.at(count, (of, place), 1.0)
    np.add.at(total, (of, place), x[rows])
    whole = (count > 0).all(axis=1)
    together = (total[whole] / count[whole][:, :, None]).reshape(int(whole.sum()), len(codes) * x.shape[1])
    which = np.cumsum(whole) - 1
    for s in range(len(codes)):
        mine = np.flatnonzero((place == s) & whole[of])
        components = (together - group["centre"][s]) @ group["axes"][s].astype(np.float64)
        design = np.concatenate([np.ones((len(together), 1)), np.clip(components, -REACH, REACH)], axis=1)
        expected = (design @ group["coefficients"][s])[which[of[mine]]]
        out[rows[mine]] = (x[rows[mine]] - expected) / group["scale"][s]
