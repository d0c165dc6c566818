"""The 1,200 Zerone values of a record in float64: 15 of time, 127 of short frames, 1,050 of the spectrum, 8 of ratios.

Layout ``classic`` is the definition of the reference study, ``v2`` ours; ``Zerone`` (features/zerone.py) documents both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.dsp.kernels import interpolate
from vibro_plugins.dsp.spectrum import Rows, Scaled, hann, log10, ratio
from vibro_plugins.dsp.statistics import moments_of
from vibro_plugins.features.zerone import fft as _fft

SEGMENT = 4096  # samples of a Welch segment
FRAMES = 127  # values of the second block
FRAME_WINDOW = hann(_fft.FRAME) / hann(_fft.FRAME).sum()
LINES, BANDS, BAND_HZ = 1000, 50, 20  # 1..1000 Hz, then 1001..2000 Hz by 20
THRESHOLDS = (1000.0, 2000.0, 3000.0, 4000.0)
CLASSIC_TOP = 4000.0  # Hz, where the classic spectrum ends for the ratios
LONGEST = 32768  # samples up to which the spectrum has a bin for each sample
TIME_V2 = (
    *("mean", "rms", "var", "l4_factor", "max", "min", "p2p", "kurtosis", "skewness", "zero_cross_rate"),
    *("mean_abs", "crest", "impulse", "clearance", "waveform"),
)
TIME_CLASSIC = tuple({"l4_factor": "std", "clearance": "margin"}.get(name, name) for name in TIME_V2)


class Grid:
    """Constants of a sampling rate and record length: bins, places of the 1 Hz values, values that are not available."""

    def __init__(self, fs: float, length: int, layout: str) -> None:
        self.fs, self.length, self.layout = fs, length, layout
        self.segment = min(SEGMENT, length)
        self.hop = self.segment - self.segment // 2
        self.window = hann(self.segment)
        self.bins = length if length <= LONGEST else round(length / -(-length // LONGEST))
        self.frames = max((length - _fft.FRAME) // _fft.HOP + 1, 0)
        self.df = fs / self.bins
        top = self.bins // 2
        place = np.arange(1, LINES + BANDS * BAND_HZ + 1) / self.df
        self.reached = place <= top + 1e-9
        self.low = np.minimum(np.floor(place + 1e-9).astype(np.intp), top)
        self.weight = np.clip(place - self.low, 0.0, 1.0)
        self.first = np.minimum(np.ceil(np.array(THRESHOLDS) / self.df - 1e-9).astype(np.intp), top + 1)
        self.last = top if layout == "v2" else min(top, int(CLASSIC_TOP / self.df + 1e-9))

        self.kept = self._kept()

    def _kept(self) -> NDArray[np.bool_]:
        """(1200,) False for values that this rate and length cannot give, which are 0."""
        if self.layout == "v2":
            frames = np.repeat([self.frames > 0, self.frames > 1], [64, 63])
            ratios = np.array(THRESHOLDS) <= 0.45 * self.fs
        else:
            frames = np.arange(FRAMES) < self.frames
            ratios = (self.first > 0) & (self.first < self.last)
        bands = self.reached[LINES:].reshape(BANDS, BAND_HZ).all(axis=1)
        return np.concatenate([np.ones(15, bool), frames, self.reached[:LINES], bands, np.repeat(ratios, 2)])


def density(rows: Scaled, grid: Grid) -> Rows:
    """Welch density (rows, bins // 2 + 1) of scaled rows: Hann, half overlap, each segment without its mean."""
    if (grid.segment, grid.bins) == (_fft.SEGMENT, 2 * _fft.SEGMENT):
        total = _fft.segment_power(rows.y, grid.hop, grid.window)
    else:
        total = _power_of_segments(rows.y, grid)
    total[:, 1 : (grid.bins + 1) // 2] *= 2
    segments = (grid.length - grid.segment) // grid.hop + 1
    total /= segments * grid.fs * np.sum(grid.window**2)
    return total


def _power_of_segments(y: Rows, grid: Grid) -> Rows:
    """Sum of abs(X)^2 over segments, for any length."""
    from scipy.fft import rfft

    total = np.zeros((len(y), grid.bins // 2 + 1))
    for start in range(0, grid.length - grid.segment + 1, grid.hop):
        part = y[:, start : start + grid.segment]
        z = rfft((part - part.mean(axis=1, keepdims=True)) * grid.window, n=grid.bins, axis=1)
        total += z.real**2 + z.imag**2
    return total


def noise_floor(rows: Scaled, grid: Grid) -> NDArray[np.float64]:
    """Median of a record's density over the bins above 0, in unit^2 / Hz (rows,)."""
    return np.ldexp(np.median(density(rows, grid)[:, 1:], axis=1), 2 * rows.exponent)


def values(rows: Scaled, grid: Grid, eps: NDArray[np.float64]) -> Rows:
    """The 1,200 values (rows, 1200); ``eps`` (rows,) in unit^2 / Hz is added to the density before its logarithm."""
    v2 = grid.layout == "v2"
    gain = np.ldexp(1.0, rows.exponent)[:, None]
    power = density(rows, grid)
    lines = _lines(power, grid) * gain**2
    blocks = [
        _time_v2(rows, gain) if v2 else _time_classic(rows, gain),
        _frames_v2(rows, gain) if v2 else _frames_classic(rows, gain),
        np.where(grid.kept[142:1192], log10(lines + eps[:, None]) if v2 else lines, 0),
        _ratios(power, grid),
    ]
    return np.concatenate(blocks, axis=1)


def _time_v2(rows: Scaled, gain: Rows) -> Rows:
    """Of the centred record, with the largest abs(y) as its peak; the mean is that of the record."""
    power, cube, fourth, size, root, crossings, high, low = moments_of(rows.y)
    rms, peak = np.sqrt(power), np.maximum(high, -low)
    columns = {
        "mean": rows.mean,
        "rms": rms,
        "var": power,
        "l4_factor": ratio(peak, fourth**0.25),
        "max": high,
        "min": low,
        "p2p": high - low,
        "kurtosis": ratio(fourth, power**2),
        "skewness": ratio(cube, rms**3),
        "zero_cross_rate": crossings,
        "mean_abs": size,
        "crest": ratio(peak, rms),
        "impulse": ratio(peak, size),
        "clearance": ratio(peak, root**2),
        "waveform": ratio(rms, size),
    }
    return _in_units(columns, TIME_V2, gain)


def _time_classic(rows: Scaled, gain: Rows) -> Rows:
    """Of the record as it is."""
    power, cube, fourth = moments_of(rows.y)[:3]
    raw_power, _, raw_fourth, size, _, crossings, high, low = moments_of(rows.y + rows.mean[:, None])
    rms = np.sqrt(raw_power)
    columns = {
        "mean": rows.mean,
        "rms": rms,
        "var": power,
        "std": np.sqrt(power),
        "max": high,
        "min": low,
        "p2p": high - low,
        "kurtosis": ratio(fourth, power**2),
        "skewness": ratio(cube, power**1.5),
        "zero_cross_rate": crossings,
        "mean_abs": size,
        "crest": ratio(high, rms),
        "impulse": ratio(high, size),
        "margin": ratio(high, raw_fourth**0.25),
        "waveform": ratio(rms, size),
    }
    return _in_units(columns, TIME_CLASSIC, gain)


def _in_units(columns: dict[str, Rows], names: tuple[str, ...], gain: Rows) -> Rows:
    """The columns in this order, amplitudes and the variance in the record's unit."""
    out = np.stack([columns[name] for name in names], axis=1)
    powers = np.array([{"var": 2}.get(name, int(name in _AMPLITUDES)) for name in names])
    return out * gain**powers


_AMPLITUDES = ("mean", "rms", "std", "max", "min", "p2p", "mean_abs")


def _frames_v2(rows: Scaled, gain: Rows) -> Rows:
    """Means over time of bins 1..64, then standard deviation over mean of bins 1..63 (rows, 127)."""
    bins, _ = _fft.frame_statistics(rows.y, FRAME_WINDOW)
    mean, deviation = bins[:, :, 0], bins[:, :, 1]
    return np.concatenate([mean * gain, ratio(deviation, mean)[:, :-1]], axis=1)


def _frames_classic(rows: Scaled, gain: Rows) -> Rows:
    """Mean over bins 1..64 of each frame, the first 127 frames (rows, 127)."""
    _, envelope = _fft.frame_statistics(rows.y + rows.mean[:, None], FRAME_WINDOW)
    out = np.zeros((len(rows.y), FRAMES))
    out[:, : envelope.shape[1]] = envelope[:, :FRAMES] * gain
    return out


def _lines(power: Rows, grid: Grid) -> Rows:
    """Density at 1..1000 Hz, then its means over 20 Hz up to 2000 Hz (rows, 1050)."""
    at = np.empty((len(power), len(grid.low)))
    interpolate(power, grid.low, grid.weight, at)
    bands = at[:, LINES:].reshape(len(at), BANDS, BAND_HZ).mean(axis=2)
    return np.concatenate([at[:, :LINES], bands], axis=1)


def _ratios(power: Rows, grid: Grid) -> Rows:
    """For each threshold: mean density from it up / below it, and the share of power from it up (rows, 8)."""
    used = power[:, : grid.last + 1]
    out = np.zeros((len(used), 2 * len(THRESHOLDS)))
    kept = grid.kept[1192::2]
    starts, place = np.unique([0, *grid.first[kept]], return_inverse=True)
    sums = np.add.reduceat(used, starts, axis=1)
    above = np.cumsum(sums[:, ::-1], axis=1)[:, ::-1]
    ends = used[:, -1] / 2
    total = above[:, 0] - used[:, 0] / 2 - ends
    for j, p in zip(np.flatnonzero(kept), place[1:], strict=True):
        first = starts[p]
        below = (above[:, 0] - above[:, p]) / first
        out[:, 2 * j] = ratio(above[:, p] / (used.shape[1] - first), below)
        out[:, 2 * j + 1] = ratio(above[:, p] - used[:, first] / 2 - ends, total)
    return out
