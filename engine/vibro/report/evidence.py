"""Evidence for a case: its highest record's waveform, spectrum and envelope spectrum against the sensor's own baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report import indicators
from vibro.report.packing import packed, packed_codes, packed_places

Array = NDArray[np.float64]

SAMPLES = 12_000  # of a waveform; a longer one is drawn by its lowest and highest sample in so many stretches
LINES = 400  # of an envelope spectrum
ENVELOPE_TOP = 1 / 16  # of the sampling rate
BAND = (0.05, 0.5, 0.95)  # quantiles of the baseline
COLUMNS, ROWS = 96, 40  # of the time-frequency image
REACH = 24.0  # dB up and down that its colours span


def evidence(signal: NDArray[np.float32], baseline: NDArray[np.float32], fs: float) -> dict[str, Any]:
    """The charts of a record (C, T) against baseline records (b, C, T), b may be 0: those of the channel that rose most."""
    channel = _channel(signal, baseline)
    x, usual = signal[channel], baseline[:, channel] if len(baseline) else np.zeros((0, signal.shape[1]), np.float32)
    found = {"channel": channel if len(signal) > 1 else None, "waveform": _waveform(x, usual, fs)}
    if len(x) >= 16:
        hz = indicators.frequencies(len(x), fs)
        centre, level = indicators.bands(indicators.power_spectrum(x[None]), hz)
        theirs = indicators.bands(indicators.power_spectrum(usual), hz)[1] if len(usual) else level[:0]
        found["spectrum"] = _against(centre, level[0], theirs)
        hz, level = _envelope(x[None], fs)
        theirs = _envelope(usual, fs)[1] if len(usual) else level[:0]
        if len(hz) >= 8:
            found["envelope"] = _against(hz, level[0], theirs)
    if len(x) >= 512:
        found["image"] = _image(x, usual, fs)
    return found


def _channel(signal: NDArray[np.float32], baseline: NDArray[np.float32]) -> int:
    """The channel whose level rose most, the first without a baseline."""
    if len(signal) == 1 or not len(baseline):
        return 0
    mine, theirs = signal.std(axis=1), np.median(baseline.std(axis=2), axis=0)
    return int(np.argmax(mine / np.maximum(theirs, 1e-30)))


def _waveform(x: NDArray[np.float32], usual: NDArray[np.float32], fs: float) -> dict[str, Any]:
    """Samples over seconds, and the range in which 99 % of the samples of the baseline's usual record lie."""
    place, values = np.arange(len(x)) / fs, x.astype(np.float64)
    if len(x) > SAMPLES:
        edges = np.linspace(0, len(x), SAMPLES // 2, endpoint=False).astype(int)
        low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
        place, values = np.repeat(edges / fs, 2), np.stack([low, high], axis=1).ravel()
    chart: dict[str, Any] = {"x": packed_places(place), "y": packed(values)}
    if len(usual):
        chart["range"] = [float(np.median(edge)) for edge in np.quantile(usual, (0.005, 0.995), axis=1)]
    return chart


def _against(hz: Array, level: Array, theirs: Array) -> dict[str, Any]:
    """Levels in dB (f,) and, with at least three baseline records (b, f), their band."""
    chart: dict[str, Any] = {"x": packed_places(hz), "y": packed(level)}
    if len(theirs) >= 3:
        chart |= dict(zip(("low", "middle", "high"), map(packed, np.quantile(theirs, BAND, axis=0)), strict=True))
    return chart


def _envelope(x: NDArray[np.float32], fs: float) -> tuple[Array, Array]:
    """Hz (f,) and level in dB (n, f) of the envelope's spectrum, where impacts stand at their rate and its multiples."""
    from scipy.signal import hilbert

    y = x - x.mean(axis=1, keepdims=True)
    power = indicators.power_spectrum(np.abs(hilbert(y, axis=1)).astype(np.float32))
    hz = indicators.frequencies(x.shape[1], fs)
    keep = hz <= ENVELOPE_TOP * fs
    hz, power = hz[keep], power[:, keep]
    step = -(-len(hz) // LINES)
    if step > 1:
        edges = np.arange(0, len(hz), step)
        power = np.maximum.reduceat(power, edges, axis=1)
        hz = hz[edges]
    return hz, indicators.decibel(power)


def _image(x: NDArray[np.float32], usual: NDArray[np.float32], fs: float) -> dict[str, Any]:
    """Level by time and frequency in dB over the baseline's median; over the record's own mean without a baseline.

    ``values`` are the rows from the lowest frequency up, one after the other: 128 is 0 dB, 1 and 255 are ``REACH``.
    """
    frame = 1 << round(np.log2(len(x) / 16))
    starts = np.linspace(0, len(x) - frame, COLUMNS).astype(int)
    hz = np.fft.rfftfreq(frame, 1 / fs)[1:]
    edges = np.geomspace(hz[0], hz[-1], ROWS + 1)
    first = np.minimum(np.searchsorted(hz, edges[:-1] * 0.9999), len(hz) - 1)
    last = np.maximum(np.searchsorted(hz, edges[1:]), first + 1)
    mine = _levels(x, starts, frame, first, last)
    if len(usual) >= 3:
        apart = np.arange(0, len(x) - frame + 1, frame)
        theirs = np.median([_levels(one, apart, frame, first, last).mean(axis=1) for one in usual], axis=0)
    else:
        theirs = mine.mean(axis=1)
    over = np.clip((mine - theirs[:, None]) / REACH, -1, 1)
    return {
        "seconds": len(x) / fs,
        "hz": [float(edges[0]), float(edges[-1])],
        "columns": COLUMNS,
        "reach": REACH,
        "values": packed_codes(np.round(128 + 127 * over).ravel()),
    }


def _levels(
    x: NDArray[np.float32], starts: NDArray[np.intp], frame: int, first: NDArray[np.intp], last: NDArray[np.intp]
) -> Array:
    """Level in dB (bands, frames) of the bands from line ``first`` to before ``last``, line 0 left out."""
    cut = x[starts[:, None] + np.arange(frame)]
    power = np.abs(np.fft.rfft((cut - cut.mean(axis=1, keepdims=True)) * np.hanning(frame), axis=1)[:, 1:]) ** 2
    total = np.concatenate([np.zeros((len(starts), 1)), np.cumsum(power, axis=1)], axis=1)
    return indicators.decibel(((total[:, last] - total[:, first]) / (last - first)).T)
