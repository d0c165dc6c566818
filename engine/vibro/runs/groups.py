"""Which sensors of a run share a pool: the groups of the sensor table, or those that their spectra show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.core.rows import Rows, evenly_spaced
from vibro.data import SignalBatch, let_go
from vibro.runs.voice import names
from vibro.scoring.calibration import SHRINKAGE
from vibro.scoring.like_sensors import LEAST, find_groups
from vibro.scoring.regression import A_GROUP, sensor_rows
from vibro.scoring.signature import BLOCK, band_levels
from vibro.words import counted

FEW = 2 * SHRINKAGE  # records to fit on, up to which what a sensor borrows weighs a third or more
SOME = 8  # records of a sensor that its median spectrum is taken from


def with_groups(
    batch: SignalBatch, rows: Rows, groups: Mapping[str, str]
) -> tuple[Rows, dict[str, list[str]], list[str]]:
    """The rows with the groups of like sensors, those groups with their sensors, and sentences on what was found or left out.

    ``groups``: sensor -> group, as the user has told; where no sensor has one, they are looked for. A group needs two
    sensors and ``A_GROUP`` records to fit on.
    """
    code = {sensor: i for i, sensor in enumerate(batch.sensors)}
    size = np.bincount(batch.sensor[rows.fit], minlength=len(batch.sensors))
    found = {} if groups else like_sensors(batch, rows)
    members: dict[str, list[str]] = {}
    for sensor, name in sorted((groups or found).items()):
        if sensor in code:
            members.setdefault(name, []).append(sensor)
    used: dict[str, list[str]] = {}
    small, alike = [], np.full(len(code), -1, np.int32)
    for name, sensors in sorted(members.items()):
        mine = [code[sensor] for sensor in sensors]
        if len(mine) > 1 and size[mine].sum() >= A_GROUP:
            alike[mine] = len(used)
            used[name] = sensors
        else:
            small.append(name)
    said = []
    if found:
        said.append(
            f"{len(used)} groups of sensors with like spectra were found, those of {names([m[0] for m in used.values()])}:"
            " sensors with few records borrow from their group; a column group of --sensors overrules this"
        )
    if small:
        said.append(
            f"{counted(len(small), 'group')} ({names(small)}) of fewer than 2 sensors or {A_GROUP} records to fit on:"
            " compared with all sensors"
        )
    return (replace(rows, alike=alike) if used else rows), used, said


def like_sensors(batch: SignalBatch, rows: Rows) -> dict[str, str]:
    """Sensor -> ``like`` and the first sensor of its group; empty without clear groups, or where few sensors have few records.

    A sensor is known by the median levels of the bands of some of its fit rows, whatever their order.
    """
    fit = rows.by_id(batch).fit
    of_sensor = sensor_rows(batch.sensor[fit], len(batch.sensors))
    known = [code for code, mine in enumerate(of_sensor) if len(mine)]
    size = np.array([len(of_sensor[code]) for code in known])
    if (size <= FEW).sum() < LEAST:
        return {}
    some = [evenly_spaced(fit[of_sensor[code]], SOME) for code in known]
    group = find_groups(
        np.stack([_median_levels(batch, mine) for mine in some]), np.array([batch.machine[mine[0]] for mine in some])
    )
    if group is None or min(size[group == g].sum() for g in range(group.max() + 1)) < A_GROUP:
        return {}
    first = [batch.sensors[known[int(np.argmax(group == g))]] for g in range(group.max() + 1)]
    return {batch.sensors[code]: f"like {first[g]}" for code, g in zip(known, group, strict=True) if g >= 0}


def _median_levels(batch: SignalBatch, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """(k,) medians over these rows of the levels of their bands."""
    step = max(1, BLOCK // batch.x[:1].size)
    levels = np.concatenate([band_levels(batch.x[rows[i : i + step]]) for i in range(0, len(rows), step)])
    let_go(batch.x)
    return np.asarray(np.median(levels, axis=0))
