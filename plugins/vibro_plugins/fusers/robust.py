"""Order statistics across members: median and trimmed mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Fuser, Params
from vibro_plugins.fusers.linear_base import Floats
from vibro_plugins.portable import fusing


class Median(Fuser):
    """Median of the usable z: up to half of the members may be wrong (Aggarwal and Sathe, SIGKDD Explorations 2015)."""

    name = "median"
    summary = "median of z over the usable members"

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported({}, fusing.median)

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        return _fused(self.fuse_ordered, z)

    def fuse_ordered(self, ordered: Floats, count: NDArray[np.intp]) -> Floats:
        """(n,) from the cells of n records in ascending order (d, n), of which the first ``count`` (n,) are usable."""
        d = len(ordered)
        if d and count.min() == d:
            return np.asarray(0.5 * (ordered[(d - 1) // 2] + ordered[d // 2]))
        last, here = np.maximum(count - 1, 0), np.arange(len(count))
        middle = 0.5 * (ordered[last // 2, here] + ordered[(last + 1) // 2, here])
        return np.where(count > 0, middle, np.nan)


@dataclass(frozen=True)
class TrimmedMeanParams(Params):
    """Settings of ``trimmed_mean``.

    ``trim``: share of the members dropped at each end; 0.2 drops one of five
    """

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.2


class TrimmedMean(Fuser):
    """Mean of the usable z without the lowest and highest share ``trim`` of the members (Tukey 1962)."""

    name = "trimmed_mean"
    summary = "mean of z without the extreme members of each record"
    Params = TrimmedMeanParams

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported({"trim": np.array(self.params.trim)}, fusing.trimmed_mean)

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        return _fused(self.fuse_ordered, z)

    def fuse_ordered(self, ordered: Floats, count: NDArray[np.intp]) -> Floats:
        """(n,) from the cells of n records in ascending order (d, n), of which the first ``count`` (n,) are usable."""
        drop, d = np.floor(self.params.trim * count).astype(np.intp), len(ordered)
        if d and count.min() == d:
            return np.asarray(ordered[drop[0] : d - drop[0]].sum(axis=0) / (d - 2 * drop[0]))
        total = np.zeros(len(count))
        for j, column in enumerate(ordered):
            total += np.where((j >= drop) & (j < count - drop), column, 0.0)
        return np.divide(total, count - 2 * drop, out=np.full(len(count), np.nan), where=count > 0)


def _fused(read: Callable[[Floats, NDArray[np.intp]], Floats], z: Floats) -> Floats:
    """(n,) read from the finite cells (n, d) of each record in ascending order."""
    here = np.isfinite(z)
    ordered = np.ascontiguousarray(np.sort(np.where(here, z, np.inf), axis=1).T)
    return read(ordered, here.sum(axis=1)) if len(z) else np.empty(0)


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fusers."""
    register(Median)
    register(TrimmedMean)
