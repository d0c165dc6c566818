"""Encoders of the contrastive detector, for vectors and records and for images, without normalisation layers.

Batch norm leaks which records share a batch (moco issue 46); group and layer norm remove a record's level, which many faults
change. Weights are initialised to keep variances instead (He et al., ICCV 2015).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vibro.api import NotApplicableError
from vibro_plugins.deep.blocks import AttentionBlock, StridedConv, patched, shortened, strides_for
from vibro_plugins.deep.resnet import SLOPE, start

SHORT = 16  # places at which a line is no longer shortened
HEADS = 4  # of the attention
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


class ResidualEncoder(nn.Module):
    """(b, channels, length) -> (b, code): as ``LineEncoder``, a residual block of two convolutions after each step."""

    def __init__(self, channels: int, length: int, width: int, code: int, places: int) -> None:
        super().__init__()
        strides = strides_for(length, SHORT)
        sizes = [channels, *(min(width * 2**i, 4 * width) for i in range(len(strides)))]
        steps = zip(sizes, sizes[1:], strides, strict=False)
        self.down = nn.ModuleList(StridedConv(*step) for step in steps)
        self.inner = nn.ModuleList(
            nn.ModuleList([nn.Conv1d(size, size, 3, 1, 1), nn.Conv1d(size, size, 3, 1, 1)]) for size in sizes[1:]
        )
        self.places = min(places, shortened(length, strides)[-1]) or 1
        self.out = nn.Linear(sizes[-1] * self.places, code)
        start(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, length) -> (b, code)."""
        y = x.transpose(1, 2)
        for down, (first, second) in zip(self.down, self.inner, strict=True):
            y = F.leaky_relu(down(y), SLOPE)
            inner = second(F.leaky_relu(first(y.transpose(1, 2)), SLOPE)).transpose(1, 2)
            y = F.leaky_relu((y + inner) / 2**0.5, SLOPE)
        return self.out(F.adaptive_avg_pool1d(y.transpose(1, 2), self.places).flatten(1))


class PatchEncoder(nn.Module):
    """(b, channels, length) -> (b, code): patches with learned positions through a Transformer or a GRU over patches.

    The Transformer's output is the mean over the patches, the GRU's its last state (Vaswani et al., NeurIPS 2017; Cho et al.,
    EMNLP 2014).
    """

    def __init__(self, channels: int, length: int, width: int, code: int, recurrent: bool) -> None:
        super().__init__()
        self.patch = -(-length // SHORT)
        size, places = 4 * width, -(-length // self.patch)
        self.into = nn.Linear(channels * self.patch, size)
        self.places = nn.Parameter(0.02 * torch.randn(places, size))
        self.gru = nn.GRU(size, size, batch_first=True) if recurrent else None
        self.blocks = nn.ModuleList() if recurrent else nn.ModuleList(AttentionBlock(size, HEADS) for _ in range(2))
        self.out = nn.Linear(size, code)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, length) -> (b, code)."""
        y = self.into(patched(x.transpose(1, 2), self.patch)) + self.places
        if self.gru is not None:
            return self.out(self.gru(y)[0][:, -1])
        for block in self.blocks:
            y = block(y)
        return self.out(y.mean(dim=1))


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


def encoder(kind: str, shape: tuple[int, ...], width: int, code: int, locked: bool) -> nn.Module:
    """For shapes (channels, length) or (channels, h, w); ``locked``: positions along the last axis are meaningful."""
    if len(shape) == 3:
        if kind != "cnn":
            raise NotApplicableError(f"the encoder {kind} reads vectors and records, no images; set encoder = 'cnn'")
        return ImageEncoder(shape[0], shape[1:], width, code, SMALL // 2, locked)
    if kind in ("transformer", "gru"):
        return PatchEncoder(*shape, width, code, recurrent=kind == "gru")
    lines = LineEncoder if kind == "cnn" else ResidualEncoder
    return lines(*shape, width, code, SHORT if locked else 0)


def projection(code: int) -> nn.Module:
    """The projection head, which the loss uses and the score does not (Chen et al., SimCLR, ICML 2020)."""
    return nn.Sequential(nn.Linear(code, code), nn.ReLU(), nn.Linear(code, code))
