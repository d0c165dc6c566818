"""Which values of its input make a network's score: integrated gradients, or each place of an image by itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vibro_plugins.deep.training import exact, scored

STEPS = 32  # of the path; its sum then differs from the score's rise by a few per cent
CHUNK = 16  # rows at a time
PLACES = 20  # of each side of an image that are tried by themselves; larger images are tried in patches

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


def by_themselves(net: nn.Module, score: Callable[[Tensor], Tensor], x: Tensor) -> NDArray[np.float64]:
    """By how much each place of images x (n, c, h, w) alone raises the score of the image of zeros, which is usual: same shape.

    For networks whose score is no longer a sum of parts where much is unusual at once.
    """
    channels, height, width = x.shape[1:]
    rows, columns = (np.linspace(0, side, min(side, PLACES) + 1).round().astype(int) for side in (height, width))
    places = [
        (slice(c, c + 1), slice(top, bottom), slice(left, right))
        for c in range(channels)
        for top, bottom in pairwise(rows.tolist())
        for left, right in pairwise(columns.tolist())
    ]

    def rises(image: Tensor) -> NDArray[np.float64]:
        def shown(numbers: NDArray[np.intp]) -> Tensor:
            alone = torch.zeros(len(numbers), *image.shape, device=image.device)
            for one, number in zip(alone, numbers, strict=True):
                if number < len(places):  # beyond: the usual image
                    one[places[number]] = image[places[number]]
            return alone

        found = scored(net, np.arange(len(places) + 1), score, shown)
        out = np.empty(tuple(image.shape))
        for rise, place in zip(found[:-1] - found[-1], places, strict=True):
            out[place] = rise / out[place].size
        return out

    return np.stack([rises(image) for image in x])
