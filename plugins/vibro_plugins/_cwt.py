"""Wavelet maps of a batch in the frequency domain, computed only at the columns that an image keeps.

One zero-padded real FFT a record. A band's spectrum is narrow, so multiplying it by the wavelet's response and folding
the product to L points (aliasing it on purpose) gives, after a short inverse FFT, exactly every (N/L)-th sample of the
band's analytic signal. N is chosen so that these samples fall evenly into the columns: n of them in each, at the
midpoints of n equal parts. Magnitudes are pooled over the n samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd, log2, pi, sqrt

import numpy as np
import pywt
import scipy.fft
from numpy.typing import NDArray

from vibro_plugins._resize import adaptive_weights, area_weights, point_weights
from vibro_plugins._sigma import decibel, unit_records

SIGMA = 1 / (pi * sqrt(2 * 1.5))  # of |cmor1.5-1.0| over frequency, as a share of the centre frequency
MAIN_LOBE = 4.5  # standard deviations of a response that are kept: it falls to -88 dB there
RATE = 6.0  # samples of a band's signal per standard deviation of its response


def log_frequencies(fs: float, samples: int, f_min: float = 25.0, per_octave: int = 12) -> NDArray[np.float64]:
    """Centre frequencies in Hz, falling from 0.45 fs, ``per_octave`` an octave, down to ``f_min``.

    Where ``f_min`` would leave less than four octaves (slow sampling) the map goes down four octaves, and it never goes
    below two cycles a record.
    """
    top = 0.45 * fs
    lowest = min(max(min(f_min, top / 16), 2 * fs / samples), top / 2)
    count = 1 + int(log2(top / lowest) * per_octave + 1e-9)
    return top * 2.0 ** (-np.arange(count) / per_octave)


def padded_length(samples: int, columns: int, reach: int) -> tuple[int, int]:
    """FFT length N >= samples + reach (or twice the samples) with N columns / samples = whole number; both numbers."""
    step = columns // gcd(samples, columns)
    slots = step * ceil(columns * min(1 + reach / samples, 2) / step)
    choices = [s for s in range(slots, slots + 8 * step + 1, step) if s <= max(2 * columns, slots)]
    best = min(choices, key=lambda s: scipy.fft.next_fast_len(s) * (1 + 0.5 * (scipy.fft.next_fast_len(s) > s)))
    return samples * best // columns, best


@dataclass(frozen=True)
class Band:
    """The kept part of one response: bins ``first``.. of the FFT of length N, and how many samples a column takes."""

    first: int
    taps: NDArray[np.complex64]
    per_column: int


@dataclass(frozen=True)
class Bank:
    """Bands over records of ``samples``; ``length`` is N and ``slots`` = N columns / samples."""

    samples: int
    columns: int
    length: int
    slots: int
    bands: tuple[Band, ...]

    def spectrum(self, x: NDArray[np.float32]) -> NDArray[np.complex64]:
        """(n, samples) -> FFT bins 0..last that any band needs; those above N / 2 mirror the ones below."""
        half = scipy.fft.rfft(x, self.length, axis=-1)
        last = max(band.first + len(band.taps) for band in self.bands)
        mirror = half[:, self.length - last + 1 : (self.length + 1) // 2][:, ::-1]
        return np.concatenate([half, mirror.conj()], axis=1) if last > half.shape[1] else half

    def signal(self, spectrum: NDArray[np.complex64], band: Band) -> NDArray[np.complex64]:
        """The band's analytic signal (n, columns, per_column) at the midpoints of the columns' parts."""
        points = self.slots * band.per_column
        folded = np.zeros((len(spectrum), points), np.complex64)
        at, last = band.first, band.first + len(band.taps)
        while at < last:
            stop = min(last, (at // points + 1) * points)
            folded[:, at % points : at % points + stop - at] += (
                spectrum[:, at:stop] * band.taps[at - band.first : stop - band.first]
            )
            at = stop
        wave = scipy.fft.ifft(folded, axis=-1, overwrite_x=True)
        return wave[:, : self.columns * band.per_column].reshape(len(spectrum), self.columns, band.per_column)


def make_band(
    response: NDArray[np.complex128], first: int, rate: float, samples: int, columns: int, slots: int
) -> Band:
    """A band from its response at the bins ``first``..; ``rate`` is the wished number of samples a record."""
    per_column = max(2, ceil(rate / columns))
    per_column = next(n for n in range(per_column, 2 * per_column + 2) if scipy.fft.next_fast_len(n) == n)
    length = samples * slots // columns
    part = samples / (columns * per_column)
    bins = first + np.arange(len(response))
    shift = np.exp(2j * pi * bins / length * (part - 1) / 2)
    scale = slots * per_column / length
    return Band(first, (response * shift * scale).astype(np.complex64), per_column)


def morlet_bank(samples: int, columns: int, frequencies: NDArray[np.float64]) -> Bank:
    """Bank of the complex Morlet ``cmor1.5-1.0`` at centre ``frequencies`` (cycles a sample).

    A sine of RMS 1 at a band's centre gives magnitude 1, but for the factor sinc(f) of ``pywt.cwt``, which averages the
    wavelet over each sample interval. Near fs / 2 the sampled wavelet's response goes on beyond it, as it must: cutting
    it there would ring.
    """
    reach = ceil(4 / (2 * pi * SIGMA * frequencies.min()))
    length, slots = padded_length(samples, columns, reach)
    bands = []
    for f in frequencies:
        half = MAIN_LOBE * SIGMA * f
        bins = np.arange(max(ceil((f - half) * length), 1), int(min(f + half, 1) * length))
        response = sqrt(2) * np.exp(-0.5 * ((bins / length - f) / (SIGMA * f)) ** 2) * np.sinc(bins / length)
        bands.append(make_band(response, int(bins[0]), RATE * SIGMA * f * samples, samples, columns, slots))
    return Bank(samples, columns, length, slots, tuple(bands))


def pooled_power(bank: Bank, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean power of every band in every column: (n, samples) -> (n, bands, columns)."""
    spectrum = bank.spectrum(x)
    out = np.empty((len(x), len(bank.bands), bank.columns), np.float32)
    for row, band in enumerate(bank.bands):
        wave = bank.signal(spectrum, band)
        out[:, row] = (wave.real**2 + wave.imag**2).mean(axis=-1)
    return out


