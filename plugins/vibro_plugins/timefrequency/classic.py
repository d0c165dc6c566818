"""The classic wavelet picture: |``pywt.cwt``(x, 1..128, ``morl``)| resized, without computing most of its samples.

A row of scale a is a narrow band around 0.8 / a cycles a sample, A(t) cos p(t), and |cos p| = 2 / pi + 4 / (3 pi) cos 2p
- .. . Over a pixel, A and A cos 2p are averaged from a few samples of the band's analytic signal by interpolation on their
carriers. But ``pywt.cwt`` builds its filters by picking samples of a tabulated integral, which leaves stray pass-bands at a
few per cent of the main one. Where a record holds so much power in them that the picture would change, the row is
computed from the whole filter at every sample, two rows in one complex transform.
"""

from __future__ import annotations

from math import pi

import numpy as np
import pywt
import torch
from numpy.typing import NDArray

from vibro_plugins.compiled import compiled
from vibro_plugins.timefrequency.bank import SCALES, ClassicBank, averaging, band_groups, block_size, cubic, make_grid
from vibro_plugins.timefrequency.resize import adaptive_weights, banded, point_weights

REACH = 8  # half length of the wavelet, in scales
CENTRE, WIDTH = 5 / (2 * pi), 1 / (2 * pi)  # of the response of morl at scale 1, cycles a sample
MAIN_LOBE = 3.3  # standard deviations of a response that are kept
STEP = 1.04  # ratio of the scales that are computed; the response is 20 % wide, so rows between are interpolated
RATE, LOW_RATE = 1.25, 2.0  # samples a cycle; the second where a pixel holds fewer than FEW cycles
FEW = 4
SHORT = 20  # samples a pixel below which every row is computed at every sample
STRAY = 1.5e-3  # share of a picture's power that may be left out with the stray pass-bands
FINE, JOINED = 256, 32  # FFT bins judged one by one, and the number joined above them
DELAY = 0.5  # samples by which the output of pywt.cwt runs late
PAIRS = 8  # of whole rows, worked on at a time
SILENT = 1e-30
ZERO, ONE, TINY = np.float32(0), np.float32(1), np.float32(1e-30)
LARGEST = np.float32(np.finfo(np.float32).max)


