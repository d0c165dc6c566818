"""``hetero``: three pictures of a record in one image: wavelet map, short-time spectrum and cycle map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import Annotated, Any, Literal

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Context, Extent, FeatureExtractor, NotFittedError, Params, State
from vibro_plugins.compiled import compiled
from vibro_plugins.dsp.cycles import Fold, choose_fold, cycle_map, lock
from vibro_plugins.dsp.extents import between, image_of, nowhere, stacked
from vibro_plugins.dsp.reference_level import decibel, fit_sigma, sigma_of, unit_records
from vibro_plugins.dsp.spectrum import hann
from vibro_plugins.stats.columns import evenly_spaced
from vibro_plugins.timefrequency.bank import FLOOR, Bank, ClassicBank, block_size
from vibro_plugins.timefrequency.classic import classic_bank, classic_map
from vibro_plugins.timefrequency.device import stft_on
from vibro_plugins.timefrequency.morlet import log_frequencies, morlet_bank, pooled_power, row_edges
from vibro_plugins.timefrequency.resize import adaptive_weights, area_weights, banded

FIT_ROWS = 512  # records whose images give the ranges, fewer where images are large
CYCLE_ROWS = 256
QUANTILES = (0.01, 0.99)


@dataclass(frozen=True)
class HeteroParams(Params):
    """Settings of ``hetero``.

    ``size``: rows and columns of each channel; 64 for a CPU, 224 for a large network
    ``layout``: levels relative to the sensor's (v2), or the three pictures of the reference study (classic)
    """

    size: Annotated[int, Field(ge=8, le=512)] = 64
    layout: Literal["v2", "classic"] = "v2"


class Hetero(FeatureExtractor):
    """Three-channel image (n, 3 C, size, size) with values in 0..1; frequency falls from row 0 down.

    ``v2``: CWT as in ``cwt_image``; STFT (Hann window of about 1/16 s, 512 samples at 8192 Hz, hop one eighth of it, power
    in dB of the sensor's level, area-resized); tanh(C / 4) of the cycle map C of ``cycles``, its rows area-resized. Each
    channel is scaled by its 1 % and 99 % quantiles over the fit records and clipped. ``mode``, ``period`` and ``locked``
    in the state record how cycles were found.

    ``classic``: of the standardised record |CWT| (real ``morl``, scales 1..128), |STFT| (Hann 256, hop 128) and the samples
    in lines of 256; each area-resized and scaled by its own minimum and maximum. It learns nothing.
    """

    name = "hetero"
    summary = "three-channel image: wavelet map, short-time spectrum, phase-locked cycle map"
    Params = HeteroParams
    item = "c h w"
    requires = ("scipy", "pywt", "numba", "torch")
    test_settings: Mapping[str, Any] = {"size": 16}

    def __init__(self, params: HeteroParams, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._state: State | None = {} if params.layout == "classic" else None
        self._bank: Bank | None = None
        self._classic: ClassicBank | None = None

    @classmethod
    def inputs(cls, params: HeteroParams) -> tuple[str, ...]:
        """Records, and for ``v2`` their sensors."""
        return ("raw", "sensor") if params.layout == "v2" else ("raw",)

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns the sensors' levels, how to fold, and the range of each channel."""
        if self.params.layout == "classic":
            return
        raw, sensor = inputs["raw"], inputs["sensor"]
        wanted = max(FIT_ROWS * 64**2 // self.params.size**2, FIT_ROWS // 4)
        rows = evenly_spaced(len(raw), min(wanted, FIT_ROWS))
        sigma = fit_sigma(raw, sensor)
        records = unit_records(raw[rows])[0].reshape(-1, raw.shape[-1])
        fold = choose_fold(records, self.ctx.fs, CYCLE_ROWS, self.params.size)
        locked = lock(records, self.ctx.fs, fold).locked.mean()
        images = self._images(raw[rows], sigma_of(sigma, sensor[rows]), fold)
        low, high = np.quantile(images.swapaxes(0, 1).reshape(images.shape[1], -1), QUANTILES, axis=1)
        high = np.where(high - low > 1e-6, high, low + 1)
        self._state = {"sigma": sigma, "low": low, "high": high, "locked": np.array(locked), **fold.state()}

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, 3 C, size, size)."""
        raw, state = inputs["raw"], self.state()
        if self.params.layout == "classic":
            if self._classic is None or self._classic.grid.samples != raw.shape[-1]:
                self._classic = classic_bank(raw.shape[-1], self.params.size, "area")
            return _classic(self._classic, raw, self.params.size, self.ctx.device)
        fold = Fold(int(state["mode"]), float(state["period"]), int(state["rows"]))
        images = self._images(raw, sigma_of(state["sigma"], inputs["sensor"]), fold)
        low = state["low"].astype(np.float32)[:, None, None]
        images -= low
        images /= state["high"].astype(np.float32)[:, None, None] - low
        return np.clip(images, 0, 1, out=images)

    def extent(self, inputs: Mapping[str, Extent]) -> Extent | None:
        """Wavelet map and short-time spectrum in seconds and Hz; the cycle map, and the classic layout, are left open."""
        raw, size, fs = inputs["raw"], self.params.size, self.ctx.fs
        if self.params.layout == "classic":
            return None
        channels, samples = raw.seconds.shape[:2]
        seconds = between(np.linspace(0, samples / fs, size + 1))
        length, hop, frames = frames_of(samples, fs)
        middle = np.linspace(0, frames, size + 1) * hop + (length - hop) / 2
        middle[[0, -1]] = 0, samples
        lines = np.clip((np.linspace(length // 2 + 1, 0, size + 1) - 0.5) * fs / length, 0, fs / 2)
        maps = [
            image_of(seconds, between(row_edges(log_frequencies(fs, samples), size))),
            image_of(between(middle / fs), between(lines)),
            Extent(nowhere(size, size), nowhere(size, size)),
        ]
        return stacked(maps, channels)

    def state(self) -> State:
        """Levels, fold and ranges; NotFittedError before ``fit``."""
        if self._state is None:
            raise NotFittedError("hetero has not been fitted")
        return self._state

    def load_state(self, state: State) -> None:
        """Restores levels, fold and ranges."""
        self._state = dict(state)

    def _images(self, raw: NDArray[np.float32], sigma: NDArray[np.float64], fold: Fold) -> NDArray[np.float32]:
        """Unscaled channels, (n, 3 C, size, size)."""
        size, fs, device = self.params.size, self.ctx.fs, self.ctx.device
        n, channels, samples = raw.shape
        if self._bank is None or self._bank.grid.samples != samples:
            self._bank = morlet_bank(samples, size, log_frequencies(fs, samples) / fs)
        out = np.empty((n, channels, 3, size, size), np.float32)
        bands, cycles = area_weights(self._bank.height, size), area_weights(fold.rows, size)
        step = block_size(device, channels)
        for start in range(0, n, step):
            part = slice(start, start + step)
            unit, level = unit_records(raw[part])
            unit, gain = unit.reshape(-1, samples), (level / sigma[part]).reshape(-1)
            maps = (
                decibel(np.matmul(bands, pooled_power(self._bank, unit, device)), gain, FLOOR),
                decibel(stft_power(unit, fs, size, device), gain, FLOOR),
                np.tanh(np.matmul(cycles, cycle_map(unit, lock(unit, fs, fold), fold.rows, size, gain)) / 4),
            )
            for channel, picture in enumerate(maps):
                out[part, :, channel] = picture.reshape(-1, channels, size, size)
        return out.reshape(n, 3 * channels, size, size)


def frames_of(samples: int, fs: float) -> tuple[int, int, int]:
    """Length and hop of the frames of the short-time spectrum in samples, and their number."""
    length = 2 ** int(np.clip(round(log2(max(fs / 16, 1))), 4, max(log2(samples / 4), 3)))
    hop = max(length // 8, 1)
    return length, hop, (samples - length) // hop + 1


def stft_power(unit: NDArray[np.float32], fs: float, size: int, device: str = "cpu") -> NDArray[np.float32]:
    """Short-time power a bin, area-resized to (n, size, size), highest frequency first.

    The mean over time and sum over the bins before resizing is about the record's power.
    """
    length, hop, frames = frames_of(unit.shape[1], fs)
    window = hann(length)
    window *= np.sqrt(2 / (length * np.sum(window**2)))
    window = window.astype(np.float32)
    columns, rows = banded(area_weights(frames, size)), banded(area_weights(length // 2 + 1, size)[::-1])
    if device != "cpu":
        return stft_on(device, unit, window, hop, columns, rows)
    cut = np.empty((len(unit), frames, length), np.float32)
    _cut(unit, window, hop, cut)
    z = torch.fft.rfft(torch.from_numpy(cut)).numpy()
    out = np.empty((len(unit), size, size), np.float32)
    _pool(z.view(np.float32), *columns, *rows, out)
    return out


@compiled(fastmath=True, nogil=True)
def _cut(unit, window, hop, out):
    n, frames, length = out.shape
    for r in range(n):
        for f in range(frames):
            source, target = unit[r, f * hop : f * hop + length], out[r, f]
            for i in range(length):
                target[i] = source[i] * window[i]


@compiled(fastmath=True, nogil=True)
def _pool(z, column_start, column_weights, row_start, row_weights, out):
    """Powers of interleaved spectra (n, frames, 2 bins), weighted over the frames of each column and the bins of each row."""
    n, frames, width = z.shape
    power = np.empty((frames, width // 2), np.float32)
    line = np.empty(width // 2, np.float32)
    for r in range(n):
        for f in range(frames):
            spectrum, target = z[r, f], power[f]
            for k in range(width // 2):
                target[k] = spectrum[2 * k] * spectrum[2 * k] + spectrum[2 * k + 1] * spectrum[2 * k + 1]
        for j in range(len(column_start)):
            line[:] = 0
            for i in range(column_weights.shape[1]):
                weight, source = column_weights[j, i], power[column_start[j] + i]
                for k in range(width // 2):
                    line[k] += weight * source[k]
            for h in range(len(row_start)):
                total = np.float32(0)
                for i in range(row_weights.shape[1]):
                    total += row_weights[h, i] * line[row_start[h] + i]
                out[r, h, j] = total


def _frames(x: NDArray[np.float32], length: int, hop: int) -> NDArray[np.complex64]:
    """Spectra of Hann-windowed frames, (n, frames, bins)."""
    frames = np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, ::hop]
    return scipy.fft.rfft(frames * hann(length).astype(np.float32), axis=2)


def _classic(bank: ClassicBank, raw: NDArray[np.float32], size: int, device: str) -> NDArray[np.float32]:
    """The classic three channels, (n, 3 C, size, size)."""
    n, channels, samples = raw.shape
    out = np.empty((n, channels, 3, size, size), np.float32)
    line = min(256, max(samples // 4, 1))
    step = block_size("cpu", channels)
    for start in range(0, n, step):
        part = slice(start, start + step)
        unit = unit_records(raw[part])[0]
        out[part, :, 0] = classic_map(bank, unit, device)
        x = unit.reshape(-1, samples)
        padded = np.pad(x, ((0, 0), (line // 2, line // 2 + (-samples) % (line - line // 2))))
        maps = np.abs(_frames(padded, line, line - line // 2)).swapaxes(1, 2), x[:, : samples // line * line]
        for channel, picture in enumerate((maps[0], maps[1].reshape(len(x), -1, line)), 1):
            rows, columns = (adaptive_weights(length, size) for length in picture.shape[1:])
            out[part, :, channel] = np.matmul(np.matmul(rows, picture), columns.T).reshape(-1, channels, size, size)
    low, high = out.min(axis=(3, 4), keepdims=True), out.max(axis=(3, 4), keepdims=True)
    out -= low
    out /= np.where(high > low, high - low, 1)
    return out.reshape(n, 3 * channels, size, size)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Registers ``hetero``."""
    register(Hetero)
