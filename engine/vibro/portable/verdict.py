"""From the scores of the members to the level of a record, with numpy alone: what ``vibro.scoring`` has fitted, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.portable.covariates import Arrays, or_pool, residual

Floats = NDArray[np.float64]
LEVELS = ("normal", "attention", "alarm", "indeterminate")
WIDEST = 6  # covariates up to which squares and products count for how usual a state is


def calibrated(
    arrays: Arrays, bare: Arrays, domain: Arrays, linear: float, raw: Floats, sensor: NDArray[Any], known: Floats
) -> Floats:
    """Raw scores (n, d) of sensors (n,) as z, by what the reference looked like; ``known`` (n, k): covariates, NaN = missing.

    ``bare`` calibrates records that lack a covariate; {} where the calibration takes none out.
    """
    z: Floats = (raw - arrays["location"][sensor]) / arrays["scale"][sensor]
    if "columns" in arrays:
        given = known[:, arrays["columns"]]
        some = np.flatnonzero(np.isfinite(given).all(axis=1))
        mine = sensor[some]
        left = residual(arrays, raw[some], given[some], mine) - arrays["left_location"][mine]
        wider = np.sqrt(1.0 + rarity(domain, known[some], mine)[:, None] * arrays["growth"])
        z[some] = left / (arrays["left_scale"][mine] * wider)
    if bare:
        lacking = ~np.isfinite(known[:, bare["columns"]]).all(axis=1)
        z[lacking] = ((raw - bare["location"][sensor]) / bare["scale"][sensor])[lacking]
    size = np.minimum(np.abs(z), 1e300)
    return np.where(size > linear, np.sign(z) * linear * (1.0 + np.arcsinh(size / linear - 1.0)), z)


def rarity(domain: Arrays, known: Floats, sensor: NDArray[Any]) -> Floats:
    """(n,) how unusual the operating states (n, k) are, 1 = as usual; 0 where nothing is said of them."""
    group = _group(domain, sensor)
    return np.asarray(_leverage(domain, known, group) / domain["usual"][group])


def beyond(domain: Arrays, known: Floats, sensor: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) operating states (n, k) beyond those that the model was fitted on."""
    group = _group(domain, sensor)
    away = np.abs(known - domain["mean"]) > 1e-6 * np.maximum(1.0, np.abs(domain["mean"]))
    fixed = np.any(away & np.isinf(domain["scale"]) & np.isfinite(known), axis=1)
    return np.asarray(fixed | (_leverage(domain, known, group) > domain["limit"][group]))


def decided(
    z: Floats,
    fused: Floats,
    weights: Floats,
    reference: Floats,
    cuts: Mapping[str, float],
    quorum: float,
    unseen: NDArray[np.bool_],
) -> tuple[Floats, NDArray[np.intp]]:
    """p-values (n,) of fused scores (n,) against the sorted reference (r,), and levels (n,) as places in ``LEVELS``."""
    weight = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1.0 / len(weights))
    used = np.isfinite(z) @ weight
    level = np.where(fused > cuts["attention"], 1, 0)
    level[(fused > cuts["alarm"]) & (~unseen | (fused > cuts["unseen"]))] = 2
    level[np.isnan(fused) | (used < quorum - 1e-9)] = 3
    above = len(reference) - np.searchsorted(reference, fused, side="left")
    return np.where(np.isnan(fused), np.nan, (1.0 + above) / (1.0 + len(reference))), level


def instants(
    time: NDArray[np.datetime64], sensor: NDArray[Any], machine: NDArray[Any], period: Mapping[str, int]
) -> NDArray[np.intp]:
    """(n,) number of each record's machine and instant, -1 without a time: records within half a period are taken together.

    ``period``: usual ns between two records of a sensor, by the name of the machine; otherwise as these records have it.
    """
    number, count = np.full(len(time), -1), 0
    for name in np.unique(machine):
        rows = np.flatnonzero((machine == name) & ~np.isnat(time))
        if not len(rows):
            continue
        usual = period.get(str(name), _usual_period(time[rows], sensor[rows]))
        tolerance = usual // 2 if len(np.unique(sensor[rows])) > 1 else 0
        distinct, where = np.unique(time[rows].view(np.int64), return_inverse=True)
        group, start = np.zeros(len(distinct), np.intp), int(distinct[0])
        for i, t in enumerate(distinct.tolist()):
            group[i] = group[max(i - 1, 0)] + (t - start > tolerance)
            start = t if t - start > tolerance else start
        number[rows] = count + group[where]
        count += int(group[-1]) + 1
    return number


def _usual_period(time: NDArray[np.datetime64], sensor: NDArray[Any]) -> int:
    order = np.lexsort((time, sensor))
    gaps = np.diff(time[order].view(np.int64))[sensor[order][1:] == sensor[order][:-1]]
    return int(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0


def _leverage(domain: Arrays, known: Floats, group: NDArray[np.intp]) -> Floats:
    """(n,) leverage of the states; 0 where nothing is said of it."""
    mean, scale = domain["mean"], domain["scale"]
    told = np.isfinite(domain["limit"][group]) & np.isfinite(known[:, np.isfinite(scale)]).all(axis=1)
    h = np.zeros(len(known))
    design = _design(known[told], mean, scale)
    h[told] = np.einsum("np,npq,nq->n", design, domain["inverse"][group[told]], design)
    return h


def _design(known: Floats, mean: Floats, scale: Floats) -> Floats:
    """(n, p) columns: 1, the standardised states, and of few covariates their squares and products."""
    unit = np.nan_to_num((known - mean) / scale)
    k = unit.shape[1]
    pairs = list(combinations_with_replacement(range(k), 2)) if k <= WIDEST else []
    return np.column_stack([np.ones(len(unit)), unit, *(unit[:, i] * unit[:, j] for i, j in pairs)])


def _group(domain: Arrays, sensor: NDArray[Any]) -> NDArray[np.intp]:
    """(n,) the row of states that each is compared with: those of its sensor, else, as the last one, all."""
    last = len(domain["limit"]) - 1
    own = or_pool(sensor, last)
    return np.where(np.isfinite(domain["limit"][own]), own, last)
