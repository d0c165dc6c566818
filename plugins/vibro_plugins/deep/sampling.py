"""Which rows a training step reads: minibatches, and trimming of the rows with the largest error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vibro.api import State


def minibatches(rows: NDArray[np.intp], size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The rows, shuffled, in parts of about ``size`` whose lengths differ by one at most; at least one part."""
    return list(np.array_split(rng.permutation(rows), max(1, round(len(rows) / size))))


def passes(rows: NDArray[np.intp], size: int, least: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The minibatches of an epoch: of as many passes over the rows as make about ``least`` of them, at least one."""
    count = max(1, round(least * size / len(rows)))
    return [part for _ in range(count) for part in minibatches(rows, size, rng)]


class BatchSampler:
    """Minibatches of about ``size`` rows without end: the rows are shuffled again whenever each has been drawn once."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.left: list[NDArray[np.intp]] = []

    def next(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The next batch; ``rows`` are shuffled for a new pass if none is left."""
        self.left = self.left or minibatches(rows, self.size, self.rng)
        return self.left.pop()

    def clear(self) -> None:
        """Drops the batches left of this pass."""
        self.left = []

    def state(self) -> State:
        """The batches left of this pass."""
        return {str(i): part for i, part in enumerate(self.left)}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.left = [state[str(i)] for i in range(len(state))]


def batch_size(rows: int, most: int) -> int:
    """Rows of a minibatch: at most ``most``, fewer where an epoch would have less than sixteen steps, but at least 8."""
    return min(most, max(8, rows // 16))


def nearest(error: NDArray[np.float64], trim: float) -> NDArray[np.intp]:
    """Sorted indices of the rows left when the ``trim`` share with the largest error is dropped."""
    return np.sort(np.argsort(error, kind="stable")[: len(error) - int(trim * len(error))])


class Trimming:
    """The rows trained on: all but the ``share`` with the largest error, so that anomalies are not learned.

    Before epoch ``first`` they are ``kept`` (all rows if None); from then on they are chosen again ``every`` few epochs.
    """

    def __init__(
        self, rows: NDArray[np.intp], share: float, first: int, every: int, kept: NDArray[np.intp] | None = None
    ) -> None:
        self.rows, self.share, self.first, self.every = rows, share, first, every
        self.kept = rows if kept is None else kept

    def update(self, epoch: int, error: Callable[[NDArray[np.intp]], NDArray[np.float64]]) -> bool:
        """Chooses the rows again by their ``error`` (n,) if this epoch is due; True if it was."""
        due = epoch >= self.first and (epoch - self.first) % self.every == 0
        if due:
            self.kept = self.rows[nearest(error(self.rows), self.share)]
        return due

    def state(self) -> State:
        """The rows trained on."""
        return {"kept": self.kept}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.kept = state["kept"]
