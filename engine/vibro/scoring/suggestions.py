"""Which records, once labelled, would tell most: first some of both classes as they usually are, then those on whose side of
a cut the verdict hangs, on which detectors differ, the worst of each event, and normal records unlike those chosen before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scoring.instants import instants
from vibro.scoring.marks import Look
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ALARM, ATTENTION, NORMAL, Verdict

KINDS = ("event", "cut", "disagreement", "normal")
FIRST = 20  # records of the kinds event and normal alone

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Suggestion:
    """A record by its row, the kind of what its label would tell, and why in a sentence."""

    row: int
    kind: str
    reason: str


def suggest(
    batch: SignalBatch,
    verdict: Verdict,
    cuts: Cuts,
    look: Look,
    detectors: tuple[str, ...],
    barred: NDArray[np.bool_],
    n: int,
    known: int = 0,
) -> list[Suggestion]:
    """Up to n records: until 20 are labelled both classes as they usually are, then those that would move most.

    The first are in turn a record of an event and one that all detectors find normal, drawn at random: from extremes alone no
    classifier learns where the border lies. The others are taken in turn from four kinds: the worst record of an event,
    nearest to the alarm cut, detectors on both sides of their cuts, and normal for all; of a kind the record that is best at
    it and unlike those chosen before: its value times its distance from the nearest chosen one, up to the usual distance.
    Of one event one record is taken. ``barred`` (n,) rows need no label; ``known`` have one.
    """
    event = events_of(batch, np.isin(verdict.level, (ATTENTION, ALARM)))
    score, spread = verdict.persistent, float(np.nanstd(verdict.persistent)) or 1.0
    open_rows = ~barred & batch.valid & np.isfinite(score)
    raised = open_rows & (event >= 0)
    peak = np.array([_is_peak(i, event, score) if raised[i] else False for i in range(len(batch))], np.bool_)
    value = {
        "event": np.where(peak, _rank(score), 0.0),
        "cut": np.where(open_rows, np.exp(-np.abs(score - cuts.alarm) / (0.1 * spread + 1e-12)), 0.0),
        "disagreement": np.where(open_rows, 1.0 - np.abs(2.0 * np.nan_to_num(verdict.agreement, nan=1.0) - 1.0), 0.0),
        "normal": np.where(open_rows & (verdict.level == NORMAL) & ~verdict.exceedances.any(axis=1), 1.0, 0.0),
    }
    chosen: list[Suggestion] = []
    nearest, order = np.ones(len(batch)), 1.0 + np.random.default_rng(0).permutation(len(batch))
    taken = ~open_rows
    usual = _usual(look)
    while len(chosen) < n and any((v[~taken] > 0).any() for v in value.values()):
        first = known + len(chosen) < FIRST
        kind = (KINDS[0], KINDS[-1])[len(chosen) % 2] if first else KINDS[len(chosen) % len(KINDS)]
        worth = np.where(taken, 0.0, np.where(raised, order, 0.0) if first and kind == KINDS[0] else value[kind])
        if not (worth > 0).any():
            kind = max(KINDS, key=lambda k: float(np.where(taken, 0.0, value[k]).max()))
            worth = np.where(taken, 0.0, value[kind])
        row = int(np.argmax(np.where(worth > 0, order, 0.0) if first else worth * nearest))
        chosen.append(Suggestion(row, kind, _REASONS[kind](row, verdict, cuts, event, detectors)))
        taken[row] = True
        taken |= (event == event[row]) & (event[row] >= 0)
        apart = look.apart(look.take(np.full(len(batch), row, np.intp))) / usual
        distance = np.where(
            np.isfinite(apart).any(axis=1), np.nanmean(np.where(np.isfinite(apart), apart, np.nan), axis=1), 1.0
        )
        nearest = np.minimum(nearest, np.clip(distance, 0.02, 1.0))
    return chosen


def events_of(batch: SignalBatch, raised: NDArray[np.bool_]) -> Index:
    """(n,) the event of each raised record, -1 of the others: raised records of a machine at instants in a row; without
    times those of a recording."""
    event = np.full(len(batch), -1, np.intp)
    count = 0
    for machine in np.unique(batch.machine[raised]):
        rows = np.flatnonzero(batch.machine == machine)
        if np.isnat(batch.time[rows]).any():
            own = np.unique(batch.recording[rows[raised[rows]]], return_inverse=True)[1]
        else:
            of = instants(batch.time[rows], batch.sensor[rows]).of
            up = np.unique(of[raised[rows]])
            number = np.cumsum(np.r_[0, np.diff(up) > 1])
            own = number[np.searchsorted(up, of[raised[rows]])]
        event[rows[raised[rows]]] = count + own
        count += int(own.max()) + 1
    return event


def _is_peak(i: int, event: Index, score: Floats) -> bool:
    mates = np.flatnonzero(event == event[i])
    return bool(mates[np.nanargmax(score[mates])] == i)


def _rank(score: Floats) -> Floats:
    """(n,) rank from 0 to 1, 1 = the highest; 0 without a score."""
    known = np.isfinite(score)
    rank = np.zeros(len(score))
    rank[known] = (np.argsort(np.argsort(score[known], kind="stable")) + 1) / max(1, known.sum())
    return rank


def _usual(look: Look) -> Floats:
    """(2,) the median distance, by signature and by z, of records from the next ones in a shuffled order."""
    order = np.random.default_rng(0).permutation(len(look))
    apart = look.take(order[:-1]).apart(look.take(order[1:]))
    found = [column[np.isfinite(column)] for column in apart.T]
    return np.array([float(np.median(c)) or 1.0 if len(c) else 1.0 for c in found])


def _event(row: int, verdict: Verdict, cuts: Cuts, event: Index, detectors: tuple[str, ...]) -> str:
    size = int((event == event[row]).sum())
    return f"one of an event of {size} raised records, of which one is enough: its type would be a class"


def _cut(row: int, verdict: Verdict, cuts: Cuts, event: Index, detectors: tuple[str, ...]) -> str:
    side = "above" if verdict.persistent[row] > cuts.alarm else "below"
    return f"score {verdict.persistent[row]:.3g} just {side} the alarm cut {cuts.alarm:.3g}: would move the cut"


def _disagreement(row: int, verdict: Verdict, cuts: Cuts, event: Index, detectors: tuple[str, ...]) -> str:
    over = [name for name, up in zip(detectors, verdict.exceedances[row], strict=True) if up]
    who = f"only {', '.join(over)} exceed their cuts" if over else "no detector exceeds its cut, the fused score does"
    return f"{who}: would move the weights"


def _normal(row: int, verdict: Verdict, cuts: Cuts, event: Index, detectors: tuple[str, ...]) -> str:
    return "normal for all detectors and unlike what is chosen so far: would show what normal is"


_REASONS: dict[str, Callable[[int, Verdict, Cuts, Index, tuple[str, ...]], str]] = {
    "event": _event,
    "cut": _cut,
    "disagreement": _disagreement,
    "normal": _normal,
}
