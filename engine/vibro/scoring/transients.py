"""Transients: what takes most sensors of a machine at one instant, as a burst, and is gone at the next.

A tap change or a start is rare and far from the usual, but no fault. It is told by what it is, never by how often it
happens: most sensors at once, impulsive (the first column of ``vibro.scoring.signature``), quiet before and after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, factorial

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.scoring.instants import instants

MOST, LEAST = 0.6, 3  # of a machine's sensors that an event takes
FEW = 0.2  # of them that may stand out just before or after it
FAR = 3.0  # robust deviations of the reference scores from which a record stands out
LASTING = 6.0  # of them from which it stands out even without a burst, beside an event
IMPULSIVE = 5.0  # robust deviations of the sensor's own records from which a burst stands out
REACH = 10  # usual periods within which the record before or after tells whether an event lasted
CHANCE = 0.05  # probability of as many pairs of neighbouring transients as there are, below which they are no chance
AS_IMPULSIVE = 0.4  # of the machine's usual single event that every other must be

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Transient:
    """An event of one machine: when it began, how many sensors it took, and the rows of their records in the batch."""

    machine: str
    time: np.datetime64
    sensors: int
    rows: NDArray[np.intp]


@dataclass(frozen=True)
class Transients:
    """``events`` that are over, in order of machine and time; ``pending`` at the newest instant, which has no next yet."""

    events: tuple[Transient, ...] = ()
    pending: tuple[Transient, ...] = ()

    def without(self, rows: NDArray[np.bool_]) -> Transients:
        """Less these records (n,); an event that keeps none is no event."""

        def kept(events: tuple[Transient, ...]) -> tuple[Transient, ...]:
            left = (replace(event, rows=event.rows[~rows[event.rows]]) for event in events)
            return tuple(event for event in left if len(event.rows))

        return Transients(kept(self.events), kept(self.pending))

    def mask(self, n: int) -> NDArray[np.bool_]:
        """(n,) the records of ``events``."""
        mask = np.zeros(n, np.bool_)
        for event in self.events:
            mask[event.rows] = True
        return mask


def standing_out(reference: Floats, deviations: float = FAR) -> float:
    """The score from which a record stands out of the held-out reference scores (r,): median and MAD."""
    known = reference[np.isfinite(reference)]
    if not len(known):
        return np.inf
    middle = np.median(known)
    return float(middle + deviations * 1.4826 * np.median(np.abs(known - middle)))


def find_transients(
    batch: SignalBatch, score: Floats, impulse: NDArray[np.floating], reference: Floats, judged: NDArray[np.bool_]
) -> Transients:
    """The transients of every machine of a batch.

    ``score`` (n,) fused, ``impulse`` (n,) how impulsive each record is for its sensor, ``reference`` (r,) fused held-out
    scores, ``judged`` (n,) rows whose score counts. Records without a time belong to no event. An event is gone at an
    instant whose records are not impulsive and at most a little out: an unusual load is no sign that it lasts.
    """
    far = score > standing_out(reference)
    lasting = (far & (impulse > IMPULSIVE)) | (score > standing_out(reference, LASTING))
    events: list[Transient] = []
    pending: list[Transient] = []
    usable = np.flatnonzero(judged & ~np.isnat(batch.time))
    usable = usable[np.argsort(batch.machine[usable], kind="stable")]
    ends = np.searchsorted(batch.machine[usable], np.arange(len(batch.machines) + 1))
    for code, name in enumerate(batch.machines):
        rows = usable[ends[code] : ends[code + 1]]
        if len(np.unique(batch.sensor[rows])) >= LEAST:
            for found in _no_surprise(*_of_machine(batch, name, rows, far[rows], impulse[rows], lasting[rows])):
                (events if found.over else pending).append(found.event)
    return Transients(tuple(events), tuple(pending))


@dataclass(frozen=True)
class _Candidate:
    """An event, whether it is over, whether it is one of a pair at instants in a row, and its usual sensor's impulse."""

    event: Transient
    over: bool
    paired: bool
    impulse: float


def _of_machine(
    batch: SignalBatch,
    name: str,
    rows: NDArray[np.intp],
    far: NDArray[np.bool_],
    impulse: NDArray[np.floating],
    lasting: NDArray[np.bool_],
) -> tuple[list[_Candidate], int]:
    """What takes most sensors of one machine for one instant or two, and the number of its instants."""
    sensor = np.unique(batch.sensor[rows], return_inverse=True)[1]
    found = instants(batch.time[rows], sensor)
    record = np.full((len(found.times), int(sensor.max()) + 1), -1)
    record[found.of, sensor] = np.arange(len(rows))  # a sensor's last record of an instant stands for it
    present = record >= 0
    out, impulsive, stays = (table[record] & present for table in (far, impulse > IMPULSIVE, lasting))
    struck = (out & impulsive).sum(axis=1)
    reach = np.timedelta64(REACH * found.period, "ns")
    candidates = []
    for first, last in _runs(struck >= np.maximum(LEAST, MOST * present.sum(axis=1))):
        if last - first > 1:
            continue
        earliest = int(np.searchsorted(found.times, found.times[first] - reach))
        latest = int(np.searchsorted(found.times, found.times[last] + reach, side="right"))
        before, _ = _nearest(stays[earliest:first][::-1], present[earliest:first][::-1])
        after, told = _nearest(stays[last + 1 : latest], present[last + 1 : latest])
        for i in range(first, last + 1):
            mine = out[i] & impulsive[i]
            over = bool(told[mine].mean() >= 0.5)
            newest = not present[last + 1 :, mine].any()
            if max(before[mine].mean(), after[mine].mean()) <= FEW and (over or newest):
                taken = record[i, (out[i] | impulsive[i]) & ~before & ~after]
                event = Transient(name, found.times[i], len(taken), rows[taken])
                candidates.append(_Candidate(event, over, last > first, float(np.median(impulse[record[i, mine]]))))
    return candidates, len(found.times)


def _no_surprise(candidates: list[_Candidate], instants: int) -> list[_Candidate]:
    """Events about as impulsive as the machine's usual single one, and pairs if so many are no surprise by chance.

    A fault that shows at one instant or two and rattles would be weaker than a tap change, and a pair. If events fall on
    instants independently, m of them in n instants give about m^2 / n pairs, a Poisson number.
    """
    impulses = [c.impulse for c in candidates if not c.paired]
    least = AS_IMPULSIVE * float(np.median(impulses)) if impulses else np.inf
    kept = [c for c in candidates if c.impulse >= least]
    single = [c for c in kept if not c.paired]
    pairs = (len(kept) - len(single)) // 2
    expected = len(kept) ** 2 / instants
    surprise = pairs and 1 - sum(exp(-expected) * expected**k / factorial(k) for k in range(pairs)) < CHANCE
    return single if surprise else kept


def _runs(event: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of events."""
    edges = np.diff(np.concatenate([[0], event.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def _nearest(stays: NDArray[np.bool_], present: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(sensors,) whether the event is still in each sensor's nearest record, and whether it has one; nearest instant first."""
    known = np.asarray(present.any(axis=0), np.bool_)
    if not len(stays):
        return known, known
    return np.asarray(stays[present.argmax(axis=0), np.arange(stays.shape[1])] & known), known
