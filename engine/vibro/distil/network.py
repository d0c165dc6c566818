"""Teaches a student: tables of each sensor, principal axes of normal records, small networks trained by Adam; int8 copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vibro.distil import score
from vibro.errors import ConfigError
from vibro.scoring.regression import Regression, robust_scale, sensor_rows

HIDDEN = (64, 32)  # of each network
NETWORKS = 4  # at most
AXES = 60  # principal axes at most, and at most half of the normal records
NORMAL = 0.9  # share of the records, by their score, that the axes are those of
SHRINKAGE = 0.1  # of the scatter along an axis, towards the mean over all
PRIOR = 50.0  # rows that the scale of all sensors counts for in a sensor's own
STEPS, BATCH, RATE, DECAY = 1500, 128, 2e-3, 1e-3
COPIES = 0.5  # share of disturbed copies in a batch
HEADER = 4096  # bytes of a file that are no arrays, at most
LARGE = ("w1", "w2", "axes", "coefficients")  # arrays kept in two bytes
QUANTISED = ("w1", "w2", "axes")  # and those kept in one

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Lesson:
    """What a student learns from: features ``x`` (n, f), the teacher's scores ``target`` (n,), ``sensor`` codes (n,) and
    ``covariates`` (n, k) of records; ``copies`` (m, f) of disturbed ones, theirs, and which record each is ``copy_of`` (m,)."""

    x: Floats
    target: Floats
    sensor: NDArray[np.intp]
    covariates: Floats
    copies: Floats
    copied_target: Floats
    copy_of: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> Lesson:
        """These records and their copies."""
        place = np.full(len(self.x), -1)
        place[rows] = np.arange(len(rows))
        mine = np.flatnonzero(place[self.copy_of] >= 0)
        records = (self.x[rows], self.target[rows], self.sensor[rows], self.covariates[rows])
        return Lesson(*records, self.copies[mine], self.copied_target[mine], place[self.copy_of[mine]])


def teach(lesson: Lesson, sensors: int, kb: int, seed: int) -> Arrays:
    """A student's arrays within ``kb`` * 1024 bytes, as ``score`` reads them; ConfigError where that is too little."""
    tables, x = _tables(lesson, sensors, kb)
    copies = score.standardised(tables, lesson.copies, lesson.sensor[lesson.copy_of], lesson.covariates[lesson.copy_of])
    axes = _axes(x, lesson.target)
    tables = small({**tables, **axes})
    first = x.shape[1] + axes["axes"].shape[1] + 2
    each = 2 * (first * HIDDEN[0] + HIDDEN[0] * HIDDEN[1]) + 4 * (HIDDEN[0] + 2 * HIDDEN[1] + 1)
    taken = HEADER + sum(a.nbytes for a in tables.values())
    room = (kb * 1024 - taken) // each
    if room < 1:
        least = -(-(taken + each) // 1024)
        raise ConfigError(f"a student of these records does not fit into {kb} kB", hint=f"--kb {least}")
    found = np.concatenate([score.inputs(tables, x), score.inputs(tables, copies)])
    target = np.arcsinh(np.concatenate([lesson.target, lesson.copied_target]))
    share = np.repeat([(1 - COPIES) / len(x), COPIES / max(1, len(copies))], [len(x), len(copies)])
    return {**tables, **small(_train(found, target, share / share.sum(), min(room, NETWORKS), seed))}


def _tables(lesson: Lesson, sensors: int, kb: int) -> tuple[Arrays, Floats]:
    """What the covariates explain, location and scale of every sensor, last of all; and the standardised records.

    A sensor without records is like an unknown one. Where regressions of each sensor take more than a third of the room,
    that of all sensors stands for them.
    """
    tables: Arrays = {}
    x, own = lesson.x, np.zeros_like(lesson.x)
    fitted = Regression.fit(lesson.x, lesson.covariates, lesson.sensor, sensors) if lesson.covariates.size else None
    if fitted is not None:
        regression, residual, _ = fitted
        table = regression.coefficients[:, 1:]
        if shared := 2 * table.size > kb * 1024 // 3:
            table = table[-1:]
        basis = regression.basis.state()
        known = basis["basis.middle"]  # of sensors up to the last one with records, then of all
        basis["basis.middle"] = np.concatenate([known, np.repeat(known[-1:], sensors + 1 - len(known), axis=0)])
        tables = {"coefficients": table, **basis}
        x = score.unexplained(tables, lesson.x, lesson.sensor, lesson.covariates)
        if not shared:  # what a record's residual would be without it
            own = residual - regression.residual(lesson.x, lesson.covariates, lesson.sensor)
    middle = np.median(x, axis=0)
    location = np.tile(middle, (sensors + 1, 1))
    for s, rows in enumerate(sensor_rows(lesson.sensor)):
        if len(rows):
            location[s] = np.median(x[rows], axis=0)
    within = x - location[lesson.sensor]
    pooled = np.maximum(robust_scale(within), 1e-3)
    scale = np.tile(np.maximum(robust_scale(x - middle), 1e-3), (sensors + 1, 1))
    for s, rows in enumerate(sensor_rows(lesson.sensor)):
        if n := len(rows):
            mine = np.maximum(robust_scale(within[rows]), 1e-3) if n > 1 else pooled
            scale[s] = np.exp((n * np.log(mine) + PRIOR * np.log(pooled)) / (n + PRIOR))
    tables |= {"location": location, "scale": scale}
    z = (within + own) / scale[lesson.sensor]
    return tables, np.clip(z, -score.CLIP, score.CLIP)


def _axes(x: Floats, target: Floats) -> Arrays:
    """Principal axes of the records with the lowest scores, each divided by the scatter along it, and their distances."""
    normal = x[target <= np.quantile(target, NORMAL)]
    middle = normal.mean(axis=0)
    _, singular, axes = np.linalg.svd(normal - middle, full_matrices=False)
    variance = singular**2 / len(normal)
    k = max(1, min(AXES, len(normal) // 2, len(variance)))
    spread = variance[:k] + SHRINKAGE * variance.mean()
    rest = variance[k:].sum() + x.shape[1] * (1e-3 + SHRINKAGE * variance.mean())
    found: Arrays = {
        "middle": middle,
        "axes": (axes[:k] / np.sqrt(spread)[:, None]).T,
        "spread": spread,
        "rest": np.array([rest]),
        "distance.location": np.zeros(2),
        "distance.scale": np.ones(2),
    }
    distances = score.inputs(found, x)[:, -2:]
    return {
        **found,
        "distance.location": distances.mean(axis=0),
        "distance.scale": np.maximum(distances.std(axis=0), 1e-3),
    }


def _train(x: Floats, target: Floats, share: Floats, networks: int, seed: int) -> Arrays:
    """Networks of their own random starts and batches, drawn by ``share`` (n,); squared error, linear beyond 1.

    Adam (Kingma and Ba, ICLR 2015) with decoupled decay of weights, its rate falling along a half cosine.
    """
    rng, sizes = np.random.default_rng(seed), (x.shape[1], *HIDDEN, 1)
    small_x, small_target = x.astype(np.float32), target.astype(np.float32)
    p = {}
    for layer, (a, b) in enumerate(pairwise(sizes), 1):
        p[f"w{layer}"] = (rng.standard_normal((networks, a, b)) * np.sqrt(2 / a)).astype(np.float32)
        p[f"b{layer}"] = np.zeros((networks, 1, b), np.float32)
    p["w3"] *= np.float32(0.3)
    p["b3"] += target.mean()
    first = {name: np.zeros_like(array) for name, array in p.items()}
    second = {name: np.zeros_like(array) for name, array in p.items()}
    for step in range(1, STEPS + 1):
        rows = rng.choice(len(x), (networks, BATCH), p=share)
        rate = np.float32(RATE / 2 * (1 + np.cos(np.pi * (step - 1) / STEPS)))
        for name, slope in _slopes(p, small_x[rows], small_target[rows]).items():
            first[name] += np.float32(0.1) * (slope - first[name])
            second[name] += np.float32(0.001) * (slope**2 - second[name])
            unbiased = np.sqrt(second[name] / np.float32(1 - 0.999**step)) + np.float32(1e-8)
            change = first[name] / np.float32(1 - 0.9**step) / unbiased
            p[name] -= rate * (change + np.float32(DECAY) * p[name] if name.startswith("w") else change)
    return dict(p)


def _slopes(p: Mapping[str, NDArray[np.float32]], x: NDArray[np.float32], target: NDArray[np.float32]) -> Arrays:
    """Slopes of the mean loss of each network on its batch: x (networks, b, i), target (networks, b)."""
    h1 = np.maximum(x @ p["w1"] + p["b1"], 0)
    h2 = np.maximum(h1 @ p["w2"] + p["b2"], 0)
    wrong = (h2 @ p["w3"] + p["b3"])[..., 0] - target
    g3 = (2 * np.clip(wrong, -1, 1) / BATCH)[..., None]
    g2 = (g3 @ p["w3"].swapaxes(1, 2)) * (h2 > 0)
    g1 = (g2 @ p["w2"].swapaxes(1, 2)) * (h1 > 0)
    found: Arrays = {}
    for layer, (below, slope) in enumerate(((x, g1), (h1, g2), (h2, g3)), 1):
        found[f"w{layer}"] = below.swapaxes(1, 2) @ slope
        found[f"b{layer}"] = slope.sum(axis=1, keepdims=True)
    return found


def small(arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """The arrays in two bytes a number where they are large, else in four."""
    return {name: a.astype(np.float16 if name in LARGE else np.float32) for name, a in arrays.items()}


def quantised(arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """The arrays with weights and axes in one byte: 255 steps, symmetric, of one size for each column."""
    found = dict(arrays)
    for name in QUANTISED:
        a = arrays[name].astype(np.float32)
        unit = np.maximum(np.abs(a).max(axis=-2, keepdims=True), 1e-12) / 127
        found[name] = np.round(a / unit).astype(np.int8)
        found[f"{name}.unit"] = unit
    return found
