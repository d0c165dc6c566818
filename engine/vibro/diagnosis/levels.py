"""Levels of a record in dB: at the multiples of the mains, and of the noise between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vibro.diagnosis.lines import Array

LINES = 24  # multiples of the mains
REACH = 0.003  # share by which the mains may be off
FLOORS = 12  # bands of noise, evenly spaced in log frequency
LOW_TOP = 20.0  # Hz: below lie drift and settling
_LEAST = 1e-24


@dataclass(frozen=True)
class Levels:
    """Levels in dB of n records: ``lines`` (n, m) at multiples 1..m of the mains, ``floors`` (n, k) of the noise between.

    ``floor_hz`` (k + 1,) are the edges of the bands in Hz; ``low`` (n,) is all below LOW_TOP, ``under``
    (n, m) the noise's level under each line.
    """

    lines: Array
    floors: Array
    floor_hz: Array
    low: Array
    under: Array


def levels(power: Array, hz: Array, mains: float) -> Levels:
    """The levels of power spectra (n, k)."""
    step, fs = hz[0], 2 * hz[-1]
    count = int(min(LINES, 0.45 * fs // mains))
    off, nearest = np.abs(hz / mains - np.rint(hz / mains)) * mains, np.rint(hz / mains)
    on_line = (off <= np.maximum(3 * step, REACH * nearest * mains)) & (nearest >= 1)
    lines = (
        np.stack([power[:, on_line & (nearest == n)].sum(axis=1) for n in range(1, count + 1)], axis=1)
        if count
        else np.zeros((len(power), 0))
    )
    edges = np.geomspace(max(0.5 * mains, 4 * step), 0.48 * fs, FLOORS + 1)
    floors = np.zeros((len(power), FLOORS))
    for i in range(FLOORS):
        inside = (hz >= edges[i]) & (hz < edges[i + 1]) & ~on_line
        if inside.any():
            floors[:, i] = np.median(power[:, inside], axis=1)
    place = np.clip(np.searchsorted(edges, mains * np.arange(1, count + 1)) - 1, 0, FLOORS - 1)
    low = power[:, (hz <= LOW_TOP) & ~on_line].sum(axis=1)
    return Levels(decibel(lines), decibel(floors), edges, decibel(low), decibel(floors[:, place]))


def spectrum(x: Array, fs: float) -> tuple[Array, Array]:
    """Power (n, k) of every frequency but zero through a Hann window, summing to the variance, and the frequencies in Hz."""
    from scipy.fft import rfft, rfftfreq

    window = np.hanning(x.shape[1] + 1)[:-1]
    y = rfft((x - x.mean(axis=1, keepdims=True)) * window, axis=1)[:, 1:]
    power = np.abs(y) ** 2 * (2 / (x.shape[1] * float((window**2).sum())))
    return np.asarray(power, np.float64), np.asarray(rfftfreq(x.shape[1], 1 / fs)[1:], np.float64)


def decibel(power: Array) -> Array:
    """10 log10, with a floor far below anything measured."""
    return np.asarray(10 * np.log10(np.maximum(power, _LEAST)))


def log_bands(hz: Array, low: float, count: int) -> list[tuple[float, float, Array]]:
    """Lower and upper end in Hz and mask of ``count`` bands evenly spaced in log frequency, empty ones left out."""
    edges = np.geomspace(low, hz[-1] * 1.001, count + 1)
    bands = [(float(a), float(b), (hz >= a) & (hz < b)) for a, b in pairwise(edges)]
    return [band for band in bands if band[2].any()]