FLOOR = -80.0  # dB against the reference level: below the quantisation of 16 bit
BLOCK = 32  # records worked on at a time, so that their spectra stay in cache


def decibel_map(
    raw: NDArray[np.float32],
    sigma: NDArray[np.float64],
    fs: float,
    height: int,
    width: int,
    f_min: float = 25.0,
    per_octave: int = 12,
) -> NDArray[np.float32]:
    """Wavelet power in dB of ``sigma`` (n, C): (n, C, T) -> (n, C, height, width), highest frequency first."""
    n, channels, samples = raw.shape
    bank = morlet_bank(samples, width, log_frequencies(fs, samples, f_min, per_octave) / fs)
    rows = area_weights(len(bank.bands), height)
    out = np.empty((n, channels, height, width), np.float32)
    flat = out.reshape(n * channels, height, width)
    records = raw.reshape(n * channels, samples)
    for start in range(0, len(records), BLOCK):
        part = slice(start, start + BLOCK)
        unit, level = unit_records(records[part])
        power = np.matmul(rows, pooled_power(bank, unit))
        flat[part] = decibel(power, level / sigma.reshape(-1)[part], FLOOR)
    return out


SCALES = np.arange(1, 129)


def classic_map(raw: NDArray[np.float32], height: int, width: int, resize: str = "area") -> NDArray[np.float32]:
    """|``pywt.cwt``(x, 1..128, ``morl``)| resized: (n, C, T) -> (n, C, height, width), scale 1 first."""
    n, channels, samples = raw.shape
    weights = {"area": adaptive_weights, "point": point_weights}[resize]
    rows, columns = weights(len(SCALES), height), weights(samples, width)
    out = np.empty((n, channels, height, width), np.float32)
    for row, record in zip(out.reshape(-1, height, width), raw.reshape(-1, samples), strict=True):
        magnitude = np.abs(pywt.cwt(record.astype(np.float64), SCALES, "morl", method="fft")[0])
        row[:] = rows @ (magnitude.astype(np.float32) @ columns.T)
    return out
