"""Order statistics across members: median and trimmed mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Fuser, Params

CHUNK = 65_536


class Median(Fuser):
    """Median of the usable z: up to half of the members may be wrong (Aggarwal and Sathe, SIGKDD Explorations 2015)."""

    name = "median"
    summary = "median of z over the usable members"

    def fuse(self, z: NDArray[np.float64], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n, d) and the mask of usable cells -> (n,)."""
        fused = np.full(len(z), np.nan)
        for rows, ordered, count in _ordered(z, ok):
            last = np.maximum(count - 1, 0)
            here = np.arange(len(ordered))
            middle = 0.5 * (ordered[here, last // 2] + ordered[here, (last + 1) // 2])
            fused[rows] = np.where(count > 0, middle, np.nan)
        return fused


class TrimmedMean(Fuser):
    """Mean of the usable z without the lowest and highest share ``trim`` of the members (Tukey 1962)."""

    name = "trimmed_mean"
    summary = "mean of z without the extreme members of each record"

    @dataclass(frozen=True)
    class Params(Params):
        """``trim``: share of the members dropped at each end of every record."""

        trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.2

    def fuse(self, z: NDArray[np.float64], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n, d) and the mask of usable cells -> (n,)."""
        fused = np.full(len(z), np.nan)
        for rows, ordered, count in _ordered(z, ok):
            drop = np.floor(self.params.trim * count).astype(np.intp)
            total = np.zeros(len(ordered))
            for j in range(ordered.shape[1]):
                total += np.where((j >= drop) & (j < count - drop), ordered[:, j], 0.0)
            np.divide(total, count - 2 * drop, out=fused[rows], where=count > 0)
        return fused


def _ordered(
    z: NDArray[np.float64], ok: NDArray[np.bool_]
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.intp]]]:
    """Chunks of rows: the usable z of every row in ascending order, others last as inf, and their number."""
    for start in range(0, len(z), CHUNK):
        rows = slice(start, start + CHUNK)
        usable = ok[rows] & np.isfinite(z[rows])
        yield rows, np.sort(np.where(usable, z[rows], np.inf), axis=1), usable.sum(axis=1)


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fusers."""
    register(Median)
    register(TrimmedMean)
