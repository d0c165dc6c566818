"""Augmentations: what may change in a record without a fault (positives), and what faults change (shifted instances).

Positives differ by a circular shift in time, noise at the record's own floor, a gain of a few per cent and a short gap: the
detector becomes blind to these. Edits of level, bands, frequencies or time structure are what faults do: they are negatives
(Tack et al., CSI, NeurIPS 2020). All functions take and return standardised tensors, (b, c, t) or images (b, c, h, w). Shifts
and gaps are for a time axis only: along frequency a gap would be a lost band.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

STRENGTH = (0.5, 3.0)  # of an edit, in units of the usual spread


@dataclass(frozen=True)
class Augmentation:
    """Largest ``shift`` and ``mask`` as shares of the last axis; ``noise`` in noise floors; largest relative ``gain``."""

    shift: float
    noise: float
    gain: float
    mask: float

    def __call__(self, x: Tensor, draw: Generator) -> Tensor:
        """A random view of each row."""
        b, length = len(x), x.shape[-1]
        column = (b, *(1,) * (x.ndim - 1))
        y = x
        if self.shift:
            offset = torch.randint(0, max(round(self.shift * length), 1), (b,), generator=draw)
            y = rolled(y, offset)
        y = y + self.noise * own_floor(x) * _like(torch.randn(x.shape, generator=draw), x)
        y = y * _like(1 + self.gain * (2 * torch.rand(column, generator=draw) - 1), x)
        if self.mask:
            gap = torch.floor(torch.rand(b, generator=draw) * (int(self.mask * length) + 1))
            start = torch.rand(b, generator=draw) * (length - gap)
            y = y * ~_between(length, start, start + gap).to(x.device).reshape(b, *(1,) * (x.ndim - 2), length)
        return y


def own_floor(x: Tensor) -> Tensor:
    """Noise floor of each row and channel: median absolute second difference / 1.652, its value for white noise of unit
    variance. Differences of 0, from constant stretches, are left out.
    """
    if x.shape[-1] < 3:
        return torch.zeros_like(x[..., :1])
    rough = (x[..., 2:] - 2 * x[..., 1:-1] + x[..., :-2]).abs().flatten(2)
    floor = rough.masked_fill(rough == 0, torch.nan).nanmedian(dim=2).values.nan_to_num() / 1.652
    return floor.reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


def rolled(x: Tensor, offset: Tensor) -> Tensor:
    """Each row circularly shifted by its own ``offset`` (b,) along the last axis."""
    length = x.shape[-1]
    index = (torch.arange(length) + offset[:, None]) % length
    return x.gather(-1, index.to(x.device).reshape(len(x), *(1,) * (x.ndim - 2), length).expand_as(x))


def edited(x: Tensor, draw: Generator, waveform: bool) -> Tensor:
    """Shifted instances: each row with a random edit that a fault could make."""
    edits = WAVE_EDITS if waveform else MAP_EDITS
    kind = torch.randint(0, len(edits), (len(x),), generator=draw)
    low, high = STRENGTH
    strength = low * (high / low) ** torch.rand(len(x), generator=draw)
    y = x.clone()
    for k, edit in enumerate(edits):
        rows = torch.nonzero(kind == k)[:, 0]
        if len(rows):
            y[rows.to(x.device)] = edit(x[rows.to(x.device)], strength[rows], draw)
    return y


def level_of_wave(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """The whole record louder or quieter."""
    sign = _signs(len(x), draw)
    return x * _column((1 + strength) ** sign, x)


def band_of_wave(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """A band of a half to two octaves louder or quieter."""
    spectrum = torch.fft.rfft(x)
    bins = spectrum.shape[-1]
    start = bins ** torch.rand(len(x), generator=draw)
    stop = start * 2 ** (0.5 + 1.5 * torch.rand(len(x), generator=draw))
    inside = _between(bins, start, stop).to(x.device)[:, None, :]
    factor = _column((1 + 2 * strength) ** _signs(len(x), draw), x)
    return torch.fft.irfft(torch.where(inside, spectrum * factor, spectrum), n=x.shape[-1])


def clipped_wave(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """Peaks clipped."""
    limit = x.abs().amax(dim=-1, keepdim=True) / _column(1 + strength, x)
    return torch.clamp(x, -limit, limit)


def stretched_wave(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """All frequencies shifted by one ratio, up to a quarter."""
    ratio = 1 + _signs(len(x), draw) * strength / STRENGTH[1] / 4
    length = x.shape[-1]
    at = (torch.arange(length) * ratio[:, None]) % (length - 1)
    below = at.long()
    share = _like(at - below, x)[:, None, :]
    index = below.to(x.device)[:, None, :].expand_as(x)
    return x.gather(-1, index) * (1 - share) + x.gather(-1, (index + 1).clamp(max=length - 1)) * share


def struck_wave(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """A periodic train of decaying impacts."""
    length = x.shape[-1]
    period = length / (4 + 28 * torch.rand(len(x), 1, generator=draw))
    since = (torch.arange(length) + period * torch.rand(len(x), 1, generator=draw)) % period
    pitch = 0.1 + 0.35 * torch.rand(len(x), 1, generator=draw)
    ring = torch.exp(-since / 8) * torch.cos(2 * torch.pi * pitch * since)
    rms = x.square().mean(dim=-1, keepdim=True).sqrt()
    return x + rms * _column(2 * strength, x) * _like(ring, x)[:, None, :]


def held_wave(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """A stretch of zeros, up to half of the record."""
    length = x.shape[-1]
    gap = strength / STRENGTH[1] * length / 2
    start = torch.rand(len(x), generator=draw) * (length - gap)
    return x * ~_between(length, start, start + gap).to(x.device)[:, None, :]


def level_of_map(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """Every value higher or lower."""
    return x + _column(strength * _signs(len(x), draw), x)


def band_of_map(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """A band higher or lower: neighbouring values of a vector, neighbouring rows of an image."""
    size = x.shape[2]
    width = 1 + torch.floor(size / 4 * torch.rand(len(x), generator=draw) ** 2)
    start = torch.floor(torch.rand(len(x), generator=draw) * (size - width + 1))
    inside = _like(_between(size, start, start + width), x).reshape(len(x), 1, size, *(1,) * (x.ndim - 3))
    return x + inside * _column(1.5 * strength * _signs(len(x), draw), x)


def comb_of_map(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """Evenly spaced values (or rows) higher or lower: a family of harmonics."""
    size = x.shape[2]
    step = 2 + torch.floor(max(size / 8 - 2, 1) * torch.rand(len(x), generator=draw))
    first = torch.floor(step * torch.rand(len(x), generator=draw))
    teeth = (torch.arange(size) - first[:, None]) % step[:, None] < 1
    inside = _like(teeth, x).reshape(len(x), 1, size, *(1,) * (x.ndim - 3))
    return x + inside * _column(2 * strength * _signs(len(x), draw), x)


def line_of_map(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """One value or pixel higher or lower: a single spectral line."""
    y = x.flatten(2).clone()
    at = torch.randint(0, y.shape[2], (len(x),), generator=draw).to(x.device)
    y[torch.arange(len(x), device=x.device), :, at] += _like(3 * strength * _signs(len(x), draw), x)[:, None]
    return y.reshape(x.shape)


def burst_of_map(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """A stretch of the last axis higher: a burst in an image, another band in a vector."""
    length = x.shape[-1]
    gap = 1 + length / 8 * torch.rand(len(x), generator=draw)
    start = torch.rand(len(x), generator=draw) * (length - gap)
    inside = _like(_between(length, start, start + gap), x).reshape(len(x), *(1,) * (x.ndim - 2), length)
    return x + inside * _column(1.5 * strength, x)


def rough_of_map(x: Tensor, strength: Tensor, draw: Generator) -> Tensor:
    """Independent noise on every value."""
    return x + _column(strength, x) * _like(torch.randn(x.shape, generator=draw), x)


WAVE_EDITS = (level_of_wave, band_of_wave, clipped_wave, stretched_wave, struck_wave, held_wave)
MAP_EDITS = (level_of_map, band_of_map, line_of_map, comb_of_map, burst_of_map, rough_of_map)


def _signs(b: int, draw: Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, (b,), generator=draw) - 1


def _between(length: int, start: Tensor, stop: Tensor) -> Tensor:
    """(b, length) bool: places from ``start`` to before ``stop``."""
    at = torch.arange(length)
    return (at >= start[:, None]) & (at < stop[:, None])


def _column(values: Tensor, x: Tensor) -> Tensor:
    return _like(values, x).reshape(len(x), *(1,) * (x.ndim - 1))


def _like(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.device, x.dtype)
