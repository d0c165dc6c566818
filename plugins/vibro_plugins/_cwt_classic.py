"""The classic wavelet picture: |``pywt.cwt``(x, 1..128, ``morl``)| resized, without computing it at every sample.

A row of scale a is a narrow band around 0.8 / a cycles a sample, so its rectified wave is evaluated on a grid of about
five points a half period. ``pywt.cwt`` builds its filters by picking samples of a tabulated integral, which leaves stray
pass-bands at a few per cent of the main one. Where a record holds so much power in them that the picture would change,
the row is computed from the whole filter at every sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
import pywt
import torch
from numba import njit
from numpy.typing import NDArray

from vibro_plugins._cwt import CACHE, Group, averaging, band_groups, fold, smooth_length
from vibro_plugins._resize import adaptive_weights, point_weights

SCALES = 128
REACH = 8  # half length of the wavelet, in scales
CENTRE, WIDTH = 5 / (2 * pi), 1 / (2 * pi)  # of the response of morl at scale 1, cycles a sample
MAIN_LOBE = 3.3  # standard deviations of a response that are kept
POINTS = 5.0  # grid points a half period
STRAY = 5e-4  # share of a picture's power that may be left out with the stray pass-bands
BINS = 16  # FFT bins joined when stray power is judged
BLOCK = 16  # records worked on at a time
DELAY = 0.5  # samples by which the output of pywt.cwt runs late
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ClassicBank:
    """Filters for records of ``samples`` in an FFT of ``length``: ``groups`` hold the rows on coarse grids.

    ``response`` (128, bins) are the whole filters, ``total`` and ``stray`` (128, joined bins) their power gains, in all and
    outside the main band; ``start`` and ``weights`` average every sample over the columns.
    """

    samples: int
    length: int
    lead: int
    groups: tuple[Group, ...]
    response: NDArray[np.complex64]
    total: NDArray[np.float32]
    stray: NDArray[np.float32]
    start: NDArray[np.int64]
    weights: NDArray[np.float32]
    rows: NDArray[np.float32]


def classic_bank(samples: int, size: int, resize: str) -> ClassicBank:
    """Filters of ``pywt.cwt`` for images of ``size`` x ``size``.

    ``resize="area"`` averages as ``torch.nn.functional.interpolate(mode="area")``, over whole samples and scales;
    ``"point"`` interpolates linearly at the pixel centres, which needs every row at every sample.
    """
    length = smooth_length(samples + REACH * SCALES)
    lead = (length - samples) // 2
    column = np.arange(size)
    low, high = column * samples // size, -((-(column + 1) * samples) // size)
    if resize == "area":
        start, (weights,) = averaging(low - 0.5 + lead, high - 0.5 + lead, 1.0, (_box,))
        rows = adaptive_weights(SCALES, size)
    else:
        rows = point_weights(SCALES, size)
        start, weights = _nearest_two(point_weights(samples, size), lead)
    response = filters(length)
    frequency = np.arange(response.shape[1]) / length
    stray = np.abs(response) ** 2
    coarse, points, first, taps = [], [], [], []
    for a in range(1, SCALES + 1):
        inside = np.flatnonzero(np.abs(frequency - CENTRE / a) <= MAIN_LOBE * WIDTH / a)
        last = inside[-1] if len(inside) else len(frequency)
        grid = smooth_length(max(2 * CENTRE / a * POINTS * length, 2 * last + 2))
        if grid >= length or resize == "point":
            continue
        early = response[a - 1, inside] * np.exp(2j * pi * frequency[inside] * DELAY)
        turn = early[np.abs(early).argmax()]
        coarse.append(a - 1)
        points.append(grid // 2 + 1)
        first.append(inside[0])
        taps.append((early * (abs(turn) / turn)).real / length)
        stray[a - 1, inside] = 0
    groups = band_groups(
        points,
        first,
        taps,
        lambda size: averaging(low - 0.5 + lead - DELAY, high - 0.5 + lead - DELAY, length / (2 * size - 2), (_box,)),
        np.array(coarse, np.int64),
    )
    joints = np.arange(0, len(frequency), BINS)
    total, stray = (np.add.reduceat(g, joints, axis=1) / BINS for g in (np.abs(response) ** 2, stray))
    stray[np.setdiff1d(np.arange(SCALES), coarse)] = np.inf
    response = (response / length).astype(np.complex64)
    return ClassicBank(samples, length, lead, groups, response, total, stray, start, weights, rows)


def filters(length: int) -> NDArray[np.complex128]:
    """Frequency responses (128, length // 2 + 1) of ``pywt.cwt`` with ``morl`` at scales 1..128.

    ``pywt.cwt`` convolves with the integral of the wavelet, tabulated at 4,096 points and picked at every sample, and
    differentiates; both together are one short filter.
    """
    integral, x = pywt.integrate_wavelet(pywt.ContinuousWavelet("morl"), precision=12)
    step, span = x[1] - x[0], x[-1] - x[0]
    out = np.empty((SCALES, length // 2 + 1), complex)
    turn = 2j * pi * np.arange(length // 2 + 1) / length
    for a in range(1, SCALES + 1):
        picked = (np.arange(a * span + 1) / (a * step)).astype(int)
        picked = picked[picked < len(integral)]
        taps = -np.sqrt(a) * np.diff(integral[picked][::-1], prepend=0, append=0)
        out[a - 1] = np.fft.rfft(taps, length) * np.exp(turn * ((len(picked) - 2) // 2 + 1))
    return out


def _box(x):
    """Antiderivative of the box: each grid point stands for its cell."""
    return np.clip(x, -0.5, 0.5) + 0.5


def _nearest_two(weights, lead):
    """A matrix with at most two neighbouring weights a row as first columns and pairs."""
    start = np.minimum(weights.argmax(axis=1), weights.shape[1] - 2)
    start -= (start > 0) & (np.take_along_axis(weights, np.maximum(start - 1, 0)[:, None], 1)[:, 0] > 0)
    return start + lead, np.take_along_axis(weights, start[:, None] + np.arange(2), 1)


def classic_map(bank: ClassicBank, raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """The picture of every record and channel, (n, C, T) -> (n, C, size, size), scale 1 first."""
    n, channels, samples = raw.shape
    records, size = raw.reshape(-1, samples), len(bank.rows)
    out = np.empty((len(records), size, size), np.float32)
    for begin in range(0, len(records), BLOCK):
        part = slice(begin, begin + BLOCK)
        peak = np.abs(records[part]).max(axis=1).astype(np.float64)
        unit = records[part] * np.divide(1, peak, out=np.zeros_like(peak), where=peak > 0)[:, None]
        picture = np.matmul(bank.rows, _rectified(bank, unit.astype(np.float32)))
        out[part] = np.minimum(picture * peak[:, None, None], LARGEST)
    return out.reshape(n, channels, size, size)


def _rectified(bank: ClassicBank, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Column means of the magnitude at each scale: (n, T) -> (n, 128, size)."""
    padded = np.zeros((len(x), bank.length), np.float32)
    padded[:, bank.lead : bank.lead + bank.samples] = x
    spectrum = torch.fft.rfft(torch.from_numpy(padded)).numpy()
    whole = _needs_whole(spectrum, bank.total, bank.stray)
    out = np.empty((len(x), SCALES, len(bank.start)), np.float32)
    for group in bank.groups:
        step = max(1, CACHE // (8 * len(x) * group.points))
        for begin in range(0, len(group.rows), step):
            rows = group.rows[begin : begin + step]
            if whole[:, rows].all():
                continue
            half = np.empty((len(x), len(rows), group.points), np.complex64)
            fold(
                spectrum.view(np.float32),
                group.first[begin : begin + step],
                group.offset[begin:],
                group.taps,
                half.view(np.float32),
            )
            wave = torch.fft.irfft(torch.from_numpy(half), norm="forward").numpy()
            _pool_magnitude(wave, group.start, group.weights[0], rows, out)
    for row in np.flatnonzero(whole.any(axis=0)):
        chosen = np.flatnonzero(whole[:, row])
        half = torch.from_numpy(spectrum[chosen] * bank.response[row])
        wave = torch.fft.irfft(half, bank.length, norm="forward").numpy()
        means = np.empty((len(chosen), 1, out.shape[2]), np.float32)
        _pool_magnitude(wave[:, None], bank.start, bank.weights, np.zeros(1, np.int64), means)
        out[chosen, row] = means[:, 0]
    return out


@njit(cache=True, nogil=True)
def _needs_whole(spectrum, total, stray):
    """(n, 128): rows to be computed from the whole filter, so that the stray power left out stays within the budget."""
    n, bins = spectrum.shape
    scales, joints = total.shape
    out = np.empty((n, scales), np.bool_)
    power, lost = np.empty(joints), np.empty(scales)
    for r in range(n):
        power[:] = 0
        for k in range(bins):
            power[k // BINS] += spectrum[r, k].real ** 2 + spectrum[r, k].imag ** 2
        budget = 0.0
        for a in range(scales):
            kept = 0.0
            gone = 0.0
            for j in range(joints):
                kept += power[j] * total[a, j]
                gone += power[j] * stray[a, j]
            budget += STRAY * kept
            lost[a] = gone if stray[a, 0] < np.inf else np.inf
        order = np.argsort(lost, kind="mergesort")
        left = 0.0
        for a in order:
            left += lost[a]
            out[r, a] = left > budget or lost[a] == np.inf
    return out


@njit(fastmath=True, cache=True, nogil=True)
def _pool_magnitude(wave, start, weights, rows, out):
    """Column means of the magnitude of real waves (n, bands, points)."""
    n, bands, points = wave.shape
    columns, count = weights.shape
    size = np.empty(points, np.float32)
    for r in range(n):
        for b in range(bands):
            for i in range(points):
                size[i] = abs(wave[r, b, i])
            for j in range(columns):
                part = size[start[j] : start[j] + count]
                mean = np.float32(0)
                for i in range(count):
                    mean += part[i] * weights[j, i]
                out[r, rows[b], j] = mean
