"""Wavelet maps of a batch in the frequency domain, computed only at the instants that an image needs.

One zero-padded real FFT a record. A band's spectrum is narrow: multiplied by the wavelet's response and folded (aliased
on purpose) to L points it gives, after one short inverse FFT, exactly every (N / L)-th sample of the band's analytic
signal. N is chosen so that a whole number of samples falls into every column, at the same places; a column's mean is then
a fixed sum of neighbouring samples that integrates their interpolation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, gcd, log2, pi, sqrt

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

SIGMA = 1 / (pi * sqrt(2 * 1.5))  # of the response of cmor1.5-1.0, as a share of the centre frequency
MAIN_LOBE = 4.5  # standard deviations of a response that are kept: it falls to -88 dB there
RATE = 4.5  # samples of a band's signal per standard deviation of its response
FEW = 4  # samples a column up to which columns, not samples, are summed side by side
NODES = 3  # samples a column at least
INDEPENDENT = 1.0  # standard deviations of a response times the length of a column, above which bands are smooth
LEAST = np.float32(1e-12)  # power of a unit record that is nothing
CORRECTION = np.float32(0.25)  # at most this share of a mean may come from the cubic part of the interpolation
CACHE = 1 << 19  # bytes of band signals worked on at a time
BLOCK = 32  # records worked on at a time
FLOOR = -80.0  # dB against the reference level
REACH = 3.6  # standard deviations of the longest wavelet in time that the zero padding covers


def log_frequencies(fs: float, samples: int, f_min: float = 25.0, per_octave: int = 12) -> NDArray[np.float64]:
    """Centre frequencies in Hz, falling from 0.45 fs, ``per_octave`` an octave, down to ``f_min``.

    Where ``f_min`` would leave less than four octaves (slow sampling) the map goes down four octaves, and it never goes
    below two cycles a record.
    """
    top = 0.45 * fs
    lowest = min(max(min(f_min, top / 16), 2 * fs / samples), top / 2)
    count = 1 + int(log2(top / lowest) * per_octave + 1e-9)
    return top * 2.0 ** (-np.arange(count) / per_octave)


@dataclass(frozen=True)
class Grid:
    """``length`` N of the FFT in which records of ``samples`` stand ``lead`` inside, and ``slots`` columns fill N."""

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
    """The cheapest even N of at least ``samples`` + ``pad`` and 8 spare columns that holds a whole number of columns."""
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
    """How much dearer an FFT is for its prime factors: 0 for 2, 3 and 5."""
    for prime in (2, 3, 5):
        while length % prime == 0:
            length //= prime
    return length / 50 if length > 1 else 0.0


def smooth(least: float) -> int:
    """The smallest 2^a 3^b 5^c that is not below ``least``."""
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


def morlet_bank(samples: int, columns: int, frequencies: NDArray[np.float64]) -> Bank:
    """Bank of the complex Morlet ``cmor1.5-1.0`` at centre ``frequencies`` (cycles a sample).

    A sine of RMS 1 at a band's centre gives power 1, but for the factor sinc(f)^2 of ``pywt.cwt``, which averages the
    wavelet over each sample interval. Near fs / 2 the sampled wavelet's response goes on beyond it, as it must: cutting
    it there would ring.
    """
    grid = make_grid(samples, columns, min(REACH / (2 * pi * SIGMA * frequencies.min()), samples))
    computed, between, beside, share = spared(frequencies, grid.column)
    first, taps = [], []
    for f in frequencies[computed]:
        half = MAIN_LOBE * SIGMA * f
        bins = np.arange(max(ceil((f - half) * grid.length), 1), int(min(f + half, 1) * grid.length))
        nu = bins / grid.length
        response = np.exp(-0.5 * ((nu - f) / (SIGMA * f)) ** 2) * np.sinc(nu)
        first.append(int(bins[0]))
        taps.append(sqrt(2) / grid.length * response)
    rate = np.maximum(RATE * SIGMA * frequencies[computed] * grid.column, NODES)
    groups = band_groups(grid, rate, first, taps, computed)
    low = np.array([grid.lead - 0.5])
    means = []
    for group in groups:
        start, straight = averaging(low, low + grid.column, grid.column / group.per_column, group.per_column, linear)
        fine = averaging(low, low + grid.column, grid.column / group.per_column, group.per_column, cubic)[1]
        means.append(Mean(start, straight[:, 0], fine[:, 0]))
    last = max(at + len(t) for at, t in zip(first, taps, strict=True))
    return Bank(grid, last, len(frequencies), groups, tuple(means), between, beside, share)


def spared(frequencies: NDArray[np.float64], column: float):
    """The bands to compute, and for those between them the four nearest and their weights.

    Responses are 18 % wide and lie 6 % apart at 12 an octave. Where a column averages over many independent values of a
    band, its power varies so little from band to band that every second one can be had by cubic interpolation of the
    logarithm, in which the flank of a strong line is a parabola. Bands farther apart are all computed.
    """
    count = len(frequencies)
    smooth_ones = int((SIGMA * frequencies * column >= INDEPENDENT).sum())
    close = count > 1 and frequencies[0] / frequencies[1] < 1.07
    between = np.arange(1, min(smooth_ones, count - 3), 2) if close else np.arange(0)
    computed = np.setdiff1d(np.arange(count), between)
    at = np.clip(np.searchsorted(computed, between) - 2, 0, max(len(computed) - 4, 0))
    nearest = computed[at[:, None] + np.arange(4)] if len(between) else np.zeros((0, 4), np.int64)
    beside = np.unique(nearest)
    share = np.zeros((len(between), len(beside)), np.float32)
    for i in range(4):
        others = nearest[:, [j for j in range(4) if j != i]]
        weight = np.prod((between[:, None] - others) / (nearest[:, i, None] - others), axis=1)
        share[np.arange(len(between)), np.searchsorted(beside, nearest[:, i])] = weight
    return computed, between, beside, share


def pooled_power(bank: Bank, x: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """Mean power of every band in every column: (n, samples) -> (n, bands, columns)."""
    if device != "cpu":
        from vibro_plugins._maps_on_device import power_on

        return power_on(device, bank, x)
    spectrum = _mirrored(bank.grid.spectrum(x), bank.grid.length, bank.bins)
    out = np.empty((len(x), bank.height, bank.grid.columns), np.float32)
    for group, mean in zip(bank.groups, bank.means, strict=True):
        for part, wave in group.signals(spectrum):
            rows = group.rows[part]
            _pool_power(wave.view(np.float32), group.per_column, mean.start, mean.straight, mean.cubic, rows, out)
    fill_between(bank, out)
    return out


def fill_between(bank: Bank, power: NDArray[np.float32]) -> None:
    """Interpolates, in place, the rows of ``power`` (n, bands, columns) that were not computed."""
    level = np.log(np.maximum(power[:, bank.beside], LEAST))
    power[:, bank.between] = np.exp(np.matmul(bank.share, level))


def _mirrored(half: NDArray[np.complex64], length: int, bins: int) -> NDArray[np.complex64]:
    """The first ``bins`` of a real signal's spectrum: those above half of the length mirror the ones below."""
    if bins <= half.shape[1]:
        return half
    return np.concatenate([half, half[:, length - bins + 1 : half.shape[1] - 1][:, ::-1].conj()], axis=1)


