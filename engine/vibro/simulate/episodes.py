"""When and where simulated faults happen: episodes of consecutive instants, on a whole unit or on one sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TRANSFORMER_MIX = {
    "core_loose": 0.22,
    "winding_loose": 0.20,
    "winding_deform": 0.12,
    "dc_bias": 0.12,
    "cooling": 0.08,
    "s_clip": 0.05,
    "s_dropout": 0.05,
    "s_drift": 0.05,
    "s_loose": 0.07,
    "s_gain": 0.04,
}
FIELD_MIX = {name: 0.8 * share for name, share in TRANSFORMER_MIX.items()} | {
    "oltc_wear": 0.10,
    "s_emi": 0.05,
    "s_rate": 0.05,
}
BEARING_MIX = {
    "outer_race": 0.28,
    "inner_race": 0.24,
    "imbalance": 0.22,
    "s_clip": 0.05,
    "s_dropout": 0.05,
    "s_drift": 0.05,
    "s_loose": 0.07,
    "s_gain": 0.04,
}
LONGEST = 6  # instants
GOLDEN = 0.6180339887498949  # Kronecker sequence: few episodes still cover mild and severe faults evenly


@dataclass(frozen=True)
class Schedule:
    """Faults on the grid (U, K, S): class name ("" = none), severity 0..1 and number of the episode (-1 = none)."""

    fault: NDArray[np.str_]
    severity: NDArray[np.float64]
    episode: NDArray[np.int64]
    oltc: NDArray[np.bool_]  # (U, K) benign tap-changer bursts


def schedule(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    share: float,
    mix: Mapping[str, float],
    fan: NDArray[np.bool_],
    bursts: float,
) -> Schedule:
    """Places episodes until every class of the mix has its share of the ``shape`` = (U, K, S) records.

    A machine fault takes all sensors of a unit, a sensor fault (name ``s_``) one. Cooling faults need running fans.
    Severity is Beta(1.6, 2.2) clipped to [.12, 1] per episode, +- 20 % per record. ``bursts`` is the share of instants
    with a tap-changer operation.
    """
    units, instants, sensors = shape
    out = Schedule(
        fault=np.full(shape, "", dtype="U16"),
        severity=np.zeros(shape),
        episode=np.full(shape, -1),
        oltc=_some(rng, units * instants, bursts).reshape(units, instants),
    )
    spread, start = rng.beta(1.6, 2.2, 4096), rng.random()
    number = 0
    for name, part in mix.items():
        whole = not name.startswith("s_")
        wished = share * part * units * instants * sensors / (sensors if whole else 1)
        left = int(np.floor(wished)) + int(rng.random() < wished % 1)
        while left > 0:
            length = min(left, int(rng.integers(2, LONGEST + 1)))
            place = _free_place(rng, out, length, whole, fan if name == "cooling" else np.ones_like(fan))
            if place is None:
                break
            severity = float(np.clip(np.quantile(spread, (start + number * GOLDEN) % 1), 0.12, 1))
            count = out.severity[place].shape
            out.fault[place] = name
            out.severity[place] = np.clip(severity * rng.uniform(0.8, 1.2, count), 0.1, 1)
            out.episode[place] = number
            number, left = number + 1, left - length
    return out


def schedule_by_machine(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    shares: float | Sequence[float],
    mix: Mapping[str, float],
    fan: NDArray[np.bool_],
    bursts: float,
) -> Schedule:
    """``schedule`` with one share of faults, or with one of its own for each of the U machines."""
    if isinstance(shares, int | float):
        return schedule(rng, shape, shares, mix, fan, bursts)
    units, instants, sensors = shape
    parts = [
        schedule(rng, (1, instants, sensors), share, mix, fan[[u]], bursts)
        for u, share in zip(range(units), shares, strict=True)
    ]
    first = np.cumsum([0, *(int(part.episode.max(initial=-1)) + 1 for part in parts)])
    episode = [np.where(part.episode < 0, -1, part.episode + at) for part, at in zip(parts, first, strict=False)]
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ("fault", "severity", "oltc")}
    return Schedule(episode=np.concatenate(episode), **joined)


def _some(rng: np.random.Generator, n: int, share: float) -> NDArray[np.bool_]:
    """``share`` of n places, at random."""
    chosen = np.zeros(n, bool)
    chosen[rng.permutation(n)[: round(share * n)]] = True
    return chosen


def _free_place(
    rng: np.random.Generator, plan: Schedule, length: int, whole: bool, allowed: NDArray[np.bool_]
) -> tuple[int, slice, slice] | None:
    """A random free stretch of ``length`` instants on a unit or on one of its sensors; None if none is left."""
    free = plan.fault == ""
    if whole:
        free = free.all(axis=2, keepdims=True)
    free = free & allowed[:, :, None]
    if free.shape[1] < length:
        return None
    run = np.lib.stride_tricks.sliding_window_view(free, length, axis=1).all(axis=-1)
    starts = np.argwhere(run)
    if not len(starts):
        return None
    unit, start, sensor = starts[rng.integers(len(starts))]
    sensors = slice(None) if whole else slice(sensor, sensor + 1)
    return int(unit), slice(int(start), int(start) + length), sensors
