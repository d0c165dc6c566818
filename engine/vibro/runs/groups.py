"""Which sensors of a run share a pool: the groups of the sensor table that have enough records to be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vibro.core.rows import Rows
from vibro.data import SignalBatch
from vibro.runs.voice import names
from vibro.scoring.regression import A_GROUP
from vibro.words import counted


def with_groups(
    batch: SignalBatch, rows: Rows, groups: Mapping[str, str]
) -> tuple[Rows, dict[str, list[str]], list[str]]:
    """The rows with the groups of like sensors, those groups with their sensors, and a sentence on groups that are none.

    ``groups``: sensor -> group. A group needs two sensors and ``A_GROUP`` records to fit on.
    """
    code, size = {sensor: i for i, sensor in enumerate(batch.sensors)}, np.bincount(batch.sensor[rows.fit])
    members: dict[str, list[str]] = {}
    for sensor in sorted(set(groups) & set(code)):
        members.setdefault(groups[sensor], []).append(sensor)
    used: dict[str, list[str]] = {}
    small, alike = [], np.full(len(code), -1, np.int32)
    for name, sensors in sorted(members.items()):
        mine = [code[sensor] for sensor in sensors]
        if len(mine) > 1 and size[mine].sum() >= A_GROUP:
            alike[mine] = len(used)
            used[name] = sensors
        else:
            small.append(name)
    said = [
        f"{counted(len(small), 'group')} ({names(small)}) of fewer than 2 sensors or {A_GROUP} records to fit on:"
        " compared with all sensors"
    ]
    return (replace(rows, alike=alike) if used else rows), used, said if small else []
