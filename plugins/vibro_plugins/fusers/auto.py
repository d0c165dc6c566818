"""The default: members that agree in the tail count most; inverted, constant and cloned ones are found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Fuser, Params, State
from vibro_plugins.fusers.linear_base import (
    Floats,
    Labels,
    LinearFuser,
    Order,
    correlation,
    dead,
    ordered,
    tail_precisions,
    weighted_mean,
)
from vibro_plugins.portable import fusing

KEPT, DEAD, INVERTED, OPPOSED, CLONE, ABSENT, WEAK = range(7)
SAID = {
    DEAD: "is dead: its scores hardly vary; weight 0",
    INVERTED: "is inverted: it ranks records against the other members; weight 0",
    OPPOSED: "contradicts the only other member, and nothing tells which of the two is right",
    CLONE: "repeats another member; they share one prior weight",
    WEAK: "finds little of what the other members find; weight 0",
}
ROUNDS, SETTLED = 20, 1e-3
FEWEST = 5  # records in a tail at least, and tail records at which the learned weights count half
UPPER, NORMAL_UPPER = 0.75, 0.6745  # quantile that measures the upper half of a member's normal records; a Gaussian's
TAILS = ((0.9, 1.2816), (0.98, 2.0537), (0.995, 2.5758))  # quantiles at which a tail may start; a Gaussian's
CHANCE, PLAIN = 1.1, 1.5  # times a Gaussian's: length of a tail by chance, and of one that must hold faults


@dataclass(frozen=True)
class AutoParams(Params):
    """Settings of ``auto``.

    ``tail``: share of the reference taken as tail; 0.1, above the share of faults in most references
    ``sharpness``: power of the agreement that gives the weights; 0: the prior weights stay
    ``least``: share of the best member's gain over its prior weight below which a member is left out
    ``clone``: rank correlation above which two members share one prior weight
    ``independent``: detectors that look at what no other member sees, so that agreement cannot tell what they are worth: each
    counts as much as all others together; absent detectors are ignored
    ``prior_weights``: detector id -> weight before the tails decide; 1 where none is stated, absent detectors are ignored
    """

    tail: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    sharpness: Annotated[float, Field(ge=0)] = 6.0
    least: Annotated[float, Field(ge=0, le=1)] = 0.2
    clone: Annotated[float, Field(gt=0, le=1)] = 0.98
    independent: tuple[str, ...] = ()
    prior_weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = field(default_factory=dict)


class Auto(LinearFuser):
    """Weighted mean of asinh(z), with weights from the scores alone.

    1. Constant members and those that rank records against the others get weight 0; members whose ranks are all but equal
       share one prior weight, and their agreement with each other does not count.
    2. The agreement of a member is its average precision, above chance, for the tail of each other member, averaged with
       the weights of those members. Weights are prior weight times agreement to the power ``sharpness``, iterated until
       they converge.
    3. They are shrunk towards the prior weights where the tail holds few records, and where the weighted members have tails
       no longer than a Gaussian's: then they agree by chance only.
    4. Members whose weight fell most relative to their prior weight get 0: many small weights blur the top ranks.
    5. Of members that are said to be ``independent`` of all others agreement tells nothing; they get equal parts beside them.

    The mean is quasi-arithmetic, sinh(sum w asinh(z / r)): linear near 0 and logarithmic far out, so that one member with a
    heavy tail does not decide alone; r >= 1 is the upper quartile of a member's reference above its median over a
    Gaussian's, so that one whose normal records are skewed upwards does not count more.

    Sources: consensus selection of Rayana and Akoglu (TKDD 2016) and Schubert et al. (SDM 2012), with agreement in the tail
    instead of correlation over the whole range.
    """

    name = "auto"
    summary = "members weighted by agreement in the tail; inverted, dead and cloned ones found and named"
    Params = AutoParams

    _status: NDArray[np.int8] | None = None
    _reach: Floats  # (d,)

    def fit(self, z: Floats, y: Labels | None = None, usefulness: Floats | None = None) -> None:
        """Screens and weighs the members on the held-out reference."""
        self._reach = _reach(z)
        weights, status = self._converged(self.study(z), np.ones((1, z.shape[1]), np.bool_))
        self._weights, self._status = weights[0], status[0]

    def study(self, z: Floats) -> State:
        """Statistics of single columns (d,) and pairs (d, d) of the reference (n, d); those of a subset of columns are a part."""
        order = ordered(z)
        return {
            "rows": np.full(z.shape[1], len(z)),
            "prior": np.array([self.params.prior_weights.get(name, 1.0) for name in self.ctx.names]),
            "length": _length(z),
            "silent": dead(order),
            "independent": np.array([name in self.params.independent for name in self.ctx.names], np.bool_),
            "agreement": correlation(order.rank),
            "tail_agreement": _tail_agreement(z, order, self.params.tail),
        }

    def weigh_sets(self, study: State, members: NDArray[np.bool_]) -> Floats:
        """Weights (m, d) of m sets of members (m, d) from one study, each as ``fit`` finds them for its columns alone."""
        return self._converged(study, members)[0]

    def _converged(self, study: State, members: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int8]]:
        """Weights and status (m, d) of m sets of members (m, d)."""
        independent = members & study["independent"] & ~study["silent"]
        if not independent.any():
            return self._agreed(study, members)
        agreed = members & ~study["independent"]
        weights, status = np.zeros(members.shape), np.where(members, np.where(study["silent"], DEAD, KEPT), ABSENT)
        some = agreed.any(axis=1)
        weights[some], found = self._agreed(study, agreed[some])
        status[some] = np.where(agreed[some], found, status[some])
        each = 1.0 / (independent.sum(axis=1) + some)
        weights = weights * (each * some)[:, None] + independent * each[:, None]
        return weights, status.astype(np.int8)

    def _agreed(self, study: State, members: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int8]]:
        """The same for members that can be judged by one another."""
        n, agreement = int(study["rows"][0]), study["agreement"]
        status = _screen(study["silent"], agreement, n, members)
        together = _groups(agreement > self.params.clone, status == KEPT)
        alive = (status == KEPT) | (status == OPPOSED)
        size = (together & alive[:, None]).sum(axis=2)
        status[alive & (size > 1)] = CLONE
        equal = _shares(np.where(alive, study["prior"] / np.maximum(size, 1), 0.0), members)
        tail = max(FEWEST, self.params.tail * n)
        trust = np.where(alive.sum(axis=1) > 2, tail / (tail + FEWEST), 0.0)
        weights, apart = equal.copy(), np.where(together | ~alive[:, None], 0.0, 1.0)
        agreeing = study["tail_agreement"] * apart
        moving = np.flatnonzero(trust)
        for _ in range(ROUNDS):
            last = weights[moving]
            total, weighed = ((part[moving] @ last[:, :, None])[:, :, 0] for part in (agreeing, apart))
            mean = np.where(weighed > 0, total, 1.0) / np.where(weighed > 0, weighed, 1.0)
            weights[moving] = _shares(equal[moving] * mean**self.params.sharpness, members[moving])
            moving = moving[np.abs(weights[moving] - last).max(axis=1) >= SETTLED]
            if not len(moving):
                break
        trust *= np.clip((weights @ study["length"] - CHANCE) / (PLAIN - CHANCE), 0.0, 1.0)
        weights = trust[:, None] * weights + (1.0 - trust[:, None]) * equal
        merit = np.divide(weights, equal, out=np.zeros_like(weights), where=alive)
        weak = alive & (merit < self.params.least * merit.max(axis=1, keepdims=True))
        status[weak] = WEAK
        return _shares(np.where(weak, 0.0, weights), members), status

    def fuse(self, z: Floats) -> Floats:
        """(n, d), NaN = no score -> (n,)."""
        return np.sinh(weighted_mean(z / self.reach(), self._fitted(), transform=np.arcsinh))

    def reach(self) -> Floats:
        """(d,) scale of each column, independent of the other columns."""
        self._fitted()
        return self._reach

    def notes(self) -> list[str]:
        """Members found inverted, dead, weak or alike."""
        status = () if self._status is None else self._status
        return [f"{name} {SAID[int(s)]}" for name, s in zip(self.ctx.names, status, strict=True) if int(s) in SAID]

    def state(self) -> State:
        """Weights (d,), reach (d,) and what was found of each member (d,)."""
        return {**super().state(), "reach": self.reach(), "status": np.asarray(self._status, dtype=np.int8)}

    def export(self) -> Exported:
        """Weights and reach, with numpy alone."""
        return Exported(self.state(), fusing.asinh_mean)

    def load_state(self, state: State) -> None:
        """Restores them."""
        super().load_state(state)
        self._reach = np.asarray(state["reach"], dtype=np.float64)
        self._status = np.asarray(state["status"], dtype=np.int8)


def _screen(silent: NDArray[np.bool_], agreement: Floats, n: int, members: NDArray[np.bool_]) -> NDArray[np.int8]:
    """(m, d) DEAD, INVERTED, OPPOSED or KEPT: of each set the member with the lowest mean correlation is dropped until none is
    negative beyond chance.

    ABSENT where a column is no member of the set.
    """
    status = np.where(members, np.where(silent, DEAD, KEPT), ABSENT).astype(np.int8)
    chance = max(0.05, 2.0 / np.sqrt(max(n, 1)))
    while True:
        kept = status == KEPT
        count = kept.sum(axis=1)
        mean = (kept @ agreement - 1.0) / np.maximum(count - 1, 1)[:, None]
        mean = np.where(kept, mean, np.inf)
        contrary = (count > 1) & (mean.min(axis=1) < -chance)
        if not contrary.any():
            return status
        status[kept & (contrary & (count == 2))[:, None]] = OPPOSED
        worse = np.flatnonzero(contrary & (count > 2))
        status[worse, mean[worse].argmin(axis=1)] = INVERTED


def _groups(alike: NDArray[np.bool_], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(m, d, d) whether two members of a set are in one group: kept members that are alike, directly or through others."""
    d = len(alike)
    together = np.broadcast_to(np.eye(d, dtype=np.bool_), (len(kept), d, d))
    if np.count_nonzero(alike) <= d:
        return together  # each member is like itself alone
    wider = together | (alike & kept[:, None] & kept[:, :, None])
    while not np.array_equal(wider, together):
        together, wider = wider, wider @ wider
    return together


