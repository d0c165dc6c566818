"""The comb of the mains in a set of records: how clear it is, the mains frequency, and the sampling rate it implies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RATES = (
    1000, 2000, 2048, 2560, 4000, 4096, 5000, 5120, 6400, 8000, 8192, 10000, 10240, 12000, 12800, 16000, 16384, 20000,
    20480, 25000, 25600, 32000, 32768, 40000, 44100, 48000, 50000, 51200,
)  # fmt: skip
MAINS = (50.0, 60.0)
DRIFT = 0.01  # of the mains frequency
LINES = 12  # multiples looked at
MIN_CYCLES = 20  # of the mains in a record, to part a comb from its neighbours
CLEAR = 0.8  # share of the lines' power from which on a comb is clear
PROMINENT = 30.0  # power of a line over the median around it
ALTERNATING = 3.0  # even over odd multiples, or odd over even
TOLERANCE = 0.75  # bins of the spectrum by which the first line may lie off its place
EXACT = 0.002  # of a sampling rate


def spectrum(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean power spectrum of records (m, T), each scaled to unit power, with a Hann window; (T // 2 + 1,)."""
    window, mean = np.hanning(x.shape[1]), np.zeros(x.shape[1] // 2 + 1)
    for row in x:  # one by one, so that many take no more memory
        wide = row.astype(np.float64)
        power = np.abs(np.fft.rfft((wide - wide.mean()) * window)) ** 2
        mean += power / (power.sum() or 1.0)
    return mean / len(x)


def prominent_lines(power: NDArray[np.float64], length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lines that stand out of their surroundings: frequency in cycles per sample, by a parabola, and power."""
    width = max(16, len(power) // 64)
    blocks = len(power) // width
    floor = np.median(power[: blocks * width].reshape(blocks, width), axis=1)
    floor = np.interp(np.arange(len(power)), (np.arange(blocks) + 0.5) * width, floor)
    middle = power[1:-1]
    peak = (middle > power[:-2]) & (middle >= power[2:]) & (middle > PROMINENT * floor[1:-1])
    at = np.flatnonzero(peak) + 1
    if not len(at):
        return np.zeros(0), np.zeros(0)
    left, centre, right = (np.log(power[at + shift] + 1e-300) for shift in (-1, 0, 1))
    offset = 0.5 * (left - right) / (left - 2 * centre + right - 1e-12)
    return (at + np.clip(offset, -0.5, 0.5)) / length, power[at]


def mains_frequency(x: NDArray[np.float32], fs: float) -> float:
    """The mains frequency in Hz that records (m, T) hold a clear comb of, or 0.

    Clear: multiples of it hold most of the power of all lines, and even and odd ones differ, as they do for the core and
    winding of a transformer and, the other way round, for currents.
    """
    length, best, found = x.shape[1], 0.0, 0.0
    if length < MIN_CYCLES * fs / MAINS[0] or fs < 4 * MAINS[1]:
        return found
    lines, power = prominent_lines(spectrum(x), length)
    for hertz in MAINS:
        for spacing in _spacings(lines, power, hertz * (1 - DRIFT) / fs, hertz * (1 + DRIFT) / fs):
            near, member = _members(lines, spacing, length)
            share = float(power[member].sum() / power.sum())
            even, odd = (float(power[member & (near % 2 == parity)].sum()) for parity in (0, 1))
            alternating = 0 < ALTERNATING * odd <= even or 0 < ALTERNATING * even <= odd
            if share > max(best, CLEAR) and np.count_nonzero(member) >= 4 and alternating:
                best, found = share, spacing * fs
    return found


def rates_of_comb(x: NDArray[np.float32]) -> list[float]:
    """Usual sampling rates at which records (m, T) hold a comb of the mains; one entry = the rate is clear.

    Spacing alone cannot tell the mains frequency from twice it, and a rate wrong by two is worse than none. So even and
    odd multiples must both be there and interleave, strong and weak, as in a transformer's vibration; other records give
    an empty list.
    """
    length = x.shape[1]
    if length < 2 * MIN_CYCLES:
        return []
    lines, power = prominent_lines(spectrum(x), length)
    found = set()
    for spacing in _spacings(lines, power, MIN_CYCLES / length, 0.05):
        near, member = _members(lines, spacing, length)
        height = np.zeros(11)
        for multiple in range(1, 11):
            height[multiple] = power[member & (near == multiple)].sum()
        odd, even = height[1:10:2], height[2:11:2]
        if np.count_nonzero(odd) >= 4 and np.count_nonzero(even) >= 4 and np.mean(even > odd) >= CLEAR:
            found |= {float(r) for r in RATES for hertz in MAINS if abs(spacing * r / hertz - 1) <= EXACT}
    return sorted(found)


def _spacings(lines: NDArray[np.float64], power: NDArray[np.float64], low: float, high: float) -> Iterator[float]:
    """Spacings in [low, high], in cycles per sample, of which one of the loudest lines is a multiple."""
    for line in lines[np.argsort(power)[-4:]]:
        for multiple in range(max(1, round(line / high)), min(LINES, round(line / low)) + 1):
            if low <= line / multiple <= high:
                yield float(line / multiple)


def _members(lines: NDArray[np.float64], spacing: float, length: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The multiple of the spacing next to each line, and whether the line lies on it."""
    near = np.rint(lines / spacing)
    return near, (near >= 1) & (np.abs(lines - near * spacing) * length <= TOLERANCE * np.sqrt(np.maximum(near, 1)))


def mains_share(x: NDArray[np.float32], fs: float, mains: float) -> NDArray[np.float64]:
    """(n,) autocorrelation of each record (n, T) at a lag of whole mains periods: 1 = only the mains, 0 = noise.

    The lag is that of 2 to 6 periods that lies nearest to a whole number of samples, so that high harmonics count too.
    """
    lags = np.arange(2, 7) * fs / mains
    lag = int(np.rint(lags[np.argmin(np.abs(lags - np.rint(lags)))]))
    share = np.zeros(len(x))
    for i, row in enumerate(x - x.mean(axis=1, keepdims=True)):  # one by one, in the processor's cache
        wide = row.astype(np.float64)
        a, b = wide[:-lag], wide[lag:]
        share[i] = (a @ b) / (np.sqrt((a @ a) * (b @ b)) or 1.0)
    return share
