"""One verdict a machine: its sensors fused at the same instant, alarms that persist, and sensors that deviate alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME, SignalBatch
from vibro.scoring.instants import instants
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, INDETERMINATE, INVALID, LEVELS, NORMAL, REASONS, Verdict

K, N = 3, 5  # an alarm stands when K of N consecutive instants are over the cut; attention when all N are
COMPANY = 3  # sensors present from which one alone can be told from a machine
FEW = 1 / 3  # of a machine's sensors: where more of them deviate, each at other instants, none of them is alone
SUSTAINED, SINGLE_SENSOR, ISOLATED = "sustained", "single_sensor", "isolated"  # why a machine has its level
UNTIMED = 0.8  # without times a sensor counts by the score that one in five of its records reach

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Machine:
    """Fused scores of one machine: ``table`` (instants, sensors), NaN = no trusted record; ``times`` (instants,).

    ``score``, ``time``, ``of``, ``column`` (records,): the trusted records, each with its instant and its sensor's column.
    """

    table: Floats
    times: NDArray[np.datetime64]
    sensors: NDArray[np.int32]
    timed: bool
    score: Floats
    time: NDArray[np.datetime64]
    of: NDArray[np.intp]
    column: NDArray[np.intp]

    def first_over(self, cut: float, instant: int, sensor: int | None) -> np.datetime64:
        """Time of the first record over a cut at an instant, of one sensor or of any; without times none."""
        if not self.timed:
            return NO_TIME
        over = (self.score > cut) & (self.of == instant)
        return np.datetime64(self.time[over if sensor is None else over & (self.column == sensor)].min())


def machine_rows(batch: SignalBatch, verdict: Verdict, cuts: Cuts) -> list[dict[str, Any]]:
    """Rows of ``machines.csv``, one a machine in the order of ``batch.machines``.

    An instant's score is the mean of the two worst sensors present; where one of at least three deviates alone it is
    held at the alarm cut, because that speaks of the sensor. ``alarm``: 3 of 5 consecutive instants over the alarm cut;
    ``attention``: all of 5 over the attention cut, or records in alarm that make no alarm of the machine; with fewer
    instants the same shares. ``reason``: ``sustained`` as just said; ``single_sensor``: a sensor keeps up an alarm by
    itself, which the mean with the next one does not reach; ``isolated``: records in alarm, none kept up; empty where
    nothing was found. ``score``: the highest score that 3 of 5 instants reached; ``since``: the first record over
    the cut of the latest such episode; ``growth_per_day``: by how much the worst sensor's score rises per day since then
    (slope of Theil and Sen), NaN without one and within a day of it; ``records_alarm``; ``sensors_alarm``: sensors that
    keep up an alarm by themselves; ``confidence``: mean of that of the deciding records. Without times there is no
    persistence: each sensor counts by its 80 % quantile and ``since``
    is empty.
    """
    rows, held = [], _held(verdict, cuts)
    for name, mine, kept in _by_machine(batch, verdict):
        raised = kept[verdict.level[kept] == ALARM]
        row: dict[str, Any] = {"machine_id": name, "sensors_total": len(np.unique(batch.sensor[mine]))}
        row |= {
            "records_alarm": len(raised),
            "sensors_alarm": 0,
            "reason": "",
            "since": NO_TIME,
            "growth_per_day": np.nan,
        }
        if not len(kept):
            level = INVALID if (verdict.level[mine] == INVALID).all() else INDETERMINATE
            rows.append(row | {"level": LEVELS[level], "score": np.nan, "confidence": np.nan})
            continue
        machine = _gather(batch, held, kept)
        level, score, since = _judge(_worst_two(machine.table, cuts), cuts, machine)
        own = [_judge(machine.table[:, j], cuts, machine, j) for j in range(machine.table.shape[1])]
        keeping = [judged[2] for judged in own if judged[0] == ALARM]
        reason = SUSTAINED if level else ""
        if level < ALARM and keeping:
            level, reason, since = ATTENTION, SINGLE_SENSOR, max(keeping) if level < ATTENTION else since
        elif level < ALARM and len(raised):
            latest = batch.time[raised].max() if machine.timed else NO_TIME
            level, reason, since = ATTENTION, ISOLATED, latest if level < ATTENTION else since
        growth = np.nan if reason == ISOLATED else _growth(machine, since)
        deciding = kept[verdict.level[kept] >= level] if level else kept
        known = verdict.confidence[deciding][np.isfinite(verdict.confidence[deciding])]
        confidence = float(known.mean()) if len(known) else np.nan
        rows.append(
            row
            | {"level": LEVELS[level], "reason": reason, "since": since, "sensors_alarm": len(keeping)}
            | {"growth_per_day": growth, "score": score, "confidence": confidence}
        )
    return rows


def lone_sensors(batch: SignalBatch, verdict: Verdict, cuts: Cuts) -> list[tuple[str, str]]:
    """(machine, sensor) where a sensor keeps up an alarm that no other sensor of its machine shares at the same instants.

    That speaks of the sensor and its mounting, or of something beside it, before it speaks of the machine. Where more
    than a third of a machine's sensors keep up an alarm, together or each in its turn, none of them is alone.
    """
    found: list[tuple[str, str]] = []
    held = _held(verdict, cuts)
    for name, _, kept in _by_machine(batch, verdict):
        machine = _gather(batch, held, kept) if len(kept) else None
        if machine is None or machine.table.shape[1] < COMPANY:
            continue
        keeping = [j for j, column in enumerate(machine.table.T) if _judge(column, cuts, machine)[0] == ALARM]
        if len(keeping) > max(1, FEW * len(machine.sensors)):
            continue
        alone = _alone(machine.table, cuts)
        for j in keeping:
            mine = np.where(alone & (machine.table[:, j] > cuts.alarm), machine.table[:, j], -np.inf)
            mine[np.isnan(machine.table[:, j])] = np.nan
            if _judge(mine, cuts, machine)[0] == ALARM:
                found.append((name, batch.sensors[machine.sensors[j]]))
    return found


def _held(verdict: Verdict, cuts: Cuts) -> Floats:
    """(n,) scores as far as they speak of the machine's state.

    At most the cut that a record is held below, for what is no alarm by itself is none of its machine; at most the
    attention cut in a transient and where the user said that it is benign.
    """
    passing = np.isin(verdict.reason, (REASONS.index("transient"), REASONS.index("benign")))
    most = np.where(verdict.level < ALARM, cuts.alarm, np.inf)
    return np.minimum(verdict.persistent, np.where(passing | (verdict.level < ATTENTION), cuts.attention, most))


def _by_machine(batch: SignalBatch, verdict: Verdict) -> Iterator[tuple[str, NDArray[np.intp], NDArray[np.intp]]]:
    """Every machine that has records: its name, their rows, and the rows whose score can be trusted."""
    trusted = np.isfinite(verdict.score) & (verdict.level != INVALID) & (verdict.level != INDETERMINATE)
    order = np.argsort(batch.machine, kind="stable")
    ends = np.searchsorted(batch.machine[order], np.arange(len(batch.machines) + 1))
    for code, name in enumerate(batch.machines):
        mine = order[ends[code] : ends[code + 1]]
        if len(mine):
            yield name, mine, mine[trusted[mine]]


def _gather(batch: SignalBatch, score: Floats, rows: NDArray[np.intp]) -> _Machine:
    """The scores of some records of one machine by instant and sensor."""
    sensors, column = np.unique(batch.sensor[rows], return_inverse=True)
    time = batch.time[rows]
    if np.isnat(time).any():
        table = np.array([[np.quantile(score[rows[column == j]], UNTIMED) for j in range(len(sensors))]])
        return _Machine(
            table, np.array([NO_TIME]), sensors, False, score[rows], time, np.zeros(len(rows), np.intp), column
        )
    found = instants(time, column)
    table = np.full((len(found.times), len(sensors)), np.nan)
    np.fmax.at(table, (found.of, column), score[rows])
    return _Machine(table, found.times, sensors, True, score[rows], time, found.of, column)


def _alone(table: Floats, cuts: Cuts) -> NDArray[np.bool_]:
    """(instants,) one sensor over the alarm cut while at least two others are present and not even over attention."""
    present = np.isfinite(table).sum(axis=1)
    over = (table > cuts.alarm).sum(axis=1)
    return np.asarray((present >= COMPANY) & (over == 1) & ((table > cuts.attention).sum(axis=1) == 1))


def _worst_two(table: Floats, cuts: Cuts) -> Floats:
    """(instants,) mean of the two worst sensors present, or the only one; a lone deviation ends at the alarm cut.

    The second counts as 0 at least: that a sensor is calmer than usual takes nothing from what the other one says.
    """
    ordered = -np.sort(-table, axis=1)  # NaN last
    second = ordered[:, 1] if table.shape[1] > 1 else np.full(len(table), np.nan)
    value = np.where(np.isnan(second), ordered[:, 0], 0.5 * (ordered[:, 0] + np.maximum(second, 0.0)))
    return np.where(_alone(table, cuts), np.minimum(value, cuts.alarm), value)


def _growth(machine: _Machine, since: np.datetime64) -> float:
    """Median slope per day of the worst sensor's score since then, over at most 200 evenly spaced instants."""
    if np.isnat(since):
        return float("nan")
    place = np.arange(np.searchsorted(machine.times, since, side="right") - 1, len(machine.times))
    place = place[np.unique(np.linspace(0, len(place) - 1, min(len(place), 200)).astype(np.intp))]
    worst = np.nanmax(machine.table[place], axis=1)
    days = (machine.times[place] - machine.times[place[0]]) / np.timedelta64(1, "D")
    first, second = np.triu_indices(len(place), 1)
    if not len(first) or days[-1] < 1.0:  # what rose in minutes tells nothing of a day
        return float("nan")
    return float(np.median((worst[second] - worst[first]) / (days[second] - days[first])))


def _judge(
    series: Floats, cuts: Cuts, machine: _Machine, sensor: int | None = None
) -> tuple[int, float, np.datetime64]:
    """Level, highest persistent score and start of the latest episode of a series over a machine's instants, NaN = absent.

    ``sensor``: the column that the series is of, where it is one sensor's.
    """
    present = np.flatnonzero(~np.isnan(series))
    value = series[present]
    if not len(value):
        return NORMAL, float("nan"), NO_TIME
    n = min(N, len(value))
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(value, n), axis=1)
    reached = {ALARM: windows[:, n - ceil(K * n / N)], ATTENTION: windows[:, 0]}
    score = float(reached[ALARM].max())
    for level, cut in ((ALARM, cuts.alarm), (ATTENTION, cuts.attention)):
        held = np.flatnonzero(reached[level] > cut)
        if len(held):
            breaks = np.flatnonzero(np.diff(held) > n)
            first = int(held[breaks[-1] + 1] if len(breaks) else held[0])
            begin = first + int(np.argmax(value[first : first + n] > cut))
            return level, score, machine.first_over(cut, int(present[begin]), sensor)
    return NORMAL, score, NO_TIME
