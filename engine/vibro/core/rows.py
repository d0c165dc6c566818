"""Rows of a batch by their use."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch


@dataclass(frozen=True)
class Rows:
    """Rows of a batch by their use: ``fit`` (with a fold each, and a group that lies in one fold) and how they were chosen.

    Detectors that cross-fit use every fold in turn as held-out reference; the others are fitted once on all folds but
    fold 0, which is their reference. ``judged_held_out``: fit rows keep the scores that they had when they were held out,
    as a baseline does, which later records are compared with. ``clean``: rows that the user calls normal, of which none is
    left out of a fit. ``alike`` (sensors,): the group of like sensors of each sensor of the batch, -1 = none.
    """

    fit: NDArray[np.intp]
    fold: NDArray[np.int8]
    strategy: str
    group: NDArray[np.intp]
    judged_held_out: bool = False
    clean: bool = False
    alike: NDArray[np.int32] | None = None

    def by_id(self, batch: SignalBatch) -> Rows:
        """The rows in the order of their record ids, so that the order of the input decides nothing."""
        order = np.argsort(batch.ids[self.fit], kind="stable")
        return replace(self, fit=self.fit[order], fold=self.fold[order], group=self.group[order])


def evenly_spaced(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most this many of the rows, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.intp))]
