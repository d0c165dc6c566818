"""Encoders of the contrastive detector, for vectors and records and for images, without normalisation layers.

Batch norm leaks which records share a batch (moco issue 46); group and layer norm remove a record's level, which many faults
change. Weights are initialised to keep variances instead (He et al., ICCV 2015).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vibro_plugins.deep.blocks import StridedConv, shortened, strides_for
from vibro_plugins.deep.resnet import SLOPE, start

SHORT = 16  # places at which a line is no longer shortened
SMALL = 8  # pixels of the longer side at which an image is no longer halved


class LineEncoder(nn.Module):
    """(b, channels, length) -> (b, code) by strided convolutions, pooled to ``places``; 0: to mean and maximum."""

    def __init__(self, channels: int, length: int, width: int, code: int, places: int) -> None:
        super().__init__()
        strides = strides_for(length, SHORT)
        sizes = [channels, *(min(width * 2**i, 4 * width) for i in range(len(strides)))]
        self.layers = nn.ModuleList(StridedConv(*pair) for pair in zip(sizes, sizes[1:], strides, strict=False))
        self.places = min(places, shortened(length, strides)[-1])
        self.out = nn.Linear(sizes[-1] * (self.places or 2), code)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, length) -> (b, code)."""
        y = x.transpose(1, 2)
        for layer in self.layers:
            y = F.leaky_relu(layer(y), SLOPE)
        if self.places:
            return self.out(F.adaptive_avg_pool1d(y.transpose(1, 2), self.places).flatten(1))
        return self.out(torch.cat([y.mean(dim=1), y.amax(dim=1)], dim=1))


class ImageEncoder(nn.Module):
    """(b, channels, h, w) -> (b, code) by convolutions; rows pooled to ``places``, columns too if ``locked``, else to one."""

    def __init__(self, channels: int, size: tuple[int, int], width: int, code: int, places: int, locked: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside, outside, longer = channels, width, max(size)
        while not layers or longer > SMALL:
            stride = 2 if longer > SMALL else 1
            layers += [nn.Conv2d(inside, outside, 3, stride, 1), nn.LeakyReLU(SLOPE)]
            longer = (longer - 1) // stride + 1
            inside, outside = outside, min(2 * outside, 4 * width)
        self.layers = nn.Sequential(*layers)
        self.places = (places, places if locked else 1)
        self.out = nn.Linear(inside * self.places[0] * self.places[1], code)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, code)."""
        return self.out(F.adaptive_avg_pool2d(self.layers(x), self.places).flatten(1))


def encoder(shape: tuple[int, ...], width: int, code: int, locked: bool) -> nn.Module:
    """For shapes (channels, length) or (channels, h, w); ``locked``: positions along the last axis are meaningful."""
    if len(shape) == 2:
        return LineEncoder(*shape, width, code, SHORT if locked else 0)
    return ImageEncoder(shape[0], shape[1:], width, code, SMALL // 2, locked)


def projection(code: int) -> nn.Module:
    """The projection head, which the loss uses and the score does not (Chen et al., SimCLR, ICML 2020)."""
    return nn.Sequential(nn.Linear(code, code), nn.ReLU(), nn.Linear(code, code))
