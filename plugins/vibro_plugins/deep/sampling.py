"""Which rows a step is trained on: minibatches, and trimming of the rows with the largest error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vibro.api import State


def minibatches(rows: NDArray[np.intp], size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The rows in random order in equal parts of about ``size``: no small rest, none dropped, one part if there are few."""
    return list(np.array_split(rng.permutation(rows), max(1, round(len(rows) / size))))


class Deck:
    """Rows dealt in batches of about ``size``, shuffled again whenever they have all been dealt."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.left: list[NDArray[np.intp]] = []

    def deal(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The next batch; ``rows`` is what is shuffled if none is left."""
        self.left = self.left or minibatches(rows, self.size, self.rng)
        return self.left.pop()

    def clear(self) -> None:
        """Nothing is left."""
        self.left = []

    def state(self) -> State:
        """The batches left."""
        return {str(i): part for i, part in enumerate(self.left)}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.left = [state[str(i)] for i in range(len(state))]


def batch_size(rows: int, most: int) -> int:
    """Rows of a minibatch: ``most``, fewer where an epoch would have less than sixteen steps, but at least 8."""
    return min(most, max(8, rows // 16))


def nearest(error: NDArray[np.float64], trim: float) -> NDArray[np.intp]:
    """Sorted indices of the rows left when the ``trim`` share with the largest error is dropped."""
    return np.sort(np.argsort(error, kind="stable")[: len(error) - int(trim * len(error))])


class Trimming:
    """Which of the rows are trained on: all, or those of ``kept``; then, every few epochs, all but the ``share`` with the
    largest error, so that anomalies among them are not learned.
    """

    def __init__(
        self, rows: NDArray[np.intp], share: float, first: int, every: int, kept: NDArray[np.intp] | None = None
    ) -> None:
        self.rows, self.share, self.first, self.every = rows, share, first, every
        self.kept = rows if kept is None else kept

    def look(self, epoch: int, error: Callable[[NDArray[np.intp]], NDArray[np.float64]]) -> bool:
        """Chooses anew if it is time, by ``error`` of rows (n,); True if so."""
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
