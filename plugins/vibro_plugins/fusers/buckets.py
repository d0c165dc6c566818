"""Rules of the loudest member: maximum, and average of maxima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Fuser, NotFittedError, Params, State
from vibro.context import child_seed
from vibro_plugins.fusers.linear_base import Floats, Labels
from vibro_plugins.portable import fusing


class Max(Fuser):
    """Largest usable z: for faults that only one view sees; noisy (Aggarwal and Sathe, SIGKDD Explorations 2015)."""

    name = "max"
    summary = "largest z of the usable members"

    def export(self) -> Exported:
        """The same with numpy alone."""
        return Exported({}, fusing.largest)

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        return _largest(z, np.arange(z.shape[1]))

    def fuse_ordered(self, ordered: Floats, count: NDArray[np.intp]) -> Floats:
        """(n,) from the cells of n records in ascending order (d, n), of which the first ``count`` (n,) are usable."""
        if count.min() == len(ordered):
            return ordered[-1]
        return np.where(count > 0, ordered[np.maximum(count - 1, 0), np.arange(len(count))], np.nan)


@dataclass(frozen=True)
class AomParams(Params):
    """Settings of ``aom``.

    ``size``: members of a bucket; 3, between the mean (1) and the maximum (all)
    ``deals``: random partitions that are averaged, so that the result depends little on any of them
    """

    size: Annotated[int, Field(ge=1)] = 3
    deals: Annotated[int, Field(ge=1)] = 5


class Aom(Fuser):
    """Average of maxima over random buckets of members (Aggarwal and Sathe, SIGKDD Explorations 2015).

    The members are split at random into buckets of ``size``, ``deals`` times.
    """

    name = "aom"
    summary = "mean over random buckets of the largest z in each"
    Params = AomParams

    _bucket: NDArray[np.int16] | None = None

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Splits the members by the seed and their names, so that the order of the columns does not matter."""
        names = self.ctx.names or tuple(map(str, range(z.shape[1])))
        self._bucket = np.zeros((self.params.deals, len(names)), np.int16)
        for i, deal in enumerate(self._bucket):
            lot = [child_seed(self.ctx.seed, f"{name}:{i}") for name in names]
            deal[np.argsort(lot)] = np.arange(len(names)) // self.params.size

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        total, filled = np.zeros(len(z)), np.zeros(len(z))
        for deal in self.state()["bucket"]:
            for bucket in np.unique(deal):
                largest = _largest(z, np.flatnonzero(deal == bucket))
                some = ~np.isnan(largest)
                total[some] += largest[some]
                filled += some
        return np.divide(total, filled, out=np.full(len(z), np.nan), where=filled > 0)

    def state(self) -> State:
        """``bucket`` (deals, d): the bucket of each member."""
        if self._bucket is None:
            raise NotFittedError("fuser aom was used before fit")
        return {"bucket": self._bucket}

    def load_state(self, state: State) -> None:
        """Restores the deals."""
        self._bucket = np.asarray(state["bucket"], dtype=np.int16)


def _largest(z: Floats, columns: NDArray[np.intp]) -> Floats:
    """(n,) largest usable z among some columns; NaN where there is none."""
    largest = np.full(len(z), np.nan)
    for j in columns:
        np.fmax(largest, z[:, j], out=largest)
    return largest


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fusers."""
    register(Max)
    register(Aom)
