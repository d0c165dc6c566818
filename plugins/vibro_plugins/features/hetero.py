"""``hetero``: three pictures of a record in one image: wavelet map, short-time spectrum and cycle map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Annotated, Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Context, FeatureExtractor, NotFittedError, Params, State
from vibro_plugins._cwt import FLOOR, Bank, decibel_map, log_frequencies, morlet_bank
from vibro_plugins._cwt_classic import ClassicBank, classic_bank, classic_map
from vibro_plugins._fold import Fold, choose_fold, cycle_map, lock
from vibro_plugins._resize import adaptive_weights, area_weights
from vibro_plugins._sigma import decibel, fit_sigma, sigma_of, unit_records

FIT_ROWS = 512
BLOCK = 32
CYCLE_ROWS = 256
QUANTILES = (0.01, 0.99)


@dataclass(frozen=True)
class HeteroParams(Params):
    """``size`` rows and columns of each channel."""

    size: Annotated[int, Field(ge=8, le=512)] = 64
    layout: Literal["v2", "classic"] = "v2"


class Hetero(FeatureExtractor):
    """Three-channel image (n, 3 C, size, size) with values in 0..1; frequency falls from row 0 down.

    ``v2``: CWT as in ``cwt_image``; STFT (Hann window of about 1/16 s, 512 samples at 8192 Hz, hop one eighth of it, power
    in dB of the sensor's level, area-resized); Context, the cycle map of ``cycles``, its rows area-resized and passed
    through tanh(C / 4). Each channel is scaled from its 1 % and 99 % quantiles over fit records, the same for every
    record, and clipped. ``mode``, ``period`` and ``locked`` in the state say how cycles were found.

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
        rows = np.linspace(0, len(raw) - 1, min(len(raw), FIT_ROWS)).astype(int)
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
            return _classic(self._classic, raw, self.params.size)
        fold = Fold(int(state["mode"]), float(state["period"]), int(state["rows"]))
        images = self._images(raw, sigma_of(state["sigma"], inputs["sensor"]), fold)
        low = state["low"].astype(np.float32)[:, None, None]
        images -= low
        images /= state["high"].astype(np.float32)[:, None, None] - low
        return np.clip(images, 0, 1, out=images)

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
        size, fs = self.params.size, self.ctx.fs
        n, channels, samples = raw.shape
        out = np.empty((n, channels, 3, size, size), np.float32)
        if self._bank is None or self._bank.grid.samples != samples:
            self._bank = morlet_bank(samples, size, log_frequencies(fs, samples) / fs)
        out[:, :, 0] = decibel_map(self._bank, raw, sigma, size)
        rows = area_weights(fold.rows, size)
        for start in range(0, n, BLOCK):
            part = slice(start, start + BLOCK)
            unit, level = unit_records(raw[part])
            unit, gain = unit.reshape(-1, samples), (level / sigma[part]).reshape(-1)
            shape = (-1, channels, size, size)
            out[part, :, 1] = decibel(_stft(unit, fs, size), gain, FLOOR).reshape(shape)
            cycles = cycle_map(unit, lock(unit, fs, fold), fold.rows, size, gain)
            out[part, :, 2] = np.tanh(np.matmul(rows, cycles) / 4).reshape(shape)
        return out.reshape(n, 3 * channels, size, size)


def _frames(x: NDArray[np.float32], length: int, hop: int) -> NDArray[np.complex64]:
    """Spectra of Hann-windowed frames, (n, frames, bins)."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
    return scipy.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, length, axis=1)[:, ::hop] * window, axis=2)


def _stft(unit: NDArray[np.float32], fs: float, size: int) -> NDArray[np.float32]:
    """Short-time power a bin, area-resized to (n, size, size), highest frequency first; a record's mean over time and sum
    over bins is about its power.
    """
    samples = unit.shape[1]
    length = 2 ** int(np.clip(round(log2(max(fs / 16, 1))), 4, max(log2(samples / 4), 3)))
    z = _frames(unit, length, max(length // 8, 1))
    power = (z.real**2 + z.imag**2) * np.float32(2 / (length * 0.375 * length))
    columns, rows = area_weights(power.shape[1], size), area_weights(power.shape[2], size)[::-1]
    return np.matmul(rows, np.matmul(columns, power).swapaxes(1, 2))


def _classic(bank: ClassicBank, raw: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The classic three channels, (n, 3 C, size, size)."""
    n, channels, samples = raw.shape
    out = np.empty((n, channels, 3, size, size), np.float32)
    line = min(256, max(samples // 4, 1))
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        unit = unit_records(raw[part])[0]
        out[part, :, 0] = classic_map(bank, unit)
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
def register_features(register: Any) -> None:
    """Registers ``hetero``."""
    register(Hetero)
