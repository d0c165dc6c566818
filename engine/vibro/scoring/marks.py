"""The user's word on records: what was marked as benign is not alarmed again, nor what is as near to it as normal records
are to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

KINDS = ("normal", "fault", "benign")
NORMAL, FAULT, BENIGN = range(3)
NEAR = 0.95  # share of the pairs of normal records of one sensor that count as near to each other

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What n records look like: ``signature`` (n, k) in the spreads of their sensors, ``z`` (n, d) of the detectors, NaN =
    no score, and ``group`` (n,) the sensor whose records they may be compared with, -1 = those that have too few."""

    signature: NDArray[np.float32]
    z: Floats
    group: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.group)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Look:
        """Only these records."""
        return Look(self.signature[rows], self.z[rows], self.group[rows])

    def apart(self, other: Look) -> Floats:
        """(n, 2) root mean square difference from as many other records: of signatures, of z; NaN where one is not known."""
        with np.errstate(invalid="ignore"):
            return np.stack([_rms(self.signature - other.signature), _rms(self.z - other.z)], axis=1)


def _rms(difference: NDArray[np.floating]) -> Floats:
    """(n,) over what is known of each row."""
    known = np.isfinite(difference)
    total = np.where(known, np.asarray(difference, np.float64) ** 2, 0.0).sum(axis=1)
    mean = np.divide(total, known.sum(axis=1), out=np.full(len(known), np.nan), where=known.any(axis=1))
    return np.asarray(np.sqrt(mean))


def usual_distance(normal: Look) -> Floats:
    """(2,) the distances, by signature and by z, within which pairs of normal records of one sensor usually lie."""
    pairs = [np.zeros((0, 2))]
    for group in np.unique(normal.group):
        rows = np.flatnonzero(normal.group == group)
        half = len(rows) // 2
        pairs.append(normal.take(rows[:half]).apart(normal.take(rows[half : 2 * half])))
    known = np.concatenate(pairs)
    known = known[np.isfinite(known).all(axis=1)]
    return np.asarray(np.quantile(known, NEAR, axis=0)) if len(known) else np.zeros(2)


@dataclass(frozen=True)
class Marks:
    """m marked records: ``ids`` (m,), ``kind`` int8 (m,) into ``KINDS``, what they look like, and ``near`` (2,), the usual
    distance between normal records."""

    ids: NDArray[np.str_]
    kind: NDArray[np.int8]
    look: Look
    near: Floats

    @classmethod
    def none(cls, normal: Look) -> Marks:
        """No marks yet, and how near to each other normal records are."""
        no = np.zeros(0, np.intp)
        return cls(np.zeros(0, np.str_), np.zeros(0, np.int8), normal.take(no), usual_distance(normal))

    def joined(self, later: Marks) -> Marks:
        """With later marks; they win over earlier ones of the same record."""
        old = ~np.isin(self.ids, later.ids)
        return replace(
            self,
            ids=np.concatenate([self.ids[old], later.ids]),
            kind=np.concatenate([self.kind[old], later.kind]),
            look=Look(
                np.concatenate([self.look.signature[old], later.look.signature]),
                np.concatenate([self.look.z[old], later.look.z]),
                np.concatenate([self.look.group[old], later.look.group]),
            ),
        )

    def harmless(self, ids: NDArray[np.str_], look: Look) -> NDArray[np.bool_]:
        """(n,) records that are marked as normal or benign, or near to a benign one and nearer to it than to any fault."""
        said = self.said(ids)
        distance = {kind: np.full(len(ids), np.inf) for kind in (BENIGN, FAULT)}
        for j in np.flatnonzero(self.kind != NORMAL):
            rows = np.flatnonzero((look.group == self.look.group[j]) & (said < 0))
            apart = look.take(rows).apart(self.look.take(np.full(len(rows), j)))
            inside = (apart <= self.near).all(axis=1)
            nearest = distance[int(self.kind[j])]
            nearest[rows[inside]] = np.minimum(nearest[rows[inside]], apart[inside, 0])
        near = distance[BENIGN] < distance[FAULT]
        return np.asarray((said == NORMAL) | (said == BENIGN) | near)

    def said(self, ids: NDArray[np.str_]) -> NDArray[np.int8]:
        """(n,) what each record itself is marked as, -1 = nothing."""
        kind = dict(zip(self.ids.tolist(), self.kind.tolist(), strict=True))
        return np.array([kind.get(i, -1) for i in ids.tolist()], dtype=np.int8)
