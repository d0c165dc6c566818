"""Compiled Fourier transforms of one row at a time: frames of 128 samples, and 4,096 samples padded to 8,192.

Both use one kernel, the 64-point transform of 64 columns at once in two passes of radix 8: 128 real samples are 64 complex
ones, and 4,096 complex ones are a 64 x 64 matrix, transformed along its columns, twiddled, transposed and transformed again
(Bailey, Journal of Supercomputing 4, 1990). Rows are independent of the batch, to the last bit.

Kept because the whole view takes 2.45 times as long with ``scipy.fft`` (2.33 to 2.51 in 11 rounds): it saves the zeros of the
padding and writes powers and amplitudes without the spectrum between. ``python -m benchmarks.speed.zerone``
"""

from __future__ import annotations

import numpy as np
from numba import njit

from vibro_plugins.compiled import compiled
from vibro_plugins.dsp.kernels import REORDER

SIDE = 64
PITCH = 72  # floats from row to row of a matrix: 64 would send every row to the same lines of the cache
FRAME, HOP = 2 * SIDE, SIDE
SEGMENT = SIDE * SIDE  # samples; padded with as many zeros
FUSE = {"contract", "nsz"}  # multiply-adds in one rounding
ROOT_HALF = float(np.sqrt(0.5))


def _circle(turns):
    """Cosine and sine of -2 pi ``turns``."""
    angle = -2 * np.pi * np.asarray(turns, np.float64)
    return np.cos(angle), np.sin(angle)


_K = np.arange(SIDE)
COS, SIN = _circle(_K / SIDE)
TURN_COS, TURN_SIN = _circle(np.outer(_K, _K) / SIDE**2)
FRAME_COS, FRAME_SIN = _circle(_K / FRAME)
SEGMENT_COS, SEGMENT_SIN = _circle(np.arange(SEGMENT) / (2 * SEGMENT))


# fmt: off
@njit(inline="always", fastmath=FUSE)
def _eight(a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5, a6, b6, a7, b7):
    """8-point transform of a + jb, from two of 4 points."""
    sr, si, dr, di = a0 + a4, b0 + b4, a0 - a4, b0 - b4
    tr, ti, ur, ui = a2 + a6, b2 + b6, a2 - a6, b2 - b6
    c0, d0, c2, d2, c1, d1, c3, d3 = sr + tr, si + ti, sr - tr, si - ti, dr + ui, di - ur, dr - ui, di + ur
    sr, si, dr, di = a1 + a5, b1 + b5, a1 - a5, b1 - b5
    tr, ti, ur, ui = a3 + a7, b3 + b7, a3 - a7, b3 - b7
    e0, f0, e2, f2 = sr + tr, si + ti, si - ti, tr - sr
    pr, pi, qr, qi = dr + ui, di - ur, dr - ui, di + ur
    e1, f1, e3, f3 = (pr + pi) * ROOT_HALF, (pi - pr) * ROOT_HALF, (qi - qr) * ROOT_HALF, -(qi + qr) * ROOT_HALF
    return (c0 + e0, d0 + f0, c1 + e1, d1 + f1, c2 + e2, d2 + f2, c3 + e3, d3 + f3,
            c0 - e0, d0 - f0, c1 - e1, d1 - f1, c2 - e2, d2 - f2, c3 - e3, d3 - f3)


@njit(inline="always", fastmath=FUSE)
def _rotated(a, b, cos, sin):
    """(a + jb)(cos + j sin)."""
    return a * cos - b * sin, a * sin + b * cos


