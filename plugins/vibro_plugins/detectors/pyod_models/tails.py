"""Detectors that sum the rarity of each value over the columns: ECOD, COPOD and HBOS, against the fit rows."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vibro.api import ConfigError, State
from vibro_plugins.stats.columns import BLOCK


class Tails:
    """Sum over columns of -log tail probabilities in the empirical distribution of the fit rows.

    L, R: shares of the fit rows <= and >= a value (at least 1/n); -log S: that of the longer tail of the column by the sign of
    its skewness, their sum at skewness 0.
    ECOD sums max(-log L, -log R, -log S) (Li et al., IEEE TKDE 35, 2023),
    COPOD sums max(-log S, (-log L - log R) / 2) (Li et al., ICDM 2020).
    On the fit rows this equals PyOD's; PyOD's score of other rows depends on the batch.
    """

    block = BLOCK
    settings: ClassVar[dict[str, Any]] = {}
    copula = False

    def fit(self, rows: NDArray[np.float32]) -> None:
        """Sorts the columns of (n, p)."""
        wide = rows.astype(np.float64)
        self.sorted = np.ascontiguousarray(np.sort(rows, axis=0).T)
        self.skew = np.sign(np.mean((wide - wide.mean(axis=0)) ** 3, axis=0)).astype(np.int8)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, p) -> (n,)."""
        n = self.sorted.shape[1]
        surprise = -np.log(np.maximum(np.arange(n + 1), 1) / n)
        total = np.zeros(len(rows))
        for column, skew, values in zip(self.sorted, self.skew, np.ascontiguousarray(rows.T), strict=True):
            left = surprise[np.searchsorted(column, values, side="right")]
            right = surprise[n - np.searchsorted(column, values, side="left")]
            long = right if skew > 0 else left if skew < 0 else left + right
            total += np.maximum(long, (left + right) / 2 if self.copula else np.maximum(left, right))
        return total

    def state(self) -> State:
        """Sorted columns and the signs of their skewness."""
        return {"sorted": self.sorted, "skew": self.skew}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.sorted, self.skew = state["sorted"], state["skew"]


class CopulaTails(Tails):
    """COPOD."""

    copula = True


class Histograms:
    """HBOS: minus the summed log2 density of ``n_bins`` equal bins a column (Goldstein, Dengel, KI 2012), as in PyOD.

    ``alpha`` is added to each density; a value outside counts as in the last bin up to ``tol`` bin widths away, and as in
    the emptiest bin beyond.
    """

    block = BLOCK
    settings: ClassVar[dict[str, Any]] = {"n_bins": 10, "alpha": 0.1, "tol": 0.5}

    def __init__(self, n_bins: int, alpha: float, tol: float) -> None:
        if not isinstance(n_bins, int) or n_bins < 2:
            raise ConfigError(f"n_bins is a whole number from 2, not {n_bins!r}")
        self.n_bins, self.alpha, self.tol = n_bins, alpha, tol

    def fit(self, rows: NDArray[np.float32]) -> None:
        """Histograms of the columns of (n, p)."""
        made = [np.histogram(column, self.n_bins, density=True) for column in rows.T.astype(np.float64)]
        self.rarity = np.array([-np.log2(density + self.alpha) for density, _ in made])
        self.edges = np.array([edges for _, edges in made])

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, p) -> (n,)."""
        total = np.zeros(len(rows))
        for edges, rarity, values in zip(self.edges, self.rarity, rows.T.astype(np.float64), strict=True):
            margin = self.tol * (edges[1] - edges[0])
            outside = (values < edges[0] - margin) | (values > edges[-1] + margin)
            bins = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(rarity) - 1)
            total += np.where(outside, rarity.max(), rarity[bins])
        return total

    def state(self) -> State:
        """Edges and rarity of the bins."""
        return {"edges": self.edges, "rarity": self.rarity}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.edges, self.rarity = state["edges"], state["rarity"]
