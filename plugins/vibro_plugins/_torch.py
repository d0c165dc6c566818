"""What detectors on torch share: seeds, minibatches, steps, arrays in and out, trimming, early stopping, scoring in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Context, StandAside, State
from vibro_plugins._tabular import in_blocks


@contextmanager
def exact() -> Iterator[None]:
    """One torch thread, and on a GPU full float32 products (no TF32): the same score in any company; as before afterwards."""
    threads, matrices, convolutions = torch.get_num_threads(), torch.backends.cuda.matmul, torch.backends.cudnn
    before = matrices.allow_tf32, convolutions.allow_tf32
    torch.set_num_threads(1)
    matrices.allow_tf32 = convolutions.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        matrices.allow_tf32, convolutions.allow_tf32 = before


@contextmanager
def seeded(ctx: Context) -> Iterator[None]:
    """As ``exact``, and global generators seeded from ``ctx``; they are as before afterwards."""
    devices = [torch.device(ctx.device)] if ctx.device != "cpu" else []
    with exact(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(ctx.seed)
        yield


def mixed(device: str) -> AbstractContextManager[Any]:
    """On a GPU bfloat16 where a training step can do with it, which needs no scaled loss; on a CPU nothing."""
    return nullcontext() if device == "cpu" else torch.autocast("cuda", torch.bfloat16)


def as_tensor(x: NDArray[Any], device: str = "cpu") -> Tensor:
    """A float32 copy on the device; views are read-only, and torch warns of sharing those."""
    return torch.tensor(np.ascontiguousarray(x, np.float32), device=device)


def minibatches(rows: NDArray[np.intp], size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """The rows in random order in equal parts of about ``size``: no small rest, none dropped, one part if there are few."""
    return list(np.array_split(rng.permutation(rows), max(1, round(len(rows) / size))))


class Deck:
    """Rows dealt in batches of about ``size``, shuffled again whenever they have all been dealt."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.left: list[NDArray[np.intp]] = []

    def deal(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The next batch; ``rows`` is what is shuffled if none is left."""
        self.left = self.left or minibatches(rows, self.size, self.rng)
        return self.left.pop()

    def clear(self) -> None:
        """Nothing is left."""
        self.left = []

    def state(self) -> State:
        """The batches left."""
        return {str(i): part for i, part in enumerate(self.left)}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.left = [state[str(i)] for i in range(len(state))]


def batch_size(rows: int, most: int) -> int:
    """Rows of a minibatch: ``most``, fewer where an epoch would have less than sixteen steps, but at least 8."""
    return min(most, max(8, rows // 16))


def step(optimizer: torch.optim.Optimizer, loss: Tensor, clip: float | None = None) -> None:
    """One step down the gradient of ``loss``, which is first shortened to ``clip``."""
    optimizer.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_([v for group in optimizer.param_groups for v in group["params"]], clip)
    optimizer.step()


def scored(
    module: nn.Module,
    x: NDArray[Any],
    score: Callable[[Tensor], Tensor],
    tensor: Callable[[NDArray[Any]], Tensor],
    size: int = 64,
) -> NDArray[np.float64]:
    """``score`` of ``tensor`` of x (n, *item), module in eval mode, no gradients, in blocks of one size -> (n,) or (n, d)."""
    was_training = module.training
    module.eval()
    try:
        with exact(), torch.no_grad():
            return in_blocks(lambda part: score(tensor(part)).cpu().numpy().astype(np.float64), x, size)
    finally:
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
        """Takes note of one look; True when it is time to stop, StandAside where the loss is no number any more."""
        if not np.isfinite(loss):
            raise StandAside("training diverged: its loss is no finite number")
        if loss < self.best * 0.999:
            self.best, self.waited, self.weights = loss, 0, arrays(self.module)
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self) -> None:
        """Puts the best weights back."""
        load_arrays(self.module, self.weights)

    def state(self) -> State:
        """The best weights, their loss, and the looks since."""
        return {**self.weights, "best": np.array(self.best), "waited": np.array(self.waited)}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.best, self.waited = float(state["best"]), int(state["waited"])
        self.weights = {name: state[name] for name in self.weights}


class Trimming:
    """Which of the rows are trained on: all, or those of ``kept``; then, every few epochs, all but the ``share`` with the
    largest error, so that anomalies among them are not learned.
    """

    def __init__(
        self, rows: NDArray[np.intp], share: float, first: int, every: int, kept: NDArray[np.intp] | None = None
    ) -> None:
        self.rows, self.share, self.first, self.every = rows, share, first, every
        self.kept = rows if kept is None else kept

    def look(self, epoch: int, error: Callable[[NDArray[np.intp]], NDArray[np.float64]]) -> bool:
        """Chooses anew if it is time, by ``error`` of rows (n,); True if so."""
        due = epoch >= self.first and (epoch - self.first) % self.every == 0
        if due:
            self.kept = self.rows[nearest(error(self.rows), self.share)]
        return due

    def state(self) -> State:
        """The rows trained on."""
        return {"kept": self.kept}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self.kept = state["kept"]


def effective_rank(codes: NDArray[np.float64]) -> float:
    """exp of the entropy of the shares of variance along the principal axes (after Roy and Vetterli, EUSIPCO 2007).

    0 where nothing varies or a code is not finite.
    """
    if not np.isfinite(codes).all():
        return 0.0
    variance = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False) ** 2
    share = variance[variance > 0] / max(variance.sum(), 1e-300)
    return float(np.exp(-np.sum(share * np.log(share)))) if len(share) else 0.0