def _shares(weights: Floats, members: NDArray[np.bool_]) -> Floats:
    """Weights (m, d) >= 0 made to sum to 1 in each row; equal ones for the members where nothing is left."""
    some = weights.any(axis=1, keepdims=True)
    weights = np.where(some, weights, members)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _tail_agreement(z: Floats, order: Order, tail: float) -> Floats:
    """(d, d) average precision of member i for the tail of member j, 0 = chance, 1 = perfect; over the rows both have."""
    known = np.isfinite(z)
    if known.all():
        return tail_precisions(order.place, z, max(FEWEST, round(tail * len(z))))
    found = np.zeros((z.shape[1], z.shape[1]))
    for i, j in np.ndindex(*found.shape):
        both = z[known[:, i] & known[:, j]][:, [i, j]]
        if len(both):
            found[i, j] = tail_precisions(ordered(both).place, both, max(FEWEST, round(tail * len(both))))[0, 1]
    return found


def _reach(z: Floats) -> Floats:
    """(d,) upper quartile above the median of each column, in units of a Gaussian's and at least 1."""
    return np.maximum((_quantiles(z, UPPER) - _quantiles(z, 0.5)) / NORMAL_UPPER, 1.0)


def _length(z: Floats) -> Floats:
    """(d,) largest quantile of ``TAILS`` above the median of each column, in units of a Gaussian of its reach."""
    above = [(_quantiles(z, q) - _quantiles(z, 0.5)) / normal for q, normal in TAILS]
    return np.asarray(np.max(above, axis=0) / _reach(z))


def _quantiles(z: Floats, q: float) -> Floats:
    """(d,) quantile of the finite cells of each column, 0 without any."""
    return np.array([np.quantile(known, q) if len(known := column[np.isfinite(column)]) else 0.0 for column in z.T])


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Auto)
