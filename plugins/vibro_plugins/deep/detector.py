"""Base of the detectors that train a network: split of the rows, checkpointed epochs, state and health."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from vibro.api import Context, Detector, NotApplicableError, NotFittedError, State, Training
from vibro_plugins.deep.checkpoint import Epochs, key_of
from vibro_plugins.deep.standardise import BLOCK
from vibro_plugins.deep.training import arrays, load_arrays, seeded

LEAST_ROWS = 20
LEAST_GROUPS, MOST_GROUP = 3, 15  # groups held out at least; none may exceed 1 / MOST_GROUP of the rows
# A vector for any kind of record: the Zerone values in units of each sensor's own scale, without the effect of load.
LINES: dict[str, Any] = {"use": "conditioned", "of": {"use": "per_sensor", "of": "zerone"}}


class Network(Detector):
    """A detector around one network; a subclass builds and trains it and computes the score.

    ``fit`` ends with ``_set_fitted``. Reference scores come from rows held out of one training: ``cross_fit`` would need five.
    """

    requires: ClassVar[tuple[str, ...]] = ("torch",)
    exclusive = True
    wants_disturbed = True
    cross_fit = False
    min_rows = 120  # below, a tenth held out is too small to judge by, and the classical detectors do better

    _net: Any = None
    _training: Training | None = None
    _fit_health: dict[str, float]

    @classmethod
    def wants_copies(cls, params: Any) -> bool:
        """Only the objective ``exposure`` learns from disturbed copies."""
        return getattr(params, "objective", "") == "exposure"

    @abstractmethod
    def _build(self) -> nn.Module:
        """The untrained network, on the device; its size follows from what ``_load_statistics`` restores."""

    @abstractmethod
    def _statistics(self) -> State:
        """What was learned beside the weights: standardisation, reference statistics of the score."""

    @abstractmethod
    def _load_statistics(self, state: State) -> None:
        """Restores what ``_statistics`` gave."""

    def health(self) -> Mapping[str, float]:
        """Diagnostics of the fit; ``failed`` is 1 for a network that has not learned."""
        self._fitted()
        return self._fit_health

    def training(self) -> Training | None:
        """Losses and held-out rows of the fit; None for a network that was loaded."""
        return self._training

    def state(self) -> State:
        """Weights, statistics and health."""
        health = {f"health.{name}": np.array(value) for name, value in self.health().items()}
        return {**arrays(self._fitted()), **self._statistics(), **health}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._load_statistics(state)
        with seeded(self.ctx):
            net = self._build()
        load_arrays(net, state)
        self._set_fitted(net, {name[7:]: float(value) for name, value in state.items() if name.startswith("health.")})

    def _set_fitted(
        self,
        net: nn.Module,
        health: Mapping[str, float],
        losses: Sequence[float] | None = None,
        held_out: NDArray[np.intp] | None = None,
    ) -> None:
        """Marks the detector as fitted; ``losses`` and ``held_out`` as in ``Training``. A diagnostic not finite becomes -1."""
        if losses is not None:
            rows = np.zeros(0, np.intp) if held_out is None else np.sort(held_out)
            self._training = Training(np.array(losses, np.float64), rows)
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
        **options: Any,
    ) -> Epochs:
        """``total`` epochs over rows x, with ``labels`` if it learns from them; ``floor`` and options as in ``Epochs``."""
        return Epochs(self.ctx, total, key_of(self.name, self.params, self.ctx, x, labels), optimizer, floor, **options)


def require_trainable(x: NDArray[Any]) -> None:
    """NotApplicableError where the rows x (n, *item) are too few or a value is not finite."""
    if len(x) < LEAST_ROWS:
        raise NotApplicableError(f"{len(x)} fit rows are too few to train on; {LEAST_ROWS} are needed")
    wrong = sum(int(np.count_nonzero(~np.isfinite(x[i : i + BLOCK]))) for i in range(0, len(x), BLOCK))
    if wrong:
        raise NotApplicableError(f"the view holds {wrong} values that are not finite")


def split(n: int, ctx: Context, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of a tenth of n rows, at least three, held out, and of the others, both in random order.

    The rows of one group of ``ctx.groups`` (a recording) stay together, since they resemble each other more than they
    resemble other recordings: random groups are held out until they are at least three, so that one faulty group is a
    minority, and make a tenth of the rows. Single rows are held out where no groups are known, or where one group has more
    than a fifteenth of the rows: too many to train without.
    """
    order = rng.permutation(n)
    if ctx.groups is not None:
        mine = ctx.groups[order]
        names, first, size = np.unique(mine, return_index=True, return_counts=True)
        if MOST_GROUP * size.max() <= n:
            turn = np.argsort(first)
            count = max(LEAST_GROUPS, int(np.searchsorted(np.cumsum(size[turn]), n // 10)) + 1)
            holdout = np.isin(mine, names[turn[:count]])
            return order[holdout], order[~holdout]
    few = max(LEAST_GROUPS, n // 10)
    return order[:few], order[few:]
