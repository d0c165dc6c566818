"""What detectors on torch share: seeds, minibatches, arrays in and out, trimming, early stopping, scoring in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Context, State
from vibro_plugins._tabular import in_blocks


@contextmanager
def seeded(ctx: Context) -> Iterator[None]:
    """One torch thread and global generators seeded from ``ctx``; all of it as before afterwards."""
    threads = torch.get_num_threads()
    devices = [torch.device(ctx.device)] if ctx.device != "cpu" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(ctx.seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def as_tensor(x: NDArray[Any], device: str = "cpu") -> Tensor:
    """A float32 copy on the device; views are read-only, and torch warns of sharing those."""
    return torch.tensor(np.ascontiguousarray(x, np.float32), device=device)


def minibatches(rows: NDArray[np.intp], size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The rows in random order in equal parts of about ``size``: no small rest, none dropped, one part if there are few."""
    return list(np.array_split(rng.permutation(rows), max(1, round(len(rows) / size))))


def batch_size(rows: int, most: int) -> int:
    """Rows of a minibatch: ``most``, fewer where an epoch would have less than sixteen steps, but at least 8."""
    return min(most, max(8, rows // 16))


def scored(
    module: nn.Module,
    x: NDArray[Any],
    score: Callable[[Tensor], Tensor],
    tensor: Callable[[NDArray[Any]], Tensor],
    size: int = 64,
) -> NDArray[np.float64]:
    """``score`` of ``tensor`` of x (n, *item), module in eval mode, no gradients, in blocks of one size -> (n,)."""
    was_training = module.training
    module.eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return in_blocks(lambda part: score(tensor(part)).cpu().numpy().astype(np.float64), x, size)
    finally:
        torch.set_num_threads(threads)
        module.train(was_training)


def arrays(module: nn.Module, prefix: str = "net.") -> State:
    """Parameters and buffers as arrays by name."""
    return {prefix + name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, state: Mapping[str, NDArray[Any]], prefix: str = "net.") -> None:
    """Back from ``arrays`` into a module of the same shape."""
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    module.load_state_dict({name: torch.tensor(np.array(value)) for name, value in found.items()})


def nearest(error: NDArray[np.float64], trim: float) -> NDArray[np.intp]:
    """Sorted indices of the rows left when the ``trim`` share with the largest error is dropped."""
    return np.sort(np.argsort(error, kind="stable")[: len(error) - int(trim * len(error))])


class Plateau:
    """Keeps the best weights seen by a loss and says when it has not fallen by 0.1 % for ``patience`` looks."""

    def __init__(self, module: nn.Module, patience: int) -> None:
        self.module, self.patience = module, patience
        self.best, self.waited = np.inf, 0
        self.weights = arrays(module)

    def stop(self, loss: float) -> bool:
        """Takes note of one look; True when it is time to stop."""
        if loss < self.best * 0.999:
            self.best, self.waited, self.weights = loss, 0, arrays(self.module)
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self) -> None:
        """Puts the best weights back."""
        load_arrays(self.module, self.weights)


def effective_rank(codes: NDArray[np.float64]) -> float:
    """exp of the entropy of the shares of variance along the principal axes (after Roy and Vetterli, EUSIPCO 2007).

    0 where nothing varies or a code is not finite.
    """
    if not np.isfinite(codes).all():
        return 0.0
    variance = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False) ** 2
    share = variance[variance > 0] / max(variance.sum(), 1e-300)
    return float(np.exp(-np.sum(share * np.log(share)))) if len(share) else 0.0
