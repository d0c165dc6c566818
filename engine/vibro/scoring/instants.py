"""Instants: records of a machine's sensors that were taken together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch


@dataclass(frozen=True)
class Instants:
    """``times`` (instants,) at which they begin, ``of`` (records,) each record's instant, ``period`` ns between two records
    of a sensor, 0 where no sensor has two."""

    times: NDArray[np.datetime64]
    of: NDArray[np.intp]
    period: int


def instants(time: NDArray[np.datetime64], sensor: NDArray[np.integer], period: int | None = None) -> Instants:
    """The instants of records at known times (n,) of sensors (n,); records within half a sensor's usual period are one.

    ``period`` in ns where it is known from elsewhere: few records cannot tell it.
    """
    period = usual_period(time, sensor) if period is None else period
    tolerance = period // 2 if len(np.unique(sensor)) > 1 else 0
    distinct, where = np.unique(time.astype("datetime64[ns]").view(np.int64), return_inverse=True)
    group, start, count = np.empty(len(distinct), np.intp), int(distinct[0]), 0
    for i, t in enumerate(distinct.tolist()):
        if t - start > tolerance:
            start, count = t, count + 1
        group[i] = count
    first = np.searchsorted(group, np.arange(count + 1))
    return Instants(distinct[first].view("datetime64[ns]"), group[where], period)


def usual_period(time: NDArray[np.datetime64], sensor: NDArray[np.integer]) -> int:
    """Median ns between two records of a sensor, of records at known times (n,) of sensors (n,); 0 where none has two."""
    order = np.lexsort((time, sensor))
    gaps = np.diff(time[order].astype("datetime64[ns]").view(np.int64))[np.diff(sensor[order]) == 0]
    gaps = gaps[gaps > 0]
    return int(np.median(gaps)) if len(gaps) else 0


def periods(batch: SignalBatch) -> dict[str, int]:
    """The usual period in ns of every machine whose records have times."""
    return {name: usual_period(batch.time[rows], batch.sensor[rows]) for name, rows in _timed(batch)}


def instant_numbers(batch: SignalBatch, known: Mapping[str, int]) -> NDArray[np.intp]:
    """(n,) number of each record's machine and instant; -1 for a record that is invalid or has no time.

    ``known``: the usual period of machines by name, as a model keeps it; of others the batch's own.
    """
    number, count = np.full(len(batch), -1), 0
    for name, rows in _timed(batch):
        found = instants(batch.time[rows], batch.sensor[rows], known.get(name))
        number[rows] = count + found.of
        count += len(found.times)
    return number


def _timed(batch: SignalBatch) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Every machine with its valid records that have a time."""
    usable = np.flatnonzero(batch.valid & ~np.isnat(batch.time))
    usable = usable[np.argsort(batch.machine[usable], kind="stable")]
    ends = np.searchsorted(batch.machine[usable], np.arange(len(batch.machines) + 1))
    for code, name in enumerate(batch.machines):
        if ends[code] < ends[code + 1]:
            yield name, usable[ends[code] : ends[code + 1]]
