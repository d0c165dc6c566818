"""Which values of its input make a network's score: integrated gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro_plugins.deep.training import exact

STEPS = 32  # of the path; its sum then differs from the score's rise by a few per cent
CHUNK = 16  # rows at a time

Slope = Callable[[Tensor], Tensor]


def slope_of(score: Callable[[Tensor], Tensor]) -> Slope:
    """The gradient of ``score`` (b, *item) -> (b,), whose rows do not depend on each other."""

    def slope(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(score(x).sum(), x)[0]

    return slope


def integrated_gradients(
    net: nn.Module, slope: Slope, x: Tensor, usual: Tensor, together: int = 1
) -> NDArray[np.float64]:
    """What each value of x (n, *item) adds to the score on the straight path from ``usual`` (1, *item): (n, *item).

    The sum over a row is its score less that of ``usual`` (Sundararajan, Taly and Yan, Axiomatic Attribution for Deep
    Networks, ICML 2017). Row i of ``slope`` may depend on the ``together`` rows of its record.
    """
    was_training = net.training
    net.eval()
    parts = []
    try:
        with exact(), torch.enable_grad():
            for rows in x.split(CHUNK * together):
                way = torch.zeros(CHUNK * together, *x.shape[1:], device=x.device)  # of one size, for equal rounding
                way[: len(rows)] = rows - usual
                total = sum(slope(usual + (k + 0.5) / STEPS * way) for k in range(STEPS))
                parts.append((way * total / STEPS)[: len(rows)].cpu().numpy().astype(np.float64))
    finally:
        net.train(was_training)
    return np.concatenate(parts)