@njit(fastmath=True, cache=True, nogil=True)
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


@njit(fastmath=True, cache=True, nogil=True, error_model="numpy")
def _pool_power(wave, per_column, start, straight, cubic, rows, out):
    """Column means of the power by linear interpolation, corrected towards cubic by a bounded share."""
    n, bands, width = wave.shape
    count = len(straight)
    flat = wave.reshape(-1)
    power = np.empty(len(flat) // 2, np.float32)
    for i in range(len(power)):
        power[i] = flat[2 * i] * flat[2 * i] + flat[2 * i + 1] * flat[2 * i + 1]
    columns, points = out.shape[2], width // 2
    parts = np.empty((per_column, points // per_column), np.float32)
    mean, finer = np.empty(columns, np.float32), np.empty(columns, np.float32)
    for r in range(n):
        for b in range(bands):
            at = (r * bands + b) * points
            if per_column <= FEW:
                for s in range(per_column):
                    for j in range(points // per_column):
                        parts[s, j] = power[at + s + j * per_column]
                mean[:] = 0
                finer[:] = 0
                for i in range(count):
                    first = (start + i) // per_column
                    line = parts[(start + i) % per_column, first : first + columns]
                    for j in range(columns):
                        mean[j] += straight[i] * line[j]
                        finer[j] += cubic[i] * line[j]
            else:
                for j in range(columns):
                    line = power[at + start + j * per_column : at + start + j * per_column + count]
                    one = np.float32(0)
                    two = np.float32(0)
                    for i in range(count):
                        one += line[i] * straight[i]
                        two += line[i] * cubic[i]
                    mean[j] = one
                    finer[j] = two
            row = out[r, rows[b]]
            for j in range(columns):
                limit = CORRECTION * mean[j]
                row[j] = mean[j] + min(max(finer[j] - mean[j], -limit), limit)
