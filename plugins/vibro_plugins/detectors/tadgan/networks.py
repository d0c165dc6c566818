"""The networks of TadGAN: encoder, generator, two kinds of critic of windows, and a critic of codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vibro_plugins.deep.blocks import AttentionBlock, StridedConv, Upsampling, patched, shortened, strides_for

SLOPE = 0.2
SHORT = 16  # places at which a window is no longer shortened


class Encoder(nn.Module):
    """Window to values: strided convolutions, then a dense layer over all places, since pooling would lose the phase.

    No normalisation: batch norm would make a critic's gradient penalty depend on the other samples.
    """

    def __init__(self, channels: int, length: int, width: int, values: int) -> None:
        super().__init__()
        strides = strides_for(length, SHORT)
        sizes = [channels, width, *(2 * width for _ in strides[1:])]
        self.layers = nn.ModuleList(StridedConv(*pair) for pair in zip(sizes, sizes[1:], strides, strict=False))
        self.out = nn.Linear(sizes[-1] * shortened(length, strides)[-1], values)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, length) -> (b, values)."""
        y = x.transpose(1, 2)
        for layer in self.layers:
            y = F.leaky_relu(layer(y), SLOPE)
        return self.out(y.flatten(1))


class Generator(nn.Module):
    """Code to window: a dense layer and transposed convolutions with a linear output."""

    def __init__(self, channels: int, length: int, width: int, latent: int) -> None:
        super().__init__()
        strides = strides_for(length, SHORT)
        lengths = shortened(length, strides)
        sizes = [channels, width, *(2 * width for _ in strides[1:])]
        self.places = lengths[-1]
        self.into = nn.Linear(latent, sizes[-1] * self.places)
        steps = zip(sizes[1:], sizes, strides, lengths, strict=False)
        self.layers = nn.ModuleList(Upsampling(*step) for step in reversed(list(steps)))

    def forward(self, z: Tensor) -> Tensor:
        """(b, latent) -> (b, channels, length)."""
        y = self.into(z).reshape(len(z), self.places, -1)
        for layer in self.layers:
            y = layer(F.leaky_relu(y, SLOPE))
        return y.transpose(1, 2)


class ConvCritic(nn.Module):
    """Value of a window by strided convolutions."""

    def __init__(self, channels: int, length: int, width: int) -> None:
        super().__init__()
        self.net = Encoder(channels, length, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, length) -> (b,)."""
        return self.net(x)[:, 0]


class PatchCritic(nn.Module):
    """Value of a window by a Transformer over patches with learned positions.

    Attention is written out: the gradient penalty differentiates twice, which fused attention does not allow.
    """

    def __init__(self, channels: int, length: int, width: int, patch: int, heads: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.patch = min(patch, length)
        size = 4 * width
        self.into = nn.Linear(channels * self.patch, size)
        self.places = nn.Parameter(0.02 * torch.randn(-(-length // self.patch), size))
        self.blocks = nn.ModuleList(AttentionBlock(size, heads) for _ in range(blocks))
        self.out = nn.Linear(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, length) -> (b,)."""
        y = self.into(patched(x.transpose(1, 2), self.patch)) + self.places
        for block in self.blocks:
            y = block(y)
        return self.out(y.mean(dim=1))[:, 0]


def latent_critic(latent: int, width: int) -> nn.Module:
    """Value of a latent (b, latent) -> (b, 1)."""
    size = 4 * width
    return nn.Sequential(
        nn.Linear(latent, size), nn.LeakyReLU(SLOPE), nn.Linear(size, size), nn.LeakyReLU(SLOPE), nn.Linear(size, 1)
    )


def penalty(critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient penalty mean (|gradient| - 1)^2 (Gulrajani et al., NeurIPS 2017), and the mean length of the gradient.

    Evaluated at share real + (1 - share) fake, ``share`` (b,) in 0..1; the length is over all values of one sample.
    """
    share = share.reshape(-1, *(1,) * (real.ndim - 1))
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    gradient = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
    length = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return ((length - 1) ** 2).mean(), length.mean().detach()
