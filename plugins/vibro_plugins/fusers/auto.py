"""The default: members that agree in the tail count most; inverted, dead and cloned ones are found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Fuser, Params, State
from vibro_plugins._fusion import LinearFuser, dead, normalised, spearman, tail_precision, weighted_mean

KEPT, DEAD, INVERTED, OPPOSED, CLONE = range(5)
SAID = {
    DEAD: "is dead: its scores hardly vary; weight 0",
    INVERTED: "is inverted: it ranks records against the other members; weight 0",
    OPPOSED: "contradicts the only other member, and nothing tells which of the two is right",
    CLONE: "repeats another member; they share one vote",
}
ROUNDS = 8
FEWEST = 5  # records in the tail, and tail records at which the learned weights count half


class Auto(LinearFuser):
    """Weighted mean of asinh(z), with weights from the scores alone.

    A member weighs by how well it finds the records that the *others* place in their tail: the average precision above
    chance, to the power ``sharpness``, found in a few rounds in which the consensus itself is weighted, and drawn to
    equal weights where the tail holds few records. Before that, constant members and those that rank against the
    others are left out, and members alike share one vote and do not vouch for each other. The mean is quasi-arithmetic,
    sinh(sum w asinh(z)): linear near 0 and logarithmic far out, so that a member with a heavy tail cannot outvote all.

    Sources: consensus selection of Rayana and Akoglu (TKDD 2016) and Schubert et al. (SDM 2012), whose whole-range
    correlation is replaced by agreement in the tail.
    """

    name = "auto"
    summary = "members weighted by agreement in the tail; inverted, dead and cloned ones found and named"

    @dataclass(frozen=True)
    class Params(Params):
        """``tail``: share of the reference taken as tail; ``sharpness``: power of the weights, 0 = equal ones.

        ``clone``: rank correlation above which two members are one.
        """

        tail: Annotated[float, Field(gt=0, le=0.5)] = 0.05
        sharpness: Annotated[float, Field(ge=0)] = 4.0
        clone: Annotated[float, Field(gt=0, le=1)] = 0.98

    _status: NDArray[np.int8] | None = None

    def fit(
        self,
        z: NDArray[np.float64],
        y: NDArray[np.int16] | None = None,
        usefulness: NDArray[np.float64] | None = None,
    ) -> None:
        """Screens and weighs the members on the held-out reference."""
        agreement = spearman(z)
        self._status = _screen(z, agreement)
        group = _groups(agreement, self.params.clone, self._status)
        alive = np.isin(self._status, (KEPT, OPPOSED))
        size = np.array([np.sum(alive & (group == g)) for g in group])
        self._status[alive & (size > 1)] = CLONE
        equal = normalised(np.where(alive, 1.0 / np.maximum(size, 1), 0.0))
        tail = max(FEWEST, self.params.tail * len(z))
        trust = tail / (tail + FEWEST) if alive.sum() > 2 else 0.0
        weights = equal
        for _ in range(ROUNDS if trust else 0):
            found = np.array([self._vouched(z, j, weights, group) if alive[j] else 0.0 for j in range(z.shape[1])])
            weights = normalised(equal * found**self.params.sharpness)
        self._weights = trust * weights + (1.0 - trust) * equal

    def _vouched(self, z: NDArray[np.float64], j: int, weights: NDArray[np.float64], group: NDArray[np.int8]) -> float:
        """How well member j finds the tail of the members outside its group, 0 = chance, 1 = all of it first."""
        others = np.where(group == group[j], 0.0, weights)
        if not others.any():
            return 1.0
        consensus = _mean(z, np.isfinite(z), others)
        rows = np.isfinite(consensus) & np.isfinite(z[:, j])
        return tail_precision(z[rows, j], consensus[rows], max(FEWEST, round(self.params.tail * rows.sum())))

    def fuse(self, z: NDArray[np.float64], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n, d) and the mask of usable cells -> (n,)."""
        return _mean(z, ok, self._fitted())

    def notes(self) -> list[str]:
        """Members found inverted, dead or alike."""
        status = () if self._status is None else self._status
        return [f"{name} {SAID[int(s)]}" for name, s in zip(self.ctx.names, status, strict=True) if int(s) in SAID]

    def state(self) -> State:
        """Weights (d,) and what was found of each member (d,)."""
        return {**super().state(), "status": np.asarray(self._status, dtype=np.int8)}

    def load_state(self, state: State) -> None:
        """Restores them."""
        super().load_state(state)
        self._status = np.asarray(state["status"], dtype=np.int8)


def _screen(z: NDArray[np.float64], agreement: NDArray[np.float64]) -> NDArray[np.int8]:
    """(d,) DEAD, INVERTED, OPPOSED or KEPT: the most contrary member is left out until none is contrary beyond chance."""
    status = np.where(dead(z), DEAD, KEPT).astype(np.int8)
    chance = max(0.05, 2.0 / np.sqrt(max(len(z), 1)))
    while True:
        rows = np.flatnonzero(status == KEPT)
        if len(rows) < 2:
            return status
        mean = (agreement[np.ix_(rows, rows)].sum(axis=1) - 1.0) / (len(rows) - 1)
        if mean.min() >= -chance:
            return status
        if len(rows) == 2:
            status[rows] = OPPOSED
            return status
        status[rows[np.argmin(mean)]] = INVERTED


def _groups(agreement: NDArray[np.float64], limit: float, status: NDArray[np.int8]) -> NDArray[np.int8]:
    """(d,) group of each member: members that correlate above the limit are in one group, directly or through others."""
    group = np.arange(len(agreement), dtype=np.int8)
    for i, j in zip(*np.nonzero(np.triu(agreement > limit, 1)), strict=True):
        if status[i] == status[j] == KEPT:
            group[group == group[j]] = group[i]
    return group


def _mean(z: NDArray[np.float64], ok: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) sinh of the weighted mean of asinh(z) over the usable cells; NaN without any."""
    return np.sinh(weighted_mean(z, ok, weights, bend=np.arcsinh))


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Auto)
