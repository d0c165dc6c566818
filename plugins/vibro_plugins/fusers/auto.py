"""The default: drops members that speak against the others or not at all, lets clones share one vote, takes the mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Fuser, Params, State
from vibro_plugins._fusion import LinearFuser, dead, spearman

KEPT, DEAD, INVERTED, CLONE, SPARE = range(5)


class Auto(LinearFuser):
    """Weighted mean of a small diverse set of members, found from their scores alone.

    Source: diversity pruning after consensus screening, in the line of Schubert et al. (SDM 2012) and Rayana and Akoglu
    (TKDD 2016), with the plain mean of scaled scores that beats learned combinations in TSB-AutoAD (VLDB 2025).
    """

    name = "auto"
    summary = "mean of a diverse set of members; inverted, dead and cloned ones are found and named"

    @dataclass(frozen=True)
    class Params(Params):
        """``k`` members at most; ``floor`` of the mean rank correlation with the others; ``clone`` above which two are one."""

        k: Annotated[int, Field(ge=1)] = 5
        floor: Annotated[float, Field(ge=-1, le=1)] = 0.0
        clone: Annotated[float, Field(gt=0, le=1)] = 0.98

    _status: NDArray[np.int8] | None = None

    def fit(
        self,
        z: NDArray[np.float64],
        y: NDArray[np.int16] | None = None,
        usefulness: NDArray[np.float64] | None = None,
    ) -> None:
        """Chooses the members on the held-out reference."""
        d = z.shape[1]
        status = np.where(dead(z), DEAD, KEPT).astype(np.int8)
        agreement = spearman(z)
        while (status == KEPT).sum() > 2:
            rows = np.flatnonzero(status == KEPT)
            mean = (agreement[np.ix_(rows, rows)].sum(axis=1) - 1.0) / (len(rows) - 1)
            if mean.min() >= self.params.floor:
                break
            status[rows[np.argmin(mean)]] = INVERTED
        alive = np.flatnonzero(status == KEPT)
        if len(alive):
            mean = agreement[np.ix_(alive, alive)].mean(axis=1)
            chosen = [int(alive[np.argmax(mean)])]
            while len(chosen) < min(self.params.k, len(alive)):
                rest = [j for j in alive if j not in chosen]
                closest = agreement[np.ix_(rest, chosen)].max(axis=1)
                if closest.min() > self.params.clone:
                    break
                chosen.append(int(rest[np.argmin(closest)]))
            for j in alive:
                if j not in chosen:
                    status[j] = CLONE if agreement[j, chosen].max() > self.params.clone else SPARE
        weights = (status == KEPT).astype(np.float64)
        self._status = status
        self._weights = weights / weights.sum() if weights.sum() else np.full(d, 1.0 / max(d, 1))

    def notes(self) -> list[str]:
        """Members found inverted, dead or alike."""
        said = {
            DEAD: "is dead (its scores hardly vary)",
            INVERTED: "speaks against the others (inverted)",
            CLONE: "repeats another member",
        }
        status = () if self._status is None else self._status
        return [f"{name} {said[int(s)]}: weight 0" for name, s in zip(self.ctx.names, status, strict=True) if s in said]

    def state(self) -> State:
        """Weights and what was found of each member."""
        return {**super().state(), "status": np.asarray(self._status, dtype=np.int8)}

    def load_state(self, state: State) -> None:
        """Restores them."""
        super().load_state(state)
        self._status = np.asarray(state["status"], dtype=np.int8)


@hookimpl
def register_fusers(register: Callable[[type[Fuser]], None]) -> None:
    """Registers the fuser."""
    register(Auto)
