"""A vector in three channels: its values, the same whitened, and what its nearest sound records leave unexplained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vibro.api import NotApplicableError, State
from vibro_plugins.deep.detector import require_trainable
from vibro_plugins.stats.columns import BLOCK, evenly_spaced, one_thread
from vibro_plugins.stats.covariance import Scatter, concentrate
from vibro_plugins.stats.neighbours import MOST_ROWS, smallest

LIMIT = 20.0  # channel values are clipped here
CLIP = 12.0  # standardised values are clipped here
TRIM, ROUNDS = 0.15, 4  # of the scatter
SHARE, FEWEST, MOST = 0.1, 8, 100  # nearest rows that a residual is taken from: a tenth, within these bounds


@dataclass(frozen=True)
class Channels:
    """Medians and scales of a vector's columns, the scatter of the fit rows, and the rows that neighbours are sought among.

    Fit rows lie nearer to themselves than new ones would: so where rows are trained on, ``own`` names the fit row that each
    is, or was made from, and both channels are computed as if that one had been left out. Of many rows ``MOST_ROWS`` are kept.
    """

    centre: NDArray[np.float64]  # (d,)
    factor: NDArray[np.float64]  # (d,) 1 / scale, 0 where nothing varies
    scatter: Scatter
    rows: NDArray[np.float64]  # (r, d) standardised
    index: NDArray[np.intp]  # (r,) which fit row each of them is

    @classmethod
    def fit(cls, x: NDArray[np.float32]) -> Self:
        """From vectors (n, d); NotApplicableError where they cannot be learned from."""
        require_trainable(x)
        low, middle, high = np.quantile(x.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
        scale = np.maximum(
            (high - low) / 1.349, 0.05 * np.clip(x - middle, *np.quantile(x - middle, [0.01, 0.99])).std(axis=0)
        )
        varies = scale > 1e-6 * max(float(np.abs(middle).max()), 1e-30)
        if not varies.any():
            raise NotApplicableError(f"the view is constant over most of the {len(x)} fit rows")
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=varies)
        z = np.clip((x - middle) * factor, -CLIP, CLIP)[:, varies]
        with one_thread():
            scatter, inside = concentrate(z, TRIM, ROUNDS)
        kept = inside[evenly_spaced(len(inside), MOST_ROWS)]
        return cls(middle, factor, scatter, z[kept], kept)

    @property
    def width(self) -> int:
        """Columns that vary."""
        return self.rows.shape[1]

    def used(self) -> dict[str, float]:
        """``rows_used``: how many rows others are compared with, where not all; for a detector's health."""
        return {"rows_used": float(len(self.rows))} if len(self.rows) < self.scatter.rows else {}

    def apply(self, x: NDArray[Any], own: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """(n, d) -> (n, 3, columns that vary); ValueError for vectors of another length."""
        if x.shape[1:] != self.centre.shape:
            raise ValueError(f"vectors of {x.shape[1:]} values, but those of the fit had {self.centre.shape}")
        out = np.empty((len(x), 3, self.width), np.float32)
        for i in range(0, len(x), BLOCK):
            out[i : i + BLOCK] = self._block(x[i : i + BLOCK], None if own is None else own[i : i + BLOCK])
        return out

    def by_column(self, parts: NDArray[np.float64], x: NDArray[Any]) -> NDArray[np.float64]:
        """Parts of a score that the channels of vectors x make, (n, 3, columns that vary), as parts of the columns (n, d).

        A whitened value is a sum over columns: its part is theirs in proportion to what each adds.
        """
        varies = self.factor > 0
        z = np.clip((x - self.centre) * self.factor, -CLIP, CLIP)[:, varies]
        moved = z @ self.scatter.whiten
        share = np.divide(parts[:, 1], moved, out=np.zeros_like(moved), where=np.abs(moved) > 1e-9)
        out = np.zeros((len(x), len(self.centre)))
        out[:, varies] = parts[:, 0] + parts[:, 2] + z * (share @ self.scatter.whiten.T)
        return out

    def _block(self, x: NDArray[Any], own: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """Rows few enough to be compared with all others at once."""
        z = np.clip((x - self.centre) * self.factor, -CLIP, CLIP)[:, self.factor > 0]
        white = (z - self.scatter.centre) @ self.scatter.whiten
        if own is not None:
            white = self._left_out(white, own)
        rest = z - self._neighbours(z, own)
        return np.clip(np.stack([z, white, rest], axis=1), -LIMIT, LIMIT)

    def _left_out(self, white: NDArray[np.float64], own: NDArray[np.intp]) -> NDArray[np.float64]:
        """The whitened rows moved outwards as far as their own row moves when the scatter is estimated without it."""
        place = self._place(own)
        known = place >= 0
        source = (self.rows[place[known]] - self.scatter.centre) @ self.scatter.whiten
        n, part = self.scatter.rows, (1 - self.scatter.shrinkage) / (self.scatter.rows - 1)
        square = np.sum(source**2, axis=1, keepdims=True)
        factor = n / (n - 1) / np.sqrt(np.maximum(1 - part * square, 1e-2))
        out = white.copy()
        out[known] += (factor - 1) * source
        return out

    def _neighbours(self, z: NDArray[np.float64], own: NDArray[np.intp] | None) -> NDArray[np.float64]:
        """Mean of the nearest rows (n, d); a row at distance 0, and the own one, are no neighbours."""
        count = min(max(FEWEST, min(MOST, int(SHARE * len(self.rows)))), len(self.rows) - 1)
        squared = np.sum(self.rows**2, axis=1) - 2 * z @ self.rows.T + np.sum(z**2, axis=1, keepdims=True)
        squared[squared < 1e-9 * z.shape[1]] = np.inf
        if own is not None:
            place = self._place(own)
            squared[np.flatnonzero(place >= 0), place[place >= 0]] = np.inf
        nearest = smallest(squared, count)
        return self.rows[np.sort(nearest, axis=1)].mean(axis=1)

    def _place(self, own: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where a fit row stands among ``rows``, -1 if it does not."""
        place = np.full(int(max(own.max(initial=0), self.index.max())) + 1, -1, np.intp)
        place[self.index] = np.arange(len(self.index))
        return place[own]

    def tensor(self, x: NDArray[Any], device: str, own: NDArray[np.intp] | None = None) -> Tensor:
        """The channels of vectors on the device."""
        return torch.from_numpy(self.apply(x, own)).to(device)

    def norm(self, x: NDArray[Any], own: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Root mean square of all channels (n,): by it rows are trimmed before there is a network."""
        places = (slice(i, i + BLOCK) for i in range(0, len(x), BLOCK))
        blocks = (self.apply(x[place], None if own is None else own[place]).astype(np.float64) for place in places)
        return np.concatenate([np.sqrt(np.mean(block**2, axis=(1, 2))) for block in blocks])

    def state(self) -> State:
        """Arrays for a component's state."""
        s = self.scatter
        return {
            "channels.centre": self.centre,
            "channels.factor": self.factor,
            "channels.scatter_centre": s.centre,
            "channels.whiten": s.whiten,
            "channels.rows": self.rows,
            "channels.shrinkage": np.array(s.shrinkage),
            "channels.scatter_rows": np.array(s.rows),
            "channels.index": self.index,
        }

    @classmethod
    def load(cls, state: State) -> Self:
        """Back from ``state``."""
        scatter = Scatter(
            state["channels.scatter_centre"],
            state["channels.whiten"],
            float(state["channels.shrinkage"]),
            int(state["channels.scatter_rows"]),
        )
        rows, index = state["channels.rows"], state["channels.index"]
        return cls(state["channels.centre"], state["channels.factor"], scatter, rows, index)
