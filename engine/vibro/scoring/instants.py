"""Instants: records of a machine's sensors that were taken together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Instants:
    """``times`` (instants,) at which they begin, ``of`` (records,) each record's instant, ``period`` ns between two records
    of a sensor, 0 where no sensor has two."""

    times: NDArray[np.datetime64]
    of: NDArray[np.intp]
    period: int


def instants(time: NDArray[np.datetime64], sensor: NDArray[np.integer]) -> Instants:
    """The instants of records at known times (n,) of sensors (n,); records within half a sensor's usual period are one."""
    order = np.lexsort((time, sensor))
    gaps = np.diff(time[order].astype("datetime64[ns]").view(np.int64))[np.diff(sensor[order]) == 0]
    gaps = gaps[gaps > 0]
    period = int(np.median(gaps)) if len(gaps) else 0
    tolerance = period // 2 if len(np.unique(sensor)) > 1 else 0
    distinct, where = np.unique(time.astype("datetime64[ns]").view(np.int64), return_inverse=True)
    group, start, count = np.empty(len(distinct), np.intp), int(distinct[0]), 0
    for i, t in enumerate(distinct.tolist()):
        if t - start > tolerance:
            start, count = t, count + 1
        group[i] = count
    first = np.searchsorted(group, np.arange(count + 1))
    return Instants(distinct[first].view("datetime64[ns]"), group[where], period)
