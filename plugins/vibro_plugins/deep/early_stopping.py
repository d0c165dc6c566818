"""Early stopping at the best weights."""

from __future__ import annotations

import numpy as np
from torch import nn

from vibro.api import NotApplicableError, State
from vibro_plugins.deep.training import arrays, load_arrays


class EarlyStopping:
    """Keeps the weights of the lowest loss; stops when it has not fallen by 0.1 % for ``patience`` evaluations."""

    def __init__(self, module: nn.Module, patience: int) -> None:
        self.module, self.patience = module, patience
        self.best, self.waited = np.inf, 0
        self.losses: list[float] = []
        self.weights = arrays(module)

    def stop(self, loss: float) -> bool:
        """Records the loss of one evaluation; True when training should stop. NotApplicableError if it is not finite."""
        if not np.isfinite(loss):
            raise NotApplicableError("training diverged: its loss is no finite number")
        self.losses.append(loss)
        if loss < self.best * 0.999:
            self.best, self.waited, self.weights = loss, 0, arrays(self.module)
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self) -> None:
        """Puts the best weights back."""
        load_arrays(self.module, self.weights)

    def state(self) -> State:
        """The best weights, their loss, the evaluations since, and the losses of all."""
        counts = {"best": np.array(self.best), "waited": np.array(self.waited), "losses": np.array(self.losses)}
        return {**self.weights, **counts}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.best, self.waited, self.losses = float(state["best"]), int(state["waited"]), state["losses"].tolist()
        self.weights = {name: state[name] for name in self.weights}
