"""The two tasks that a worker is given, fit and score, and the result that it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Detector, Params, State
from vibro.context import Context

SCORE_ROWS = 1024  # rows handed to one call of score
PART_ROWS = 16 * SCORE_ROWS  # rows that one task scores


@dataclass(frozen=True)
class ArrayRef:
    """An array as a task gets it: itself in this process, the path of a ``.npy`` file in another one."""

    array: NDArray[Any] | None = None
    path: Path | None = None

    def open(self) -> NDArray[Any]:
        """The array, read-only."""
        if self.array is not None:
            return self.array
        return np.load(self.path, mmap_mode="r", allow_pickle=False)  # type: ignore[arg-type,no-any-return]


@dataclass(frozen=True)
class FitTask:
    """What a detector is fitted on: rows of a view in a fixed order, fold and group of each, labels where it learns from them.

    ``trusted``: which of the rows may be learned from; all are scored. ``copies``: the same view of disturbed copies of
    records, ``copy_of`` (m,) the index into ``rows`` of each one's source.
    """

    id: str
    cls: type[Detector]
    params: Params
    ctx: Context
    x: ArrayRef
    rows: NDArray[np.intp]
    fold: NDArray[np.int8]
    cross_fit: bool
    y: NDArray[np.int16] | None = None
    group: NDArray[np.intp] | None = None
    trusted: NDArray[np.bool_] | None = None
    copies: ArrayRef | None = None
    copy_of: NDArray[np.intp] | None = None


@dataclass(frozen=True)
class ScoreTask:
    """A fitted detector and the rows of a view that it scores, from ``start`` to ``stop``, None = the last."""

    id: str
    cls: type[Detector]
    params: Params
    ctx: Context
    x: ArrayRef
    state: State
    start: int = 0
    stop: int | None = None

    def parts(self, n: int) -> list[ScoreTask]:
        """The same for ``n`` rows in parts whose calls of ``score`` are those of the whole."""
        starts = range(0, max(n, 1), PART_ROWS)
        return [replace(self, start=start, stop=start + PART_ROWS) for start in starts]


@dataclass(frozen=True)
class DetectorResult:
    """What came of one detector: its learned state, held-out reference scores (NaN = none) and scores of every row.

    ``holdout_state`` is that of the detector that has not seen the rows of the lowest fold: the one that scored them.
    ``loss``: after each epoch of the final training, by which it was stopped; ``stopped_on``: the rows that it was taken from.
    """

    id: str
    status: str = "ok"  # ok, excluded, failed
    reason: str = ""
    error: str = ""
    phase: str = ""
    state: State = field(default_factory=dict)
    holdout_state: State = field(default_factory=dict)
    reference: NDArray[np.float64] | None = None
    scores: NDArray[np.float64] | None = None
    health: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    loss: tuple[float, ...] = ()
    stopped_on: tuple[int, ...] = ()

    def told(self) -> DetectorResult:
        """The result without its arrays."""
        return replace(self, state={}, holdout_state={}, reference=None, scores=None)


def joined(parts: Sequence[DetectorResult]) -> DetectorResult:
    """One result of the parts of a task; that of a part that failed if there is one."""
    failed = [part for part in parts if part.status != "ok"]
    if failed or len(parts) == 1:
        return (failed or parts)[0]
    scores = np.concatenate([part.scores for part in parts if part.scores is not None])
    return replace(parts[0], scores=scores, score_seconds=sum(part.score_seconds for part in parts))
