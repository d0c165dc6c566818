"""Rows of a batch by their use: which are fitted on, and in which fold each is held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.core.rows import Rows
from vibro.data import SignalBatch
from vibro.scoring.instants import instant_numbers
from vibro.scoring.instants import instants as instants_of
from vibro.scoring.regression import sensor_rows

FOLDS = 5
BLOCKS_PER_FOLD = 4


def make_rows(batch: SignalBatch, fit: NDArray[np.intp] | None = None, strategy: str = "all") -> Rows:
    """Fit rows (default: every valid row) in five folds that split no recording where that can be done, else time blocks.

    Recordings are kept whole when there are five or more and none holds above a third of a sensor's rows; those that hold
    different sensors of one instant count as one. They are assigned so that the folds hold about equally much of every
    sensor. Otherwise each machine's instants are cut into blocks of
    consecutive time, assigned in turn, so that what was measured at one instant stays together. Where neither gives five
    folds (one instant of many sensors), single records are assigned. Fewer than ten rows: one fold.
    """
    chosen = np.flatnonzero(batch.valid) if fit is None else np.asarray(fit, dtype=np.intp)
    if len(chosen) < 2 * FOLDS:
        return Rows(chosen, np.zeros(len(chosen), np.int8), f"{strategy}; one fold", np.arange(len(chosen)))
    recording = _recordings(batch, chosen)
    if _whole(batch, chosen, recording):
        fold, group, name = *_by_recording(batch, chosen, recording), "recording"
    else:
        fold, group, name = *_by_time_block(batch, chosen), "time block"
    if len(np.unique(fold)) < FOLDS:
        group = np.argsort(np.argsort(batch.ids[chosen], kind="stable"))
        fold, name = group % FOLDS, "record"
    return Rows(chosen, fold.astype(np.int8), f"{strategy}; five folds by {name}", group)


def _recordings(batch: SignalBatch, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """(len(rows),) recordings, those joined that hold different sensors of one instant: its records speak of each other."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    recording, number = np.unique(batch.recording[rows], return_inverse=True)[1], instant_numbers(batch, {})[rows]
    both = np.stack([number, batch.sensor[rows]])
    _, where, count = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    twice = number[count[where.reshape(-1)] > 1]  # recordings under one clock, not one instant
    known = np.flatnonzero((number >= 0) & ~np.isin(number, twice))
    size, first = len(rows) + int(number.max(initial=-1)) + 1, len(rows)
    graph = coo_array((np.ones(len(known)), (recording[known], first + number[known])), shape=(size, size))
    joined = connected_components(graph, directed=False)[1][recording]
    return np.asarray(np.unique(joined, return_inverse=True)[1], np.intp)


def _by_recording(
    batch: SignalBatch, rows: NDArray[np.intp], recording: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Folds of whole recordings, the largest first, each where its sensors and then all rows are rarest; the recordings."""
    names = np.unique(recording)
    _, sensor = np.unique(batch.sensor[rows], return_inverse=True)
    filled, whole = np.zeros((FOLDS, int(sensor.max()) + 1)), np.zeros(FOLDS)
    fold_of, parts = np.zeros(len(names), np.intp), sensor_rows(recording)
    for r in np.argsort([-len(mine) for mine in parts], kind="stable"):
        own, held = np.unique(sensor[parts[r]], return_counts=True)
        fold_of[r] = np.lexsort((whole, filled[:, own] @ held))[0]
        filled[fold_of[r], own] += held
        whole[fold_of[r]] += len(parts[r])
    return fold_of[recording], recording.astype(np.intp)


def _by_time_block(batch: SignalBatch, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Folds of blocks of consecutive instants, machine by machine, and the blocks; without a time, the n-th record of each
    sensor.
    """
    fold, block = np.zeros(len(rows), np.intp), np.zeros(len(rows), np.intp)
    for m, mine in enumerate(sensor_rows(batch.machine[rows])):
        if not len(mine):
            continue
        instant = instants(batch, rows[mine])
        count = int(instant.max()) + 1
        blocks = min(FOLDS * BLOCKS_PER_FOLD, count)
        block[mine] = instant * blocks // count + int(m) * FOLDS * BLOCKS_PER_FOLD
        fold[mine] = (instant * blocks // count + int(m)) % FOLDS
    return fold, block


def instants(batch: SignalBatch, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """(len(rows),) number of the instant of each row, in order of time; without times, its rank among its sensor's rows."""
    time = batch.time[rows]
    if not np.isnat(time).any():
        return instants_of(time, batch.sensor[rows]).of
    order = np.lexsort((batch.ids[rows], batch.row[rows], batch.source[rows], time, batch.sensor[rows]))
    sensor = batch.sensor[rows][order]
    starts = np.flatnonzero(np.r_[True, sensor[1:] != sensor[:-1]])
    rank = np.empty(len(rows), np.intp)
    rank[order] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    return rank


def _whole(batch: SignalBatch, rows: NDArray[np.intp], recording: NDArray[np.intp]) -> bool:
    """Whether there are five recordings or more, none above a third of the rows of a sensor that has ten or more.

    A recording that holds most rows of a sensor would leave the other folds next to nothing like it to learn from.
    """
    if len(np.unique(recording)) < FOLDS:
        return False
    for place in sensor_rows(batch.sensor[rows]):
        mine = recording[place]
        _, count = np.unique(mine, return_counts=True)
        if len(mine) >= 2 * FOLDS and 3 * count.max() > len(mine):
            return False
    return True