def classic_bank(samples: int, size: int, resize: str) -> ClassicBank:
    """Filters of ``pywt.cwt`` and weights of the resizing.

    ``resize="area"`` averages as ``torch.nn.functional.interpolate(mode="area")``, over whole samples and scales;
    ``"point"`` interpolates linearly at the pixel centres, which needs every row at every sample.
    """
    grid = make_grid(samples, size, REACH * SCALES)
    length = grid.length
    weights = adaptive_weights if resize == "area" else point_weights
    response = filters(length)
    frequency = np.arange(response.shape[1]) / length
    stray = np.abs(response) ** 2
    always = np.ones(SCALES, bool)
    rate, first, taps, rows = [], [], [], []
    for a in [] if resize == "point" or grid.column < SHORT else chosen_scales():
        inside = np.flatnonzero(np.abs(frequency - CENTRE / a) <= MAIN_LOBE * WIDTH / a)
        cycles = grid.column * CENTRE / a
        early = response[a - 1, inside] * np.exp(2j * pi * frequency[inside] * DELAY)
        turn = early[np.abs(early).argmax()]
        rate.append(cycles * (RATE if cycles >= FEW else LOW_RATE))
        first.append(inside[0])
        taps.append(2 / length * (early * (abs(turn) / turn)).real)
        rows.append(a - 1)
    for a in range(3 if rows else SCALES + 1, SCALES + 1):
        stray[a - 1, np.abs(frequency - CENTRE / a) <= MAIN_LOBE * WIDTH / a] = 0
        always[a - 1] = False
    groups = band_groups(grid, rate, first, taps, rows)
    column = np.arange(size)
    low = column * samples // size + grid.lead - 0.5 - DELAY
    high = -((-(column + 1) * samples) // size) + grid.lead - 0.5 - DELAY
    joints = np.concatenate([np.arange(FINE), np.arange(FINE, len(frequency), JOINED)])
    joints = joints[joints < len(frequency)]
    widths = np.diff(np.append(joints, len(frequency)))
    total, stray = (np.add.reduceat(g, joints, axis=1) / widths for g in (np.abs(response) ** 2, stray))
    whole_start, whole_weights = banded(weights(samples, size))
    return ClassicBank(
        grid,
        groups,
        tuple(_means(group, low, high, grid.column / group.per_column) for group in groups),
        (response / length).astype(np.complex64),
        total.astype(np.float32),
        stray.astype(np.float32),
        always,
        whole_start + grid.lead,
        whole_weights,
        *banded(weights(SCALES, size)),
    )


def chosen_scales() -> list[int]:
    """Scales 3..128 in steps of 1 or of ``STEP``."""
    scales = [3]
    while scales[-1] < SCALES:
        scales.append(min(max(scales[-1] + 1, int(scales[-1] * STEP)), SCALES))
    return scales


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


def _means(group, low, high, spacing):
    """Weights (bands, count, 3, columns) of A, Re and Im of A exp(2jp), where the carrier p turns with each band's centre."""
    start, plain = averaging(low, high, spacing, group.per_column, cubic)
    out = np.empty((len(group.rows), len(plain), 3, plain.shape[1]), np.float32)
    out[:, :, 0] = 2 / pi * plain
    for band, row in enumerate(group.rows):
        turn = 4 * pi * CENTRE / (row + 1) * spacing
        turning = averaging(low, high, spacing, group.per_column, cubic, turn)[1] * 4 / (3 * pi)
        out[band, :, 1], out[band, :, 2] = turning.real, -turning.imag
    return start, out


def classic_map(bank: ClassicBank, raw: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """The picture of every record and channel, (n, C, T) -> (n, C, size, size), scale 1 first."""
    n, channels, samples = raw.shape
    records, size = raw.reshape(-1, samples), len(bank.row_start)
    out = np.empty((len(records), size, size), np.float32)
    step = block_size(device)
    for begin in range(0, len(records), step):
        part = slice(begin, begin + step)
        peak = np.abs(records[part]).max(axis=1)
        x = records[part] * np.divide(1, peak, out=np.zeros_like(peak), where=peak > SILENT)[:, None]
        _resize_rows(column_means(bank, x, device), bank.row_start, bank.row_weights, peak, out[part])
    return out.reshape(n, channels, size, size)


def column_means(bank: ClassicBank, x: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """Column means of the magnitude at each scale: (n, T) -> (n, 128, size)."""
    if device != "cpu":
        from vibro_plugins.timefrequency.device import means_on

        return means_on(device, bank, x)
    spectrum = bank.grid.spectrum(x)
    whole = _needs_whole(spectrum, bank.total, bank.stray) | bank.always_whole
    out = np.empty((len(spectrum), SCALES, len(bank.whole_start)), np.float32)
    for group, (start, weights) in zip(bank.groups, bank.means, strict=True):
        for part, wave in group.signals(spectrum):
            _pool_rectified(wave.view(np.float32), group.per_column, start, weights[part], group.rows[part], out)
    if bank.groups:
        _fill(out, np.array(chosen_scales()) - 1)
    pairs = [
        (record, rows[i], rows[min(i + 1, len(rows) - 1)])
        for record, rows in enumerate(map(np.flatnonzero, whole))
        for i in range(0, len(rows), 2)
    ]
    for begin in range(0, len(pairs), PAIRS):
        some = np.array(pairs[begin : begin + PAIRS])
        both = np.empty((len(some), bank.grid.length), np.complex64)
        _join(spectrum, bank.response, some, both)
        wave = torch.fft.ifft(torch.from_numpy(both), norm="forward").numpy()
        _pool_pairs(wave.view(np.float32), bank.whole_start, bank.whole_weights, some, out)
    return out


@compiled(fastmath=True, nogil=True)
def _needs_whole(spectrum, total, stray):
    """(n, 128): the rows with the most stray power, so many that what the others leave out stays within the budget."""
    n, bins = spectrum.shape
    scales, joints = total.shape
    out = np.zeros((n, scales), np.bool_)
    power, lost = np.empty(joints, np.float32), np.empty(scales, np.float32)
    for r in range(n):
        power[:] = 0
        for k in range(bins):
            j = k if k < FINE else FINE + (k - FINE) // JOINED
            power[j] += spectrum[r, k].real ** 2 + spectrum[r, k].imag ** 2
        left, budget = 0.0, 0.0
        for a in range(scales):
            whole = np.float32(0)
            gone = np.float32(0)
            for j in range(joints):
                whole += power[j] * total[a, j]
                gone += power[j] * stray[a, j]
            lost[a] = gone
            left += gone
            budget += STRAY * whole
        order = np.argsort(-lost)
        for a in order:
            if left <= budget:
                break
            left -= lost[a]
            out[r, a] = True
    return out


@compiled(fastmath=True, nogil=True, error_model="numpy")
def _pool_rectified(wave, per_column, start, weights, rows, out):
    """Column means of |Re w| of analytic signals w (n, bands, points)."""
    n, bands, width = wave.shape
    count, _, columns = weights.shape[1:]
    points, slots = width // 2, width // 2 // per_column
    flat = wave.reshape(-1)
    size = np.empty(len(flat) // 2, np.float32)
    even, odd = np.empty_like(size), np.empty_like(size)
    for i in range(len(size)):
        re, im = flat[2 * i], flat[2 * i + 1]
        power = re * re + im * im + TINY
        inverse = ONE / np.sqrt(power)
        size[i] = power * inverse
        even[i] = (re * re - im * im) * inverse
        odd[i] = (re + re) * im * inverse
    parts = np.empty((3, per_column, slots), np.float32)
    for b in range(bands):
        for r in range(n):
            at = (r * bands + b) * points
            for s in range(per_column):
                one, two, three = parts[0, s], parts[1, s], parts[2, s]
                for j in range(slots):
                    k = at + s + j * per_column
                    one[j], two[j], three[j] = size[k], even[k], odd[k]
            row = out[r, rows[b]]
            row[:] = 0
            for i in range(count):
                s, first = (start + i) % per_column, (start + i) // per_column
                one = parts[0, s, first : first + columns]
                two = parts[1, s, first : first + columns]
                three = parts[2, s, first : first + columns]
                a, c, d = weights[b, i, 0], weights[b, i, 1], weights[b, i, 2]
                for j in range(columns):
                    row[j] += a[j] * one[j] + c[j] * two[j] + d[j] * three[j]
            for j in range(columns):
                row[j] = max(row[j], ZERO)


@compiled(fastmath=True, nogil=True)
def _fill(out, chosen):
    """Rows between two chosen ones, by linear interpolation over the scale."""
    columns = out.shape[2]
    for r in range(len(out)):
        for k in range(len(chosen) - 1):
            low, high = chosen[k], chosen[k + 1]
            one, two = out[r, low], out[r, high]
            for a in range(low + 1, high):
                part = np.float32(a - low) / np.float32(high - low)
                row = out[r, a]
                for j in range(columns):
                    row[j] = one[j] + part * (two[j] - one[j])


@compiled(fastmath=True, nogil=True)
def _join(spectrum, response, pairs, both):
    """Spectra of v1 + j v2, where v1 and v2 are the real outputs of two rows' whole filters."""
    length = both.shape[1]
    for p in range(len(pairs)):
        x, one, two = spectrum[pairs[p, 0]], response[pairs[p, 1]], response[pairs[p, 2]]
        for k in range(1, (length + 1) // 2):
            y, z = x[k] * one[k], x[k] * two[k]
            both[p, k] = complex(y.real - z.imag, y.imag + z.real)
            both[p, length - k] = complex(y.real + z.imag, z.real - y.imag)
        for k in (0, length // 2):
            both[p, k] = complex((x[k] * one[k]).real, (x[k] * two[k]).real)


@compiled(fastmath=True, nogil=True)
def _pool_pairs(wave, start, weights, pairs, out):
    """Column means of the magnitudes of the real and imaginary parts, into the rows of their pair."""
    columns, count = weights.shape
    for p in range(len(pairs)):
        for j in range(columns):
            part = wave[p, 2 * start[j] : 2 * (start[j] + count)]
            one = np.float32(0)
            two = np.float32(0)
            for i in range(count):
                one += abs(part[2 * i]) * weights[j, i]
                two += abs(part[2 * i + 1]) * weights[j, i]
            out[pairs[p, 0], pairs[p, 1], j] = one
            out[pairs[p, 0], pairs[p, 2], j] = two


@compiled(fastmath=True, nogil=True)
def _resize_rows(rows, start, weights, factor, out):
    """Weighted sums of neighbouring rows times each record's ``factor``, within float32."""
    size, count = weights.shape
    columns = rows.shape[2]
    for r in range(len(rows)):
        for i in range(size):
            line = out[r, i]
            line[:] = 0
            for k in range(count):
                weight = weights[i, k] * factor[r]
                if weight > 0:
                    source = rows[r, start[i] + k]
                    for j in range(columns):
                        line[j] += weight * source[j]
            for j in range(columns):
                line[j] = min(line[j], LARGEST)
