"""Early stopping at the best weights."""

from __future__ import annotations

import numpy as np
from torch import nn

from vibro.api import NotApplicableError, State
from vibro_plugins.deep.training import arrays, load_arrays


class EarlyStopping:
    """Keeps the weights of the lowest loss; stops when it has not fallen for ``patience`` evaluations.

    It has fallen if it lies below the kept one by 0.1 %, and by the standard error of that where one is given: a
    training that improves less leaves the weights that were there before, where ``start`` was told of them.
    """

    def __init__(self, module: nn.Module, patience: int) -> None:
        self.module, self.patience = module, patience
        self.best, self.error, self.waited = np.inf, 0.0, 0
        self.losses: list[float] = []
        self.weights = arrays(module)

    def start(self, loss: float, error: float) -> None:
        """The loss of the weights before training, and its standard error; untold, the first evaluation is always kept.

        NotApplicableError if the loss is not finite.
        """
        _finite(loss)
        self.best, self.error = loss, error

    @property
    def epoch(self) -> int:
        """After how many evaluations the best weights were found; 0: those before training."""
        return len(self.losses) - self.waited

    def stop(self, loss: float, error: float = 0.0) -> bool:
        """Records the loss of one evaluation, and its standard error; True when training should stop.

        NotApplicableError if the loss is not finite.
        """
        _finite(loss)
        self.losses.append(loss)
        if loss < min(self.best * 0.999, self.best - self.error):
            self.best, self.error, self.waited, self.weights = loss, error, 0, arrays(self.module)
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self) -> None:
        """Puts the best weights back."""
        load_arrays(self.module, self.weights)

    def state(self) -> State:
        """The best weights, their loss, the evaluations since, and the losses of all."""
        numbers = {"best": self.best, "error": self.error, "waited": self.waited, "losses": self.losses}
        return {**self.weights, **{name: np.array(value) for name, value in numbers.items()}}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.best, self.error, self.waited = float(state["best"]), float(state["error"]), int(state["waited"])
        self.losses = state["losses"].tolist()
        self.weights = {name: state[name] for name in self.weights}


def _finite(loss: float) -> None:
    if not np.isfinite(loss):
        raise NotApplicableError("training diverged: its loss is no finite number")
