"""The frame of a detector that trains a network: its split of the rows, its epochs, its state and its health."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from vibro.api import Context, Detector, NotApplicableError, NotFittedError, State
from vibro_plugins.deep.checkpoint import Epochs, key_of
from vibro_plugins.deep.standardise import BLOCK
from vibro_plugins.deep.training import arrays, load_arrays, seeded

LEAST_ROWS = 20
LEAST_GROUPS, MOST_GROUP = 3, 15  # groups held out, and what share of the rows none may exceed, one in so many
# The vector that suits any record: the Zerone values in units of each sensor's own spread, without what load explains.
LINES: dict[str, Any] = {"use": "conditioned", "of": {"use": "per_sensor", "of": "zerone"}}


class Network(Detector):
    """A detector around one network; a subclass says how it is built, trained and read.

    ``fit`` ends with ``_settle``. Reference scores come from rows held out of one training, not from several trainings.
    """

    requires: ClassVar[tuple[str, ...]] = ("torch",)
    exclusive = True
    cross_fit = False
    min_rows = 120  # of fewer a tenth held out says nothing, and the classical detectors do better

    _net: Any = None
    _fit_health: dict[str, float]

    @abstractmethod
    def _build(self) -> nn.Module:
        """The network before its first step, on the device; its size follows from what ``_recall`` restores."""

    @abstractmethod
    def _learned(self) -> State:
        """What was learned beside the weights: standardisation and frozen statistics."""

    @abstractmethod
    def _recall(self, state: State) -> None:
        """Restores what ``_learned`` gave."""

    def health(self) -> Mapping[str, float]:
        """What the checks found at fit; ``failed`` 1 for a network that has not learned."""
        self._fitted()
        return self._fit_health

    def state(self) -> State:
        """Weights, standardisation and statistics, health."""
        health = {f"health.{name}": np.array(value) for name, value in self.health().items()}
        return {**arrays(self._fitted()), **self._learned(), **health}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._recall(state)
        with seeded(self.ctx):
            net = self._build()
        load_arrays(net, state)
        self._settle(net, {name[7:]: float(value) for name, value in state.items() if name.startswith("health.")})

    def _settle(self, net: nn.Module, health: Mapping[str, float]) -> None:
        """From here on the detector is fitted; a number that is none becomes -1."""
        self._fit_health = {key: float(np.nan_to_num(v, nan=-1, posinf=-1, neginf=-1)) for key, v in health.items()}
        self._net = net

    def _fitted(self) -> Any:
        if self._net is None:
            raise NotFittedError(f"{self.name} is not fitted")
        return self._net

    def _epochs(
        self,
        x: NDArray[Any],
        total: int,
        optimizer: Optimizer,
        floor: float | None,
        labels: NDArray[Any] | None = None,
        **how: Any,
    ) -> Epochs:
        """``total`` epochs over rows x with ``labels``, if it learns from such; ``floor`` and ``how`` as in ``Epochs``."""
        return Epochs(self.ctx, total, key_of(self.name, self.params, self.ctx, x, labels), optimizer, floor, **how)


def refuse(x: NDArray[Any]) -> None:
    """NotApplicableError where rows x (n, *item) are few, or one of their values is not finite."""
    if len(x) < LEAST_ROWS:
        raise NotApplicableError(f"{len(x)} fit rows are too few to train on; {LEAST_ROWS} are needed")
    wrong = sum(int(np.count_nonzero(~np.isfinite(x[i : i + BLOCK]))) for i in range(0, len(x), BLOCK))
    if wrong:
        raise NotApplicableError(f"the view holds {wrong} values that are not finite")


def split(n: int, ctx: Context, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """A tenth of n rows that is held out, and the others, both in random order.

    A group of ``ctx.groups`` stays together, for its rows are more alike than those of the next recording will be: random
    groups are held out until they are three, of which a faulty one decides nothing, and make a tenth. Single rows are held
    out where no groups are known, or where one is more than a fifteenth of all: it could not be spared, and the others alone
    might be the faults.
    """
    order = rng.permutation(n)
    if ctx.groups is not None:
        mine = ctx.groups[order]
        names, first, size = np.unique(mine, return_index=True, return_counts=True)
        if MOST_GROUP * size.max() <= n:
            turn = np.argsort(first)
            count = max(LEAST_GROUPS, int(np.searchsorted(np.cumsum(size[turn]), n // 10)) + 1)
            held = np.isin(mine, names[turn[:count]])
            return order[held], order[~held]
    return order[: n // 10], order[n // 10 :]
