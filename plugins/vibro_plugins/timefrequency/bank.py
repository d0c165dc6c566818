"""Filter banks in the frequency domain, computed only at the instants that an image needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, gcd, pi, sqrt

import numpy as np
import torch
from numpy.typing import NDArray

from vibro_plugins.compiled import compiled

SIGMA = 1 / (pi * sqrt(2 * 1.5))  # of the response of cmor1.5-1.0, as a share of the centre frequency
MAIN_LOBE = 4.5  # standard deviations of a response that are kept: it falls to -88 dB there
RATE = 4.5  # samples of a band's signal per standard deviation of its response
FEW = 4  # samples per column up to which columns, not samples, are summed side by side
NODES = 3  # samples per column at least
INDEPENDENT = 1.0  # standard deviations of a response times the length of a column, above which bands are smooth
LEAST = np.float32(1e-12)  # least power of a unit record
CORRECTION = np.float32(0.25)  # at most this share of a mean may come from the cubic part of the interpolation
CACHE = 1 << 19  # bytes of band signals worked on at a time
BLOCK = 32  # records worked on at a time
FLOOR = -80.0  # dB against the reference level
REACH = 3.6  # standard deviations of the longest wavelet in time that the zero padding covers
SCALES = 128  # of the classic picture


@dataclass(frozen=True)
class Grid:
    """FFT length N, the offset ``lead`` of a record of ``samples`` in it, and the ``slots`` columns that fill N."""

    samples: int
    columns: int
    length: int
    lead: int
    slots: int

    @property
    def column(self) -> float:
        """Samples a column."""
        return self.samples / self.columns

    def spectrum(self, x: NDArray[np.float32]) -> NDArray[np.complex64]:
        """(n, samples) -> (n, N / 2 + 1)."""
        padded = np.zeros((len(x), self.length), np.float32)
        padded[:, self.lead : self.lead + self.samples] = x
        return torch.fft.rfft(torch.from_numpy(padded)).numpy()


def block_size(device: str, channels: int = 1) -> int:
    """Records to work on at a time: few enough for a core's cache, many enough for a GPU."""
    return max(1, (BLOCK if device == "cpu" else 16 * BLOCK) // channels)


def make_grid(samples: int, columns: int, pad: float) -> Grid:
    """The fastest even N that has room for ``samples`` + ``pad`` and 8 spare columns and holds whole columns."""
    step = columns // gcd(samples, columns)
    step *= 1 + samples * step // columns % 2
    least = max(columns + 8, ceil(columns * (1 + pad / samples)))
    choices = range(-(-least // step) * step, 2 * least + 2 * step, step)
    slots = min(
        choices, key=lambda n: (n * samples // columns) * (1 + roughness(n * samples // columns) + roughness(n))
    )
    length = slots * samples // columns
    return Grid(samples, columns, length, (length - samples) // 2, slots)


def roughness(length: int) -> float:
    """Relative extra cost of an FFT for its prime factors: 0 for 2, 3 and 5."""
    for prime in (2, 3, 5):
        while length % prime == 0:
            length //= prime
    return length / 50 if length > 1 else 0.0


def smooth(least: float) -> int:
    """The smallest 2^a 3^b 5^c >= ``least``."""
    n = max(ceil(least), 1)
    while roughness(n):
        n += 1
    return n


@dataclass(frozen=True)
class Group:
    """Bands whose signals have the same number of samples ``per_column`` and of ``points`` in all.

    Band b multiplies bins ``first[b]``.. of the FFT by the real ``taps[offset[b] : offset[b + 1]]``; it is row ``rows[b]``
    of the map.
    """

    per_column: int
    points: int
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    offset: NDArray[np.int64]
    taps: NDArray[np.float32]

    def signals(self, spectrum: NDArray[np.complex64]) -> Iterator[tuple[slice, NDArray[np.complex64]]]:
        """Bands a few at a time, and their signals (n, bands, points)."""
        n = len(spectrum)
        step = max(1, CACHE // (8 * n * self.points))
        for begin in range(0, len(self.rows), step):
            part = slice(begin, begin + step)
            folded = np.empty((n, len(self.rows[part]), self.points), np.complex64)
            _fold(spectrum.view(np.float32), self.first[part], self.offset[begin:], self.taps, folded.view(np.float32))
            yield part, torch.fft.ifft(torch.from_numpy(folded), norm="forward").numpy()


def band_groups(grid: Grid, rate, first, taps, rows) -> tuple[Group, ...]:
    """Bands (one entry each in ``rate``, samples a column at least, ``first``, ``taps`` and ``rows``) by their samples."""
    per_column = np.array([smooth(r) for r in rate], np.int64)
    groups = []
    for n in np.unique(per_column):
        chosen = np.flatnonzero(per_column == n)
        picked = [taps[band] for band in chosen]
        offset = np.cumsum([0, *map(len, picked)])
        joined = np.concatenate(picked).astype(np.float32)
        groups.append(Group(int(n), grid.slots * int(n), np.take(rows, chosen), np.take(first, chosen), offset, joined))
    return tuple(groups)


def averaging(low, high, spacing, per_column, kernel, turn=0.0):
    """Weights by which samples at 0, ``spacing``, 2 ``spacing``.. give the means of a curve over ``low``..``high``.

    The curve is interpolated by ``kernel`` (of width 4, in units of the spacing), on a carrier that turns by ``turn``
    radians from sample to sample; without one the weights are real. Column j is the sum over i of ``weights[i, j]`` times
    sample ``start`` + i + j ``per_column``. Returns ``start`` and ``weights`` (count, columns).
    """
    shift = np.arange(len(low)) * per_column
    start = int(np.floor(low / spacing - shift).min()) - 1
    count = int(np.floor(high / spacing - shift).max()) + 3 - start
    u = np.linspace(-2, 2, 4001)
    curve = kernel(u) * np.exp(1j * turn * u)
    integral = np.concatenate([[0], np.cumsum(curve[1:] + curve[:-1])]) * (u[1] - u[0]) / 2
    nodes = start + np.arange(count)[:, None] + shift
    weights = (np.interp(high / spacing - nodes, u, integral) - np.interp(low / spacing - nodes, u, integral)) * spacing
    weights /= high - low
    return start, weights if turn else weights.real.astype(np.float32)


def linear(u):
    """Interpolation by straight lines."""
    return np.maximum(1 - np.abs(u), 0)


def cubic(u):
    """Lagrange interpolation between the two nearest samples on each side."""
    a = np.abs(u)
    return np.where(a <= 1, 1 - a / 2 - a**2 + a**3 / 2, 1 - 11 * a / 6 + a**2 - a**3 / 6)


@dataclass(frozen=True)
class Mean:
    """Weights of the samples from ``start`` on in the first column; ``cubic`` are finer, but some are negative."""

    start: int
    straight: NDArray[np.float32]
    cubic: NDArray[np.float32]


@dataclass(frozen=True)
class Bank:
    """Bands of a map of ``height`` rows, and the number of FFT ``bins`` that they reach.

    The rows ``between`` are not computed: the logarithm of their power is ``share`` (between, beside) of that of the rows
    ``beside``.
    """

    grid: Grid
    bins: int
    height: int
    groups: tuple[Group, ...]
    means: tuple[Mean, ...]
    between: NDArray[np.int64]
    beside: NDArray[np.int64]
    share: NDArray[np.float32]


def fill_between(bank: Bank, power: NDArray[np.float32]) -> None:
    """Interpolates, in place, the rows of ``power`` (n, bands, columns) that were not computed."""
    level = np.log(np.maximum(power[:, bank.beside], LEAST))
    power[:, bank.between] = np.exp(np.matmul(bank.share, level))


def _mirrored(half: NDArray[np.complex64], length: int, bins: int) -> NDArray[np.complex64]:
    """The first ``bins`` of a real signal's spectrum: those above half of the length mirror the ones below."""
    if bins <= half.shape[1]:
        return half
    return np.concatenate([half, half[:, length - bins + 1 : half.shape[1] - 1][:, ::-1].conj()], axis=1)


@compiled(fastmath=True, nogil=True)
def _fold(spectrum, first, offset, taps, folded):
    """Product of taps and spectrum (real and imaginary parts side by side), bin k added to point k mod L."""
    n, bands, width = folded.shape
    for r in range(n):
        for b in range(bands):
            out = folded[r, b]
            done, total, at = 0, offset[b + 1] - offset[b], first[b] % (width // 2)
            out[: 2 * at] = 0
            out[2 * min(at + total, width // 2) :] = 0
            while done < total:
                size = min(total - done, width // 2 - at)
                source = spectrum[r, 2 * (first[b] + done) : 2 * (first[b] + done + size)]
                factor = taps[offset[b] + done : offset[b] + done + size]
                target = out[2 * at : 2 * (at + size)]
                if done == 0:
                    for i in range(size):
                        target[2 * i] = source[2 * i] * factor[i]
                        target[2 * i + 1] = source[2 * i + 1] * factor[i]
                else:
                    for i in range(size):
                        target[2 * i] += source[2 * i] * factor[i]
                        target[2 * i + 1] += source[2 * i + 1] * factor[i]
                done += size
                at = 0


@dataclass(frozen=True)
class ClassicBank:
    """Filters and weights of the classic picture for records of a ``grid``.

    ``groups`` hold the main bands, ``means`` the start and weights (bands, count, 3, columns) of their means. ``response``
    (128, bins): the whole filters, with ``whole_start`` and ``whole_weights`` for means of every sample; ``total`` and
    ``stray`` (128, joined bins): their power gains, in all and outside the main band. ``row_start`` and ``row_weights``
    resize the rows.
    """

    grid: Grid
    groups: tuple[Group, ...]
    means: tuple[tuple[int, NDArray[np.float32]], ...]
    response: NDArray[np.complex64]
    total: NDArray[np.float32]
    stray: NDArray[np.float32]
    always_whole: NDArray[np.bool_]
    whole_start: NDArray[np.int64]
    whole_weights: NDArray[np.float32]
    row_start: NDArray[np.int64]
    row_weights: NDArray[np.float32]
