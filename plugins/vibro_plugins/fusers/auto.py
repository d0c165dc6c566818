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
from vibro_plugins._fusion import (
    LinearFuser,
    Order,
    correlation,
    dead,
    normalised,
    ordered,
    tail_precisions,
    weighted_mean,
)

KEPT, DEAD, INVERTED, OPPOSED, CLONE = range(5)
SAID = {
    DEAD: "is dead: its scores hardly vary; weight 0",
    INVERTED: "is inverted: it ranks records against the other members; weight 0",
    OPPOSED: "contradicts the only other member, and nothing tells which of the two is right",
    CLONE: "repeats another member; they share one vote",
}
ROUNDS, SETTLED = 20, 1e-3
FEWEST = 5  # records in the tail, and tail records at which the learned weights count half


class Auto(LinearFuser):
    """Weighted mean of asinh(z), with weights from the scores alone.

    A member weighs by how well it finds the records that the *others* place in their tails: the average precision above
    chance for the tail of each other member, their mean by the weights of those members, to the power ``sharpness``,
    iterated until it settles, and drawn to equal weights where a tail holds few records. Before that, constant members
    and those that rank against the others are left out, and members alike share one vote and do not vouch for each
    other. The mean is quasi-arithmetic, sinh(sum w asinh(z)): linear near 0 and logarithmic far out, so that a member
    with a heavy tail cannot outvote all.

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

        tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
        sharpness: Annotated[float, Field(ge=0)] = 10.0
        clone: Annotated[float, Field(gt=0, le=1)] = 0.98

    _status: NDArray[np.int8] | None = None

    def fit(
        self,
        z: NDArray[np.float64],
        y: NDArray[np.int16] | None = None,
        usefulness: NDArray[np.float64] | None = None,
    ) -> None:
        """Screens and weighs the members on the held-out reference."""
        self.settle(self.study(z))

    def study(self, z: NDArray[np.float64]) -> State:
        """What the columns of the reference (n, d) say one by one and two by two; that of fewer columns is a part of it."""
        order = ordered(z)
        return {
            "rows": np.full(z.shape[1], len(z)),
            "silent": dead(order),
            "agreement": correlation(order.rank),
            "vouched": _vouched(z, order, self.params.tail),
        }

    def settle(self, study: State) -> None:
        """Sets the weights from a study."""
        n, agreement = int(study["rows"][0]), study["agreement"]
        self._status = _screen(study["silent"], agreement, n)
        group = _groups(agreement, self.params.clone, self._status)
        alive = (self._status == KEPT) | (self._status == OPPOSED)
        together = group[:, None] == group
        size = (together & alive).sum(axis=1)
        self._status[alive & (size > 1)] = CLONE
        equal = normalised(np.where(alive, 1.0 / np.maximum(size, 1), 0.0))
        tail = max(FEWEST, self.params.tail * n)
        trust = tail / (tail + FEWEST) if alive.sum() > 2 else 0.0
        weights, apart = equal, np.where(together | ~alive, 0.0, 1.0)
        both = np.concatenate([study["vouched"] * apart, apart])
        for _ in range(ROUNDS if trust else 0):
            last, found = weights, both @ weights
            said, heard = found[: len(equal)], found[len(equal) :]
            mean = np.where(heard > 0, said, 1.0) / np.where(heard > 0, heard, 1.0)
            weights = normalised(equal * mean**self.params.sharpness)
            if np.abs(weights - last).max() < SETTLED:
                break
        self._weights = trust * weights + (1.0 - trust) * equal

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


def _screen(silent: NDArray[np.bool_], agreement: NDArray[np.float64], n: int) -> NDArray[np.int8]:
    """(d,) DEAD, INVERTED, OPPOSED or KEPT: the most contrary member is left out until none is contrary beyond chance."""
    status = np.where(silent, DEAD, KEPT).astype(np.int8)
    chance = max(0.05, 2.0 / np.sqrt(max(n, 1)))
    while True:
        rows = np.flatnonzero(status == KEPT)
        if len(rows) < 2:
            return status
        mean = (agreement[rows][:, rows].sum(axis=1) - 1.0) / (len(rows) - 1)
        if mean.min() >= -chance:
            return status
        if len(rows) == 2:
            status[rows] = OPPOSED
            return status
        status[rows[np.argmin(mean)]] = INVERTED


def _groups(agreement: NDArray[np.float64], limit: float, status: NDArray[np.int8]) -> NDArray[np.int8]:
    """(d,) group of each member: members that correlate above the limit are in one group, directly or through others."""
    group = np.arange(len(agreement), dtype=np.int8)
    if np.count_nonzero(agreement > limit) <= len(agreement):
        return group  # each member is like itself alone
    for i, j in zip(*np.nonzero(np.triu(agreement > limit, 1)), strict=True):
        if status[i] == status[j] == KEPT:
            group[group == group[j]] = group[i]
    return group


def _vouched(z: NDArray[np.float64], order: Order, tail: float) -> NDArray[np.float64]:
    """(d, d) how well member i finds the tail of member j, 0 = chance, 1 = all of it first; over the rows both have."""
    known = np.isfinite(z)
    if known.all():
        return tail_precisions(order.place, z, max(FEWEST, round(tail * len(z))))
    found = np.zeros((z.shape[1], z.shape[1]))
    for i, j in np.ndindex(*found.shape):
        both = z[known[:, i] & known[:, j]][:, [i, j]]
        if len(both):
            found[i, j] = tail_precisions(ordered(both).place, both, max(FEWEST, round(tail * len(both))))[0, 1]
    return found


def _mean(z: NDArray[np.float64], ok: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) sinh of the weighted mean of asinh(z) over the usable cells; NaN without any."""
    return np.sinh(weighted_mean(z, ok, weights, bend=np.arcsinh))


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Auto)
