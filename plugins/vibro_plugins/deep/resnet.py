"""Residual backbones for image detectors: a small one for a CPU and ResNet-18, both without normalisation layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1  # of the leaky ReLU below zero


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016), their sum divided by sqrt 2 to keep its variance.

    No normalisation: over a record's own map it would remove its level, over a batch it would make scores depend on the
    batch. The shortcut takes every ``stride``-th pixel before its 1 x 1 convolution: a strided convolution computes the
    same, but its gradient for fewer than 8 channels in channels-last layout corrupts memory on CPUs without AVX-512
    (oneDNN 3.12).
    """

    def __init__(self, inside: int, outside: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=bias)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=bias)
        same = stride == 1 and inside == outside
        self.past = nn.Identity() if same else nn.Conv2d(inside, outside, 1, bias=bias)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(b, inside, h, w) -> (b, outside, h / stride, w / stride)."""
        y = self.second(F.leaky_relu(self.first(x), SLOPE))
        return F.leaky_relu((y + self.past(x[:, :, :: self.stride, :: self.stride])) / 2**0.5, SLOPE)


def trunk(channels: int, backbone: str, width: int, bias: bool) -> tuple[nn.Sequential, int, int]:
    """Layers from (b, channels, h, w) to (b, features, h / 2^k, w / 2^k), sizes rounded up; the number of features; k.

    ``small``: three stages of one block, ``width`` to 4 ``width`` features, k = 3. ``resnet18``: a 7 x 7 convolution, a
    max pool and four stages of two blocks, 64 to 512 features, k = 5; ``width`` is ignored. Without biases the output is
    proportional to the input.
    """
    small = backbone == "small"
    width, stages, blocks, stem = (width, 3, 1, 3) if small else (64, 4, 2, 7)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, stem, 2, stem // 2, bias=bias), nn.LeakyReLU(SLOPE)]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, 1))
    inside = width
    for stage in range(stages):
        for block in range(blocks):
            outside = width * 2**stage
            layers.append(Block(inside, outside, 2 if stage and not block else 1, bias))
            inside = outside
    net = nn.Sequential(*layers)
    start(net)
    return net, inside, 3 if small else 5


def start(net: nn.Module) -> None:
    """Initialises every convolution and linear layer by He et al. (2015) for the leaky ReLU, biases 0."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, SLOPE, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Upward(nn.Module):
    """Decoder from a map of features to an image: doubled ``steps`` times, then cropped to ``size``.

    Each step is a convolution with pixel shuffle (Shi et al. 2016), which equals a transposed convolution of stride 2 and is
    several times as fast on a CPU.
    """

    def __init__(self, features: int, steps: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(steps):
            outside = max(features // 2, 4)
            layers += [nn.Conv2d(features, 4 * outside, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(SLOPE)]
            features = outside
        self.layers = nn.Sequential(*layers, nn.Conv2d(features, channels, 3, 1, 1))
        self.size = size
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, features, h, w) -> (b, channels, *size)."""
        return self.layers(x)[:, :, : self.size[0], : self.size[1]]


def map_size(size: tuple[int, int], k: int) -> tuple[int, int]:
    """Height and width of a trunk's map for images of ``size``."""
    return (size[0] + 2**k - 1) >> k, (size[1] + 2**k - 1) >> k
