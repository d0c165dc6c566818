"""Exact nearest neighbours, and the two scores made of them: kNN distance and local outlier factor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, NotApplicableError, State
from vibro_plugins.stats.columns import BLOCK, evenly_spaced

MOST_ROWS = 8_192  # kept to be compared with: else the work for all records grows with the square of their number
SAME = 0.03  # of the distance to the next row within which the nearest is the row itself
SPARE = 8  # candidates beyond k whose distances are recomputed, since the fast ones are rounded
ROUNDED = 4 * float(np.finfo(np.float32).eps)  # times terms and squares: more than a product in float32 is rounded by
AT_ONCE = 1 << 18  # differences held in memory
GROUP = 32  # values that are looked at together for the smallest


class Neighbours:
    """k nearest fit rows by Euclidean distance, without the row itself: one at distance 0, or many times nearer than the next.

    So a fit row is scored as if it had been left out, whenever it comes again, in another unit, format or rounding too.
    """

    def __init__(self, k: int) -> None:
        if not isinstance(k, int) or k < 1:
            raise ConfigError(f"n_neighbors is a whole number from 1, not {k!r}")
        self.k = k

    def store(self, rows: NDArray[np.float32]) -> None:
        """Keeps the rows (n, p), or ``MOST_ROWS`` of them evenly spaced; k is lowered to n - 1 where needed.

        Few rows are enough to tell what lies far from all of them: Sugiyama and Borgwardt, NIPS 2013.
        """
        if len(rows) < 2:
            raise NotApplicableError("one fit row has no neighbours; 2 are needed")
        self.rows = rows = rows[evenly_spaced(len(rows), MOST_ROWS)]
        self._stored = rows.astype(np.float64)
        self._square = np.einsum("ij,ij->i", self._stored, self._stored)
        self._turned = np.ascontiguousarray(-2 * self._stored.T)
        self._small = self._turned.astype(np.float32), self._square.astype(np.float32)
        self._k = min(self.k, len(rows) - 1)

    def query(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Distances and indices (n, k), nearest first: candidates by inner products, their distances by differences.

        The products are in float32, and once more in float64 for rows of which a neighbour might hide behind their rounding.
        """
        asked, count = rows.astype(np.float64), min(self._k + 1 + SPARE, len(self._stored))
        turned, square = self._small
        fast = rows.astype(np.float32) @ turned
        fast += square
        candidates = np.sort(smallest(fast, count), axis=1)
        exact = self._squared(asked, candidates)
        if count < len(self._stored):
            size = np.einsum("ij,ij->i", asked, asked)
            reach = size + np.take_along_axis(fast, candidates, axis=1).max(
                axis=1
            )  # no other row is nearer, but for rounding
            reach -= ROUNDED * (asked.shape[1] + 4) * (size + self._square.max())
            unsure = np.flatnonzero(~(np.partition(exact, self._k, axis=1)[:, self._k] < reach))
            if len(unsure):
                wide = asked[unsure] @ self._turned
                wide += self._square
                candidates[unsure] = np.sort(smallest(wide, count), axis=1)
                exact[unsure] = self._squared(asked[unsure], candidates[unsure])
        order = np.argsort(exact, axis=1, kind="stable")
        first, second = np.take_along_axis(exact, order[:, :2], axis=1).T[..., None]
        itself = (first == 0) | (first < SAME**2 * second)
        order = np.where(itself, order[:, 1 : self._k + 1], order[:, : self._k])
        return np.sqrt(np.take_along_axis(exact, order, axis=1)), np.take_along_axis(candidates, order, axis=1)

    def _squared(self, asked: NDArray[np.float64], candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """Squared distances (n, c) of rows (n, p) from their candidates (n, c)."""
        exact = np.empty(candidates.shape)
        step = max(1, AT_ONCE // max(1, candidates.shape[1] * asked.shape[1]))
        for i in range(0, len(asked), step):
            difference = self._stored[candidates[i : i + step]] - asked[i : i + step, None]
            exact[i : i + step] = np.sum(difference * difference, axis=2)
        return exact


def smallest(values: NDArray[np.floating[Any]], count: int) -> NDArray[np.intp]:
    """Columns (m, count) of the smallest values of each row (m, n), in any order.

    Each of them lies in one of the ``count`` groups of columns whose smallest values are smallest, and those are quicker to find.
    """
    m, n = values.shape
    groups = n // GROUP
    if groups < 2 * count:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    lowest = values[:, : groups * GROUP].reshape(m, GROUP, groups).min(axis=1)
    some = np.argpartition(lowest, count - 1, axis=1)[:, :count, None] + groups * np.arange(GROUP)
    rest = np.broadcast_to(np.arange(groups * GROUP, n), (m, n - groups * GROUP))
    columns = np.concatenate([some.reshape(m, -1), rest], axis=1)
    best = np.argpartition(np.take_along_axis(values, columns, axis=1), count - 1, axis=1)[:, :count]
    return np.take_along_axis(columns, best, axis=1)


class NearestDistance:
    """kNN: distance to the k-th, or mean or median over the k nearest (Ramaswamy et al., SIGMOD 2000)."""

    block = BLOCK
    settings: ClassVar[dict[str, Any]] = {"n_neighbors": 5, "method": "largest"}

    def __init__(self, n_neighbors: int, method: str) -> None:
        self.neighbours = Neighbours(n_neighbors)
        reduce = {"largest": np.max, "mean": np.mean, "median": np.median}
        if method not in reduce:
            raise ConfigError(f"method is one of {', '.join(reduce)}, not {method!r}")
        self.reduce = reduce[method]

    def fit(self, rows: NDArray[np.float32]) -> None:
        """Stores the rows (n, p)."""
        self.neighbours.store(rows)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, p) -> (n,)."""
        return np.asarray(self.reduce(self.neighbours.query(rows)[0], axis=1))

    def state(self) -> State:
        """The stored rows."""
        return {"rows": self.neighbours.rows}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.fit(state["rows"])


class LocalOutlierFactor:
    """LOF: density of the k neighbours over that of the row (Breunig et al., SIGMOD 2000), as novelty detection."""

    block = BLOCK
    settings: ClassVar[dict[str, Any]] = {"n_neighbors": 20}

    def __init__(self, n_neighbors: int) -> None:
        self.neighbours = Neighbours(n_neighbors)

    def fit(self, rows: NDArray[np.float32]) -> None:
        """Stores the rows (n, p) as ``Neighbours`` does, their k-distances and local reachability densities."""
        self.neighbours.store(rows)
        rows = self.neighbours.rows
        found = [self.neighbours.query(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
        distance, index = (np.concatenate(part) for part in zip(*found, strict=True))
        self.reach = distance[:, -1]
        self.density = self._density(distance, index)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, p) -> (n,)."""
        distance, index = self.neighbours.query(rows)
        return np.mean(self.density[index], axis=1) / self._density(distance, index)

    def state(self) -> State:
        """The stored rows, their k-distances and densities."""
        return {"rows": self.neighbours.rows, "reach": self.reach, "density": self.density}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.neighbours.store(state["rows"])
        self.reach, self.density = state["reach"], state["density"]

    def _density(self, distance: NDArray[np.float64], index: NDArray[np.intp]) -> NDArray[np.float64]:
        """Inverse mean reachability distance."""
        return 1 / (np.mean(np.maximum(distance, self.reach[index]), axis=1) + 1e-10)
