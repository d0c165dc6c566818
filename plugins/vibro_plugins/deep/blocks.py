"""Blocks of networks on lines: strided convolutions and attention; tensors are (b, length, channels).

The convolutions are written as matrix products of neighbouring patches. With few channels on a CPU this is several times as
fast as ``torch.nn.Conv1d``, above all where a gradient penalty differentiates twice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StridedConv(nn.Module):
    """Convolution of kernel 2 s and stride s: output i is a linear map of patches i and i + 1; the end is zero-padded."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Linear(2 * stride * inside, outside)

    def forward(self, x: Tensor) -> Tensor:
        """(b, length, inside) -> (b, ceil(length / s), outside)."""
        patches = patched(x, self.stride)
        following = F.pad(patches[:, 1:], (0, 0, 0, 1))
        return self.weight(torch.cat([patches, following], dim=2))


class Upsampling(nn.Module):
    """Transposed convolution of kernel 2 s and stride s: places i - 1 and i give s outputs; cut to ``length``."""

    def __init__(self, inside: int, outside: int, stride: int, length: int) -> None:
        super().__init__()
        self.outside, self.length = outside, length
        self.weight = nn.Linear(2 * inside, stride * outside)

    def forward(self, x: Tensor) -> Tensor:
        """(b, ceil(length / s), inside) -> (b, length, outside)."""
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        return self.weight(torch.cat([x, before], dim=2)).reshape(len(x), -1, self.outside)[:, : self.length]


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and a feed-forward layer, each added to its input (Vaswani et al., NeurIPS 2017)."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(size), nn.LayerNorm(size)])
        self.qkv, self.merge = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.forth, self.back = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x: Tensor) -> Tensor:
        """(b, tokens, size) -> the same shape."""
        b, tokens, size = x.shape
        q, k, v = self.qkv(self.norms[0](x)).reshape(b, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attention = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
        x = x + self.merge((attention @ v).transpose(1, 2).reshape(b, tokens, size))
        return x + self.back(F.gelu(self.forth(self.norms[1](x))))


def patched(x: Tensor, size: int) -> Tensor:
    """(b, length, channels) -> (b, ceil(length / size), size * channels), the last patch zero-padded."""
    places = (x.shape[1] + size - 1) // size  # of no negative number, which an ONNX graph would round the other way
    return F.pad(x, (0, 0, 0, places * size - x.shape[1])).reshape(len(x), places, size * x.shape[2])


def strides_for(length: int, short: int) -> list[int]:
    """Strides that shorten a line to at most ``short`` places: 8, then 4 each; [1] for a line that is short already."""
    strides: list[int] = []
    while length > short:
        strides.append(4 if strides or length <= 4 * short else 8)
        length = -(-length // strides[-1])
    return strides or [1]


def shortened(length: int, strides: list[int]) -> list[int]:
    """Length of the line before and after each stride."""
    out = [length]
    for stride in strides:
        out.append(-(-out[-1] // stride))
    return out
