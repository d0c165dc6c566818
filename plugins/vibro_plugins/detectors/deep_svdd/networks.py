"""The networks of Deep SVDD: encoders without biases, and the decoder of the pre-training."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vibro_plugins.deep.resnet import Upward, map_size, start, trunk
from vibro_plugins.detectors.deep_svdd.settings import DeepSvddParams


class Encoder(nn.Module):
    """Image to code without biases: with them a constant code would minimise the loss (Ruff et al., Proposition 2)."""

    def __init__(self, channels: int, size: tuple[int, int], p: DeepSvddParams) -> None:
        super().__init__()
        self.trunk, self.features, self.halvings = trunk(channels, p.backbone, p.width, bias=False)
        height, width = map_size(size, self.halvings)
        self.out = nn.Linear(self.features * height * width, p.code, bias=False)
        start(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, code)."""
        return self.out(self.trunk(x).flatten(1))


class Dense(nn.Module):
    """Vector in three channels to code: two hidden layers, without biases; ``heads`` such networks side by side."""

    def __init__(self, values: int, p: DeepSvddParams) -> None:
        super().__init__()
        wide = (3 * values, 8 * p.width, 4 * p.width, p.code)
        self.heads = nn.ModuleList(
            nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(wide)) for _ in range(p.heads)
        )
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, values) -> (b, heads * code)."""
        codes = []
        for first, second, out in self.heads:
            codes.append(out(F.leaky_relu(second(F.leaky_relu(first(x.flatten(1)), 0.1)), 0.1)))
        return torch.cat(codes, dim=1)


class Decoder(nn.Module):
    """Code to image, for the pre-training only."""

    def __init__(self, encoder: Encoder, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (encoder.features, *map_size(size, encoder.halvings))
        self.into = nn.Linear(encoder.out.out_features, encoder.out.in_features)
        self.up = Upward(encoder.features, encoder.halvings, channels, size)
        start(self.into)

    def forward(self, code: Tensor) -> Tensor:
        """(b, code) -> (b, channels, h, w)."""
        return self.up(F.leaky_relu(self.into(code), 0.1).reshape(-1, *self.shape))
