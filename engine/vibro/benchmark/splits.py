"""Rows to fit on and rows to evaluate: splits without leakage, and pools with few anomalies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.datasets import Labelled
from vibro.errors import ConfigError

KINDS = ("machine", "recording", "time", "record", "none")
VARIANTS = ("plain", "episode", "light", "noisy")

Mask = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Two disjoint masks (n,) and the strategy that gave them, in words; with kind ``none`` both hold all rows."""

    train: Mask
    test: Mask
    strategy: str
    warnings: tuple[str, ...] = ()


def make_split(data: Labelled, kind: str | None, seed: int) -> Split:
    """Half of the machines, recordings or time to fit on, the rest to evaluate; both parts hold normal records.

    Without ``kind`` the first of machine, recording and time that can be done. ``time`` cuts every recording of a
    sensor at its middle instant. ConfigError where a named kind cannot be done.
    """
    if kind is None:
        kind = next((k for k, code in _groups(data).items() if _normal_groups(data, code) >= 2), "time")
    if kind not in KINDS:
        raise ConfigError(f"unknown split {kind!r}", hint=f"splits: {', '.join(KINDS)}")
    everything = np.ones(len(data.y), np.bool_)
    if kind == "none":
        return Split(everything, everything, "evaluated on the rows that were fitted, as vibro ensemble run does")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    if kind == "record":
        test = np.zeros(len(data.y), np.bool_)
        for label in np.unique(data.y):
            rows = rng.permutation(np.flatnonzero(data.y == label))
            test[rows[: len(rows) // 2]] = True
        leak = "split by record: windows of one recording are on both sides, so the metrics are too good"
        return Split(~test, test, "half of the records at random", (leak,))
    if kind == "time":
        test = _later_half(data)
        strategy = "second half of every recording"
    else:
        code = _groups(data)[kind]
        if _normal_groups(data, code) < 2:
            raise ConfigError(
                f"cannot split by {kind}: the normal records come from one {kind} only",
                hint="use --split time, or name machines and recordings in the data or the sensor table",
            )
        test = np.isin(code, _draw_groups(data, code, rng))
        strategy = f"half of the {kind}s"
    for part, name in ((~test, "fitting"), (test, "evaluation")):
        if not (data.y[part] == 0).any():
            raise ConfigError(f"split by {kind} leaves no normal record for {name}", hint="use another --split")
    return Split(~test, test, strategy)


def _groups(data: Labelled) -> dict[str, NDArray[np.int32]]:
    return {"machine": data.batch.machine, "recording": data.batch.recording}


def _normal_groups(data: Labelled, code: NDArray[np.int32]) -> int:
    return len(np.unique(code[data.y == 0]))


def _draw_groups(data: Labelled, code: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    """Half of the groups that hold normal records and half of the others."""
    with_normals = np.unique(code[data.y == 0])
    others = np.setdiff1d(np.unique(code), with_normals)
    return np.concatenate([rng.permutation(part)[: (len(part) + 1) // 2] for part in (with_normals, others)])


def _later_half(data: Labelled) -> Mask:
    """Rows after the middle instant of their recording and sensor; of their sensor where a recording is one instant."""
    batch = data.batch
    later = np.zeros(len(batch), np.bool_)
    key = np.stack([batch.sensor, batch.recording])
    _, group = np.unique(key, axis=1, return_inverse=True)
    group = np.asarray(group, dtype=np.intp).reshape(-1)
    if np.bincount(group).max() < 2:
        group = batch.sensor.astype(np.intp)
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        order = rows[np.lexsort((batch.ids[rows], batch.row[rows], batch.time[rows]))]
        later[order[(len(order) + 1) // 2 :]] = True
    return later


def draw_pool(
    data: Labelled,
    candidates: Mask,
    contamination: float | None,
    seed: int,
    *,
    variant: str = "plain",
    light: tuple[str, ...] = (),
    limit: int | None = None,
) -> Index:
    """Rows of an unlabelled pool: all normal candidates and anomalies drawn to this share of the whole.

    ``contamination`` None takes all candidates as found, records without a label too. Variants: ``episode`` draws the
    anomalies from one recording, ``light`` from the fault types named in ``light``. ``limit`` bounds the pool's size.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"unknown pool variant {variant!r}", hint=f"variants: {', '.join(VARIANTS)}")
    rng = np.random.default_rng([seed, VARIANTS.index(variant)])
    normal = np.flatnonzero(candidates & (data.y == 0))
    bad = np.flatnonzero(candidates & (data.y == 1))
    if variant == "light":
        bad = bad[np.isin(data.fault_type[bad], light)]
    if contamination is None and variant != "light":
        return np.flatnonzero(candidates)
    if contamination is None:
        return np.sort(np.concatenate([normal, bad]))
    if not 0 <= contamination < 1:
        raise ConfigError(f"the contamination must lie in 0..1, not {contamination}")
    if limit is not None:
        normal = rng.permutation(normal)[: round(limit * (1 - contamination))]
    wished = round(contamination / (1 - contamination) * len(normal))
    if variant == "episode":
        bad = _one_episode(data, bad, wished, rng)
    if contamination > 0 and not len(bad):
        raise ConfigError(f"no anomalous record for the pool {variant} of {data.name}")
    return np.sort(np.concatenate([normal, rng.permutation(bad)[: max(wished, int(contamination > 0))]]))


def _one_episode(data: Labelled, bad: Index, wished: int, rng: np.random.Generator) -> Index:
    """Anomalies of one recording, or of one machine where a recording is a single instant; long ones first."""
    code = data.batch.recording
    if len(bad) and np.unique(code[bad], return_counts=True)[1].max() < max(3, wished // 4):
        code = data.batch.machine
    groups, sizes = np.unique(code[bad], return_counts=True)
    enough = groups[sizes >= min(wished, sizes.max())] if len(groups) else groups
    return bad[code[bad] == rng.choice(enough)] if len(enough) else bad


def siblings(data: Labelled, chosen: Mask) -> Mask:
    """(n,) chosen records and all others of their recordings; the chosen ones alone where all are of one recording."""
    recording = data.batch.recording
    return chosen if (recording == recording[0]).all() else np.isin(recording, recording[chosen])


def keep_labels(data: Labelled, candidates: Mask, k: int, seed: int) -> NDArray[np.int16]:
    """Labels (n,) of which only k a class among the candidates are known, the others -1.

    Those of a class are of half of its recordings where these suffice, so that others are left to evaluate.
    """
    rng = np.random.default_rng([seed, k])
    known = np.full(len(data.y), -1, np.int16)
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(candidates & (data.y == label)))
        recording = data.batch.recording[rows]
        groups = rng.permutation(np.unique(recording))
        first = np.isin(recording, groups[: len(groups) // 2])
        known[np.concatenate([rows[first], rows[~first]])[:k]] = label
    return known
