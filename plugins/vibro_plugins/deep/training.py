"""What detectors on torch share: reproducible arithmetic, steps, scoring in blocks, weights as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro.api import Context, State
from vibro_plugins.stats.columns import in_blocks


@contextmanager
def exact() -> Iterator[None]:
    """One torch thread, and on a GPU float32 products without TF32, so that scores are independent of the batch."""
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
    """As ``exact``, with torch's global generators seeded from ``ctx`` and restored afterwards."""
    devices = [torch.device(ctx.device)] if ctx.device != "cpu" else []
    with exact(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(ctx.seed)
        yield


def mixed(device: str) -> AbstractContextManager[Any]:
    """Mixed precision in bfloat16, which needs no loss scaling, on a GPU; nothing on a CPU."""
    return nullcontext() if device == "cpu" else torch.autocast("cuda", torch.bfloat16)


def as_tensor(x: NDArray[Any], device: str = "cpu") -> Tensor:
    """A float32 copy on the device: torch warns of sharing memory with arrays that are read-only, as views are."""
    return torch.tensor(np.ascontiguousarray(x, np.float32), device=device)


def step(optimizer: torch.optim.Optimizer, loss: Tensor, clip: float | None = None) -> None:
    """One optimiser step on ``loss``, the norm of the gradient clipped to ``clip``."""
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
    """``score(tensor(x))`` of rows x (n, *item) -> (n,) or (n, d): eval mode, no gradients, in blocks of ``size`` rows."""
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
    """Loads what ``arrays`` gave into a module of the same shape."""
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    module.load_state_dict({name: torch.tensor(np.array(value)) for name, value in found.items()})
