"""The same maps on a GPU: whole batches at once, without the shortcuts that branch by record."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vibro_plugins.timefrequency.bank import SCALES, Bank, ClassicBank, fill_between

SCALES_AT_ONCE = 8


def power_on(device: str, bank: Bank, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``morlet.pooled_power`` on ``device``."""
    grid = bank.grid
    half = torch.fft.rfft(_padded(device, grid, x))
    mirror = half[:, grid.length - bank.bins + 1 : half.shape[1] - 1].flip(1).conj()
    spectrum = torch.cat([half, mirror], dim=1) if bank.bins > half.shape[1] else half
    out = np.empty((len(x), bank.height, grid.columns), np.float32)
    for group, mean in zip(bank.groups, bank.means, strict=True):
        bands = []
        for b, first in enumerate(group.first.tolist()):
            taps = torch.from_numpy(group.taps[group.offset[b] : group.offset[b + 1]]).to(device)
            before = first % group.points
            after = -(before + len(taps)) % group.points
            product = torch.nn.functional.pad(spectrum[:, first : first + len(taps)] * taps, (before, after))
            bands.append(product.reshape(len(x), -1, group.points).sum(dim=1))
        wave = torch.fft.ifft(torch.stack(bands, dim=1), norm="forward")
        power = wave.real**2 + wave.imag**2
        straight, finer = (
            power @ _sliding(device, mean.start, weights, group.per_column, group.points, grid.columns)
            for weights in (mean.straight, mean.cubic)
        )
        limit = 0.25 * straight
        out[:, group.rows] = (straight + (finer - straight).clamp(-limit, limit)).cpu().numpy()
    fill_between(bank, out)
    return out


def means_on(device: str, bank: ClassicBank, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``classic.column_means`` on ``device``: every row at every sample, from the whole filters."""
    length = bank.grid.length
    spectrum = torch.fft.rfft(_padded(device, bank.grid, x))
    columns = _runs(device, bank.whole_start, bank.whole_weights, length)
    out = np.empty((len(x), SCALES, len(columns)), np.float32)
    for begin in range(0, SCALES, SCALES_AT_ONCE):
        part = slice(begin, begin + SCALES_AT_ONCE)
        response = torch.from_numpy(bank.response[part]).to(device)
        wave = torch.fft.irfft(spectrum[:, None] * response, length, norm="forward")
        out[:, part] = (wave.abs() @ columns.T).cpu().numpy()
    return out


def stft_on(device: str, x: NDArray[np.float32], window, hop: int, columns, rows) -> NDArray[np.float32]:
    """Powers of windowed frames averaged by banded ``columns`` and ``rows``, (n, T) -> (n, rows, columns)."""
    frames = torch.from_numpy(x).to(device).unfold(1, len(window), hop) * torch.from_numpy(window).to(device)
    z = torch.fft.rfft(frames)
    power = (z.real**2 + z.imag**2).transpose(1, 2)
    by_row, by_column = _runs(device, *rows, power.shape[1]), _runs(device, *columns, power.shape[2])
    return (by_row @ power @ by_column.T).cpu().numpy()


def _padded(device, grid, x):
    """Records zero-padded to the grid."""
    padded = torch.zeros((len(x), grid.length), device=device)
    padded[:, grid.lead : grid.lead + grid.samples] = torch.from_numpy(np.ascontiguousarray(x)).to(device)
    return padded


def _runs(device, start, weights, size):
    """Runs of weights as a dense matrix (cells, size)."""
    dense = np.zeros((len(start), size), np.float32)
    np.put_along_axis(dense, np.asarray(start)[:, None] + np.arange(weights.shape[1]), weights, axis=1)
    return torch.from_numpy(dense).to(device)


def _sliding(device, start, weights, step, size, columns):
    """The same weights for every column, ``step`` samples apart, as a dense matrix (size, columns)."""
    starts = start + step * np.arange(columns)
    return _runs(device, starts, np.tile(weights, (columns, 1)), size).T
