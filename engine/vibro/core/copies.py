"""Disturbed copies of records, and the rows that they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch


@dataclass(frozen=True)
class Copies:
    """Records of a batch that were disturbed, and the row of that batch that each comes from (m,)."""

    batch: SignalBatch
    row: NDArray[np.intp]

    def among(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """(m,) the place of each copy's source in ``rows``, distinct rows of the batch that hold all of them."""
        order = np.argsort(rows)
        return np.asarray(order[np.searchsorted(rows, self.row, sorter=order)])