@compiled(fastmath=FUSE)
def _transform(re, im, cos, sin):
    """64-point transforms, in place, of the columns of a flat matrix; frequency q + 8 p ends in row 8 q + p."""
    s = 8 * PITCH
    for m in range(8):
        c1, c2, c3, c4, c5, c6, c7 = cos[m], cos[2 * m], cos[3 * m], cos[4 * m], cos[5 * m], cos[6 * m], cos[7 * m]
        s1, s2, s3, s4, s5, s6, s7 = sin[m], sin[2 * m], sin[3 * m], sin[4 * m], sin[5 * m], sin[6 * m], sin[7 * m]
        for i in range(m * PITCH, m * PITCH + SIDE):
            a0, b0, a1, b1, a2, b2, a3, b3, a4, b4, a5, b5, a6, b6, a7, b7 = _eight(
                re[i], im[i], re[i + s], im[i + s], re[i + 2 * s], im[i + 2 * s], re[i + 3 * s], im[i + 3 * s],
                re[i + 4 * s], im[i + 4 * s], re[i + 5 * s], im[i + 5 * s], re[i + 6 * s], im[i + 6 * s],
                re[i + 7 * s], im[i + 7 * s])
            re[i], im[i] = a0, b0
            re[i + s], im[i + s] = _rotated(a1, b1, c1, s1)
            re[i + 2 * s], im[i + 2 * s] = _rotated(a2, b2, c2, s2)
            re[i + 3 * s], im[i + 3 * s] = _rotated(a3, b3, c3, s3)
            re[i + 4 * s], im[i + 4 * s] = _rotated(a4, b4, c4, s4)
            re[i + 5 * s], im[i + 5 * s] = _rotated(a5, b5, c5, s5)
            re[i + 6 * s], im[i + 6 * s] = _rotated(a6, b6, c6, s6)
            re[i + 7 * s], im[i + 7 * s] = _rotated(a7, b7, c7, s7)
    t = PITCH
    for q in range(8):
        for i in range(q * s, q * s + SIDE):
            (re[i], im[i], re[i + t], im[i + t], re[i + 2 * t], im[i + 2 * t], re[i + 3 * t], im[i + 3 * t],
             re[i + 4 * t], im[i + 4 * t], re[i + 5 * t], im[i + 5 * t], re[i + 6 * t], im[i + 6 * t],
             re[i + 7 * t], im[i + 7 * t]) = _eight(
                re[i], im[i], re[i + t], im[i + t], re[i + 2 * t], im[i + 2 * t], re[i + 3 * t], im[i + 3 * t],
                re[i + 4 * t], im[i + 4 * t], re[i + 5 * t], im[i + 5 * t], re[i + 6 * t], im[i + 6 * t],
                re[i + 7 * t], im[i + 7 * t])
# fmt: on


@compiled(fastmath=FUSE)
def _turn(re, im, to_re, to_im, cos, sin):
    """Turns the transformed matrix, column n into row n in order of frequency, and twiddles it."""
    for n in range(SIDE):
        at = n * PITCH
        for q in range(8):
            for p in range(8):
                to_re[at + q + 8 * p] = re[(8 * q + p) * PITCH + n]
                to_im[at + q + 8 * p] = im[(8 * q + p) * PITCH + n]
        for k in range(SIDE):
            to_re[at + k], to_im[at + k] = _rotated(to_re[at + k], to_im[at + k], cos[n, k], sin[n, k])


@njit(inline="always", fastmath=FUSE)
def _real_power(a, b, c, d, cos, sin):
    """abs(X_k)^2 of real samples packed in pairs, from Z_k = a + jb and Z_-k = c + jd."""
    odd_re, odd_im = _rotated(b + d, c - a, cos, sin)
    return 0.25 * ((a + c + odd_re) ** 2 + (b - d + odd_im) ** 2)


@njit(inline="always", fastmath=FUSE)
def _mirror(r):
    """The row of frequency -k where row r > 0 holds k."""
    return 8 - r if r < 8 else 71 - r


