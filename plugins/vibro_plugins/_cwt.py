"""Wavelet maps of a batch in the frequency domain, computed only at the instants that an image needs.

One zero-padded real FFT a record. A band's spectrum is narrow: multiplied by the wavelet's response and folded (aliased
on purpose) to L points it gives, after one short inverse FFT, exactly every (N / L)-th sample of the band's analytic
signal. Its power is averaged over the columns by weights that integrate an interpolation of those samples, so columns
and samples need not be aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, pi, sqrt

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from vibro_plugins._resize import area_weights
from vibro_plugins._sigma import decibel, unit_records

SIGMA = 1 / (pi * sqrt(2 * 1.5))  # of the response of cmor1.5-1.0, as a share of the centre frequency
MAIN_LOBE = 4.5  # standard deviations of a response that are kept: it falls to -88 dB there
RATE = 5.0  # samples of a band's signal per standard deviation of its response
NODES = 3  # samples a column at least
CORRECTION = 0.25  # at most this share of a mean may come from the cubic part of the interpolation
CACHE = 1 << 18  # bytes of band signals worked on at a time
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
class Group:
    """Bands whose signals have the same number of ``points``.

    Band b multiplies bins ``first[b]``.. of the FFT by the real ``taps[offset[b] : offset[b + 1]]``; it is row ``rows[b]``
    of the map. Column j is the sum of ``weights[0][j]`` times the samples from ``start[j]`` on; more weights are finer ones.
    """

    points: int
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    offset: NDArray[np.int64]
    taps: NDArray[np.float32]
    start: NDArray[np.int64]
    weights: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Bank:
    """Bands over records of ``samples``, which stand ``lead`` samples inside an FFT of ``length``, of which ``bins`` count."""

    samples: int
    columns: int
    length: int
    lead: int
    bins: int
    height: int
    groups: tuple[Group, ...]

    def spectrum(self, x: NDArray[np.float32]) -> NDArray[np.complex64]:
        """(n, samples) -> (n, bins); bins above half of the length mirror the ones below."""
        padded = np.zeros((len(x), self.length), np.float32)
        padded[:, self.lead : self.lead + self.samples] = x
        half = torch.fft.rfft(torch.from_numpy(padded)).numpy()
        if self.bins <= half.shape[1]:
            return half
        mirror = half[:, self.length - self.bins + 1 : (self.length + 1) // 2][:, ::-1]
        return np.concatenate([half, mirror.conj()], axis=1)


def smooth_length(least: float) -> int:
    """The smallest 8 * 2^a, 9 * 2^a, 10 * 2^a, 12 * 2^a or 15 * 2^a that is not below ``least``."""
    return min(odd << max(2, ceil(log2(max(least / odd, 1)))) for odd in (1, 3, 5, 9, 15))


def morlet_bank(samples: int, columns: int, frequencies: NDArray[np.float64]) -> Bank:
    """Bank of the complex Morlet ``cmor1.5-1.0`` at centre ``frequencies`` (cycles a sample).

    A sine of RMS 1 at a band's centre gives power 1, but for the factor sinc(f)^2 of ``pywt.cwt``, which averages the
    wavelet over each sample interval. Near fs / 2 the sampled wavelet's response goes on beyond it, as it must: cutting
    it there would ring.
    """
    node = samples / columns / NODES
    pad = max(REACH / (2 * pi * SIGMA * frequencies.min()), 6 * node)
    length = smooth_length(samples + min(pad, samples + 6 * node))
    lead = (length - samples) // 2
    edges = lead - 0.5 + np.arange(columns + 1) * (samples / columns)
    points, first, taps = [], [], []
    for f in frequencies:
        half = MAIN_LOBE * SIGMA * f
        bins = np.arange(max(ceil((f - half) * length), 1), int(min(f + half, 1) * length))
        response = np.exp(-0.5 * ((bins / length - f) / (SIGMA * f)) ** 2) * np.sinc(bins / length)
        points.append(smooth_length(max(RATE * SIGMA * f * length, length / node)))
        first.append(int(bins[0]))
        taps.append(sqrt(2) / length * response)
    groups = band_groups(
        points, first, taps, lambda size: averaging(edges[:-1], edges[1:], length / size, (_linear, _cubic))
    )
    last = max(at + len(t) for at, t in zip(first, taps, strict=True))
    return Bank(samples, columns, length, lead, last, len(frequencies), groups)


def band_groups(points, first, taps, average, row=None) -> tuple[Group, ...]:
    """Bands (one entry each in ``points``, ``first``, ``taps`` and, unless 0, 1, 2.., ``row``) by their number of points."""
    groups = []
    for size in sorted(set(points)):
        chosen = np.flatnonzero(np.equal(points, size))
        picked = [taps[band] for band in chosen]
        offset = np.cumsum([0, *map(len, picked)])
        rows = chosen if row is None else row[chosen]
        joined = np.concatenate(picked).astype(np.float32)
        groups.append(Group(size, rows, np.take(first, chosen), offset, joined, *average(size)))
    return tuple(groups)


def averaging(low, high, spacing, kernels):
    """Weights by which samples at 0, ``spacing``, 2 ``spacing``.. give the means of a curve over ``low``..``high``.

    A kernel is the antiderivative of an interpolation's impulse response, in units of the spacing, from -2 to 2.
    """
    start = np.floor(low / spacing).astype(np.int64) - 1
    count = int((np.floor(high / spacing) - start).max()) + 3
    nodes = start[:, None] + np.arange(count)
    below, above = (edge[:, None] / spacing - nodes for edge in (low, high))
    weights = [(kernel(above) - kernel(below)) * spacing / (high - low)[:, None] for kernel in kernels]
    return start, tuple(w.astype(np.float32) for w in weights)


def decibel_map(bank: Bank, raw: NDArray[np.float32], sigma: NDArray[np.float64], height: int) -> NDArray[np.float32]:
    """Wavelet power in dB of ``sigma`` (n, C): (n, C, T) -> (n, C, height, columns), highest frequency first."""
    n, channels, samples = raw.shape
    rows = area_weights(bank.height, height)
    out = np.empty((n * channels, height, bank.columns), np.float32)
    records, reference = raw.reshape(-1, samples), sigma.reshape(-1)
    for start in range(0, len(records), BLOCK):
        part = slice(start, start + BLOCK)
        unit, level = unit_records(records[part])
        out[part] = decibel(np.matmul(rows, pooled_power(bank, unit)), level / reference[part], FLOOR)
    return out.reshape(n, channels, height, bank.columns)


def _linear(x):
    """Antiderivative of the hat: interpolation by straight lines."""
    x = np.clip(x, -1, 1)
    return 0.5 + x - np.sign(x) * x * x / 2


def _cubic(x):
    """Antiderivative of cubic Lagrange interpolation between the two nearest samples on each side."""
    a = np.minimum(np.abs(x), 2)
    inner = a - a**2 / 4 - a**3 / 3 + a**4 / 8
    outer = a - 11 * a**2 / 12 + a**3 / 3 - a**4 / 24
    at_one = 1 - 1 / 4 - 1 / 3 + 1 / 8 - (1 - 11 / 12 + 1 / 3 - 1 / 24)
    return 0.5 + np.sign(x) * np.where(a <= 1, inner, outer + at_one)


def pooled_power(bank: Bank, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean power of every band in every column: (n, samples) -> (n, bands, columns)."""
    spectrum = bank.spectrum(x).view(np.float32)
    out = np.empty((len(x), bank.height, bank.columns), np.float32)
    for group in bank.groups:
        step = max(1, CACHE // (8 * len(x) * group.points))
        for begin in range(0, len(group.rows), step):
            bands = slice(begin, begin + step)
            rows = group.rows[bands]
            folded = np.empty((len(x), len(rows), group.points), np.complex64)
            fold(spectrum, group.first[bands], group.offset[begin:], group.taps, folded.view(np.float32))
            wave = torch.fft.ifft(torch.from_numpy(folded), norm="forward").numpy()
            _pool_power(wave.view(np.float32), group.start, *group.weights, rows, out)
    return out


@njit(fastmath=True, cache=True, nogil=True)
def fold(spectrum, first, offset, taps, folded):
    """Product of taps and spectrum (real and imaginary parts side by side), bin k added to point k mod L."""
    n, bands, width = folded.shape
    for r in range(n):
        for b in range(bands):
            out = folded[r, b]
            out[:] = 0
            done, total, at = 0, offset[b + 1] - offset[b], first[b] % (width // 2)
            while done < total:
                size = min(total - done, width // 2 - at)
                source = spectrum[r, 2 * (first[b] + done) : 2 * (first[b] + done + size)]
                factor = taps[offset[b] + done : offset[b] + done + size]
                target = out[2 * at : 2 * (at + size)]
                for i in range(size):
                    target[2 * i] += source[2 * i] * factor[i]
                    target[2 * i + 1] += source[2 * i + 1] * factor[i]
                done += size
                at = 0


@njit(fastmath=True, cache=True, nogil=True)
def _pool_power(wave, start, weights, cubic, rows, out):
    """Column means of the power by linear interpolation, corrected towards cubic by a bounded share."""
    n, bands, width = wave.shape
    columns, count = weights.shape
    power = np.empty(width // 2, np.float32)
    for r in range(n):
        for b in range(bands):
            w = wave[r, b]
            for i in range(width // 2):
                power[i] = w[2 * i] * w[2 * i] + w[2 * i + 1] * w[2 * i + 1]
            for j in range(columns):
                part = power[start[j] : start[j] + count]
                straight = np.float32(0)
                curved = np.float32(0)
                for i in range(count):
                    straight += part[i] * weights[j, i]
                    curved += part[i] * cubic[j, i]
                limit = CORRECTION * straight
                out[r, rows[b], j] = straight + min(max(curved - straight, -limit), limit)
