"""One verdict a machine: its two worst sensors at every instant, and what persists over several instants."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scores import ALARM, ATTENTION, INDETERMINATE, INVALID, LEVELS, NORMAL, Cuts, Verdict

WINDOW = 5  # consecutive instants, of which
SHARE = 0.6  # this share must be above a cut: 3 of 5, one odd second is not a fault


def machine_rows(batch: SignalBatch, verdict: Verdict, cuts: Cuts) -> list[dict[str, Any]]:
    """Rows of ``machines.csv``, worst first.

    At an instant a machine scores the mean of its two worst sensors, so a lone sensor counts half. ``score`` is the
    highest value that at least 3 of 5 consecutive instants reach; the level follows from it and the cuts. ``since`` is
    the first instant above the cut in the last stretch at that level, ``sensors_alarm`` counts the sensors that were above
    it there, ``confidence`` is the mean agreement of the detectors there (over all instants for a normal machine).
    Records without a time count as consecutive in the order of their source. Machines with invalid records only are
    ``invalid``, those without a score ``indeterminate``.
    """
    rows = [
        _machine(batch, verdict, cuts, code) for code in range(len(batch.machines)) if (batch.machine == code).any()
    ]
    order = {level: i for i, level in enumerate((ALARM, ATTENTION, INDETERMINATE, INVALID, NORMAL))}
    rows.sort(key=lambda row: (order[LEVELS.index(row["level"])], -np.nan_to_num(row["score"]), row["machine_id"]))
    return rows


def _machine(batch: SignalBatch, verdict: Verdict, cuts: Cuts, code: int) -> dict[str, Any]:
    mine = np.flatnonzero(batch.machine == code)
    row: dict[str, Any] = {
        "machine_id": batch.machines[code],
        "level": LEVELS[INVALID],
        "since": None,
        "sensors_alarm": 0,
        "sensors_total": len(np.unique(batch.sensor[mine])),
        "score": float("nan"),
        "confidence": float("nan"),
    }
    judged = mine[verdict.level[mine] != INVALID]
    if not len(judged):
        return row
    judged = judged[np.isfinite(verdict.score[judged])]
    if not len(judged):
        return row | {"level": LEVELS[INDETERMINATE]}
    instant, times = instants(batch, judged)
    worst = two_worst(verdict.score[judged], batch.sensor[judged], instant, len(times))
    lasting = persistent(worst)
    level = ALARM if lasting.max() > cuts.alarm else ATTENTION if lasting.max() > cuts.attention else NORMAL
    row |= {"level": LEVELS[level], "score": float(lasting.max())}
    if level == NORMAL:
        return row | {"confidence": float(np.nanmean(verdict.agreement[judged]))}
    cut = cuts.alarm if level == ALARM else cuts.attention
    first, last = last_stretch(worst, lasting, cut)
    inside = judged[(instant >= first) & (instant <= last)]
    above = inside[verdict.score[inside] > cut]
    return row | {
        "since": times[first],
        "sensors_alarm": len(np.unique(batch.sensor[above])),
        "confidence": float(np.nanmean(verdict.agreement[inside])),
    }


def instants(batch: SignalBatch, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.datetime64]]:
    """The number of its instant for each row, and the instants' times; without times, the n-th record of each sensor."""
    time = batch.time[rows]
    if not np.isnat(time).any():
        times, number = np.unique(time, return_inverse=True)
        return number, times
    order = np.lexsort((batch.row[rows], batch.source[rows], time, batch.sensor[rows]))
    sensor = batch.sensor[rows][order]
    starts = np.flatnonzero(np.r_[True, sensor[1:] != sensor[:-1]])
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    number = np.empty(len(rows), np.intp)
    number[order] = rank
    return number, np.full(int(number.max()) + 1, np.datetime64("NaT", "ns"))


def two_worst(
    score: NDArray[np.float64], sensor: NDArray[np.int32], instant: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """(count,) mean of the two highest scores at each instant; the only one where a machine has one sensor."""
    order = np.lexsort((-score, instant))
    starts = np.searchsorted(instant[order], np.arange(count))
    top = score[order][starts]
    if len(np.unique(sensor)) == 1:
        return top
    ends = np.r_[starts[1:], len(order)]
    second = np.where(ends - starts > 1, score[order][np.minimum(starts + 1, len(order) - 1)], np.minimum(top, 0.0))
    return (top + second) / 2


def persistent(worst: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each window of up to five instants, the value that at least three fifths of them reach."""
    n = min(WINDOW, len(worst))
    k = ceil(SHARE * n)
    windows = np.lib.stride_tricks.sliding_window_view(worst, n)
    found: NDArray[np.float64] = np.sort(windows, axis=1)[:, n - k]
    return found


def last_stretch(worst: NDArray[np.float64], lasting: NDArray[np.float64], cut: float) -> tuple[int, int]:
    """First and last instant above the cut in the last run of windows that hold it."""
    n = min(WINDOW, len(worst))
    held = np.flatnonzero(lasting > cut)
    gaps = np.flatnonzero(np.diff(held) > 1)
    begin = held[gaps[-1] + 1] if len(gaps) else held[0]
    inside = np.arange(begin, held[-1] + n)
    above = inside[worst[inside] > cut]
    return int(above[0]), int(above[-1])