@compiled(fastmath=FUSE)
def _pack_segment(y, even, odd, re, im):
    """Windowed samples without their mean, in pairs, as the upper half of a matrix; zeros below."""
    sums = np.zeros(SIDE)
    for n in range(SIDE):
        for m in range(SIDE):
            sums[m] += y[n * SIDE + m]
    mean = sums.sum() / SEGMENT
    for n in range(SIDE // 2):
        for m in range(SIDE):
            i = n * SIDE + m
            re[n * PITCH + m] = (y[2 * i] - mean) * even[i]
            im[n * PITCH + m] = (y[2 * i + 1] - mean) * odd[i]
    re[SIDE // 2 * PITCH :] = 0.0
    im[SIDE // 2 * PITCH :] = 0.0


@compiled(fastmath=FUSE)
def _add_power(re, im, out, cos, sin):
    """Adds abs(X)^2 of the real samples whose pairs were transformed, bins 0..4096, to ``out``."""
    out[0] += (re[0] + im[0]) ** 2
    out[SEGMENT] += (re[0] - im[0]) ** 2
    for r in range(SIDE):  # frequencies k, k + 1, ... stand in row r, their negatives backwards in row 63 - r
        k = SIDE * (r % 8 * 8 + r // 8)
        if r:
            i, j = r * PITCH, _mirror(r) * PITCH
            out[k] += _real_power(re[i], im[i], re[j], im[j], cos[k], sin[k])
        i, j = r * PITCH, (SIDE - 1 - r) * PITCH
        a, b, c, d = re[i : i + SIDE], im[i : i + SIDE], re[j : j + SIDE], im[j : j + SIDE]
        power, u, v = out[k : k + SIDE], cos[k : k + SIDE], sin[k : k + SIDE]
        for m in range(1, SIDE):
            power[m] += _real_power(a[m], b[m], c[SIDE - m], d[SIDE - m], u[m], v[m])


def _matrices(count):
    """Room to work in. Allocated here: of arrays made inside, the compiler cannot tell that they lie apart."""
    return [np.zeros(SIDE * PITCH) for _ in range(count)]


@compiled(fastmath=FUSE)
def _segments(rows, hop, even, odd, out, re, im, to_re, to_im, cos, sin, turn_cos, turn_sin, last_cos, last_sin):
    for r in range(len(rows)):
        for start in range(0, rows.shape[1] - SEGMENT + 1, hop):
            _pack_segment(rows[r, start : start + SEGMENT], even, odd, re, im)
            _transform(re, im, cos, sin)
            _turn(re, im, to_re, to_im, turn_cos, turn_sin)
            _transform(to_re, to_im, cos, sin)
            _add_power(to_re, to_im, out[r], last_cos, last_sin)


def segment_power(rows, hop, window):
    """Sum (rows, 4097) of abs(X)^2 over segments of 4,096 samples, each without its mean, windowed and padded to 8,192."""
    out = np.zeros((len(rows), SEGMENT + 1))
    even, odd = window[::2].copy(), window[1::2].copy()
    tables = COS, SIN, TURN_COS, TURN_SIN, SEGMENT_COS, SEGMENT_SIN
    _segments(rows, hop, even, odd, out, *_matrices(4), *tables)
    return out


@compiled(fastmath=FUSE)
def _pack_frames(y, window, lanes, re, im):
    """One windowed frame a column, its samples in pairs."""
    for lane in range(lanes):
        frame = y[lane * HOP : lane * HOP + FRAME]
        for n in range(SIDE):
            re[n * PITCH + lane] = frame[2 * n] * window[2 * n]
            im[n * PITCH + lane] = frame[2 * n + 1] * window[2 * n + 1]


@compiled(fastmath=FUSE)
def _amplitudes(re, im, values, first, pitch, cos, sin):
    """abs(X) of bins 1..64 of the 64 frames whose pairs were transformed, to columns from ``first`` of ``values``."""
    for r in range(1, SIDE):
        k = r % 8 * 8 + r // 8
        i, j, o = r * PITCH, _mirror(r) * PITCH, (k - 1) * pitch + first
        a, b, c, d = re[i : i + SIDE], im[i : i + SIDE], re[j : j + SIDE], im[j : j + SIDE]
        line, u, v = values[o : o + SIDE], cos[k], sin[k]
        for m in range(SIDE):
            line[m] = np.sqrt(_real_power(a[m], b[m], c[m], d[m], u, v))
    o = (SIDE - 1) * pitch + first
    line = values[o : o + SIDE]
    for m in range(SIDE):
        line[m] = abs(re[m] - im[m])


@compiled(fastmath=REORDER)
def _over_time(values, pitch, count, out):
    """Mean and standard deviation of each bin over the frames, to (64, 2), in two passes."""
    for k in range(SIDE):
        row = values[k * pitch : k * pitch + count]
        total = 0.0
        for i in range(count):
            total += row[i]
        middle = total / count
        square = 0.0
        for i in range(count):
            square += (row[i] - middle) ** 2
        out[k, 0], out[k, 1] = middle, np.sqrt(square / count)


@compiled(fastmath=FUSE)
def _over_bins(values, pitch, count, out):
    """Mean of each frame over its bins, to (frames,)."""
    for k in range(SIDE):
        row = values[k * pitch : k * pitch + count]
        for i in range(count):
            out[i] += row[i] / SIDE


@compiled(fastmath=FUSE)
def _frames(rows, window, by_bin, by_frame, values, re, im, cos, sin, last_cos, last_sin):
    count, pitch = by_frame.shape[1], len(values) // SIDE
    for r in range(len(rows)):
        for first in range(0, count, SIDE):
            _pack_frames(rows[r, first * HOP :], window, min(SIDE, count - first), re, im)
            _transform(re, im, cos, sin)
            _amplitudes(re, im, values, first, pitch, last_cos, last_sin)
        _over_time(values, pitch, count, by_bin[r])
        _over_bins(values, pitch, count, by_frame[r])


def frame_statistics(rows, window):
    """Of abs(X) at bins 1..64 of windowed frames of 128 samples, 64 apart.

    Mean and standard deviation over the frames (rows, 64, 2), and each frame's mean over its bins (rows, frames); zeros
    and no frames for rows shorter than one.
    """
    count = max((rows.shape[1] - FRAME) // HOP + 1, 0)
    by_bin, by_frame = np.zeros((len(rows), SIDE, 2)), np.zeros((len(rows), count))
    if count:
        values = np.zeros(SIDE * SIDE * -(-count // SIDE))  # frames within bins, whole blocks of 64
        _frames(rows, window, by_bin, by_frame, values, *_matrices(2), COS, SIN, FRAME_COS, FRAME_SIN)
    return by_bin, by_frame
