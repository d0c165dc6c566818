"""Envelopes of a record in bands: what repeats in time shows there as lines, wherever it rings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibro.diagnosis.lines import Array, Lines, find_lines

PARTS = (1, 2, 3, 4, 6, 8)  # equal parts of 0 .. fs / 2: the binary-ternary grid of the kurtogram
LOWEST = 0.005  # of fs: below lie offset and drift
SHORTEST = 128  # samples of an envelope at least


@dataclass(frozen=True)
class Band:
    """A band in Hz with the lines of its envelope."""

    low: float
    high: float
    lines: Lines


def envelope(x: Array, fs: float, low: float, high: float) -> tuple[Array, float]:
    """The envelope of x (T,) between two frequencies in Hz, and its sampling rate in Hz (twice the band's width)."""
    from scipy.fft import ifft, next_fast_len, rfft

    spectrum = rfft(x - x.mean())
    first, last = int(np.ceil(low * len(x) / fs)), int(high * len(x) / fs)
    inside = spectrum[first:last]
    samples = next_fast_len(2 * len(inside))
    analytic = np.zeros(samples, complex)
    analytic[: len(inside)] = inside
    return np.abs(ifft(analytic)) * (2 * samples / len(x)), fs * samples / len(x)


def envelope_bands(x: Array, fs: float) -> list[Band]:
    """The log envelope's lines in every band of the grid that is wide enough for an envelope of SHORTEST samples.

    The logarithm makes a modulation additive to the noise whatever the level, and keeps one loud impact from covering a
    series of small ones (P. Borghesani and M.R. Shahriar, Mechanical Systems and Signal Processing 88, 2017).
    """
    found = []
    for parts in PARTS:
        for part in range(parts):
            low, high = max(LOWEST * fs, part * fs / 2 / parts), (part + 1) * fs / 2 / parts
            if 2 * (high - low) * len(x) / fs < SHORTEST:
                continue
            a, rate = envelope(x, fs, low, high)
            found.append(Band(low, high, find_lines(log_level(a), rate)))
    return found


def log_level(a: Array) -> Array:
    """The logarithm of an envelope, from a billionth of its largest value up."""
    return np.asarray(np.log(np.maximum(a, 1e-9 * float(a.max()) + 1e-300)))
