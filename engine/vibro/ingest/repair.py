"""Samples that are no number: refused by their place, or short gaps filled in a straight line on request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.data import Record, Rejected
from vibro.io.files import iso_time


def filled(record: Record, longest: int) -> Record:
    """The record with its gaps of up to ``longest`` samples interpolated; the record itself where there are none.

    A longer gap stays, and so does one at an end of the record, where nothing is known of the other side.
    """
    if not longest or np.isfinite(record.signal.sum(dtype=np.float64)):
        return record
    signal = record.signal.copy()
    for c in range(len(signal)):
        for start, stop in runs(~np.isfinite(signal[c])):
            if stop - start <= longest and start > 0 and stop < signal.shape[1]:
                ends = signal[c, [start - 1, stop]].astype(np.float64)
                signal[c, start:stop] = np.interp(np.arange(start, stop), [start - 1, stop], ends)
    return replace(record, signal=signal)


def refusal(record: Record) -> Rejected | None:
    """A Rejected (Q007) with the place of the first sample that is no number, if there is one."""
    if np.isfinite(record.signal.sum(dtype=np.float64)):  # without a copy of a long record
        return None
    finite = np.isfinite(record.signal)
    channel = int(np.argmin(finite.all(axis=1)))
    start, stop = runs(~finite[channel])[0]
    detail = f"sample {start} is {record.signal[channel, start]}, not a finite float32"
    if stop - start > 1:
        detail = f"samples {start} to {stop - 1} are not finite"
    if len(finite) > 1:
        detail = f"channel {channel}: {detail}"
    time = iso_time(record.time)
    return Rejected("Q007", detail, record.row, record.line, record.offset, f"/{start}", "", record.sensor, time)


def runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of every run of True."""
    edges = _edges(marked)
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def longest_run(marked: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end of the longest run of True, the first of equal ones; at least one must be True."""
    edges = _edges(marked)
    k = 2 * int(np.argmax(edges[1::2] - edges[::2]))
    return int(edges[k]), int(edges[k + 1])


def _edges(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Start and end of every run of True, one after the other."""
    return np.flatnonzero(np.diff(np.concatenate(([False], marked, [False]))))
