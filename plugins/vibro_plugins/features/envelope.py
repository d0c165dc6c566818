"""``envelope``: squared-envelope spectrum of the most impulsive band, for bearings and gears."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State
from vibro.portable.covariates import or_pool
from vibro_plugins.dsp.reference_level import unit_records
from vibro_plugins.stats.columns import evenly_spaced

FLOOR = 1e-3  # least modulation depth
EMPTY = 1e-6  # share of a record's power below which a band is empty
SHORTEST = 32  # samples of an envelope at least
DEEPEST = 5  # levels of the kurtogram at most
FIT_ROWS = 512
BLOCK = 64


@dataclass(frozen=True)
class EnvelopeParams(Params):
    """Settings of ``envelope``.

    ``bins``: cells of the spectrum
    ``top``: its upper end in Hz, at most fs / 16; 1000 holds several harmonics of the fault frequencies of most bearings
    ``band``: band of highest kurtosis of each record (own), since a fault may excite a new one, or of the sensor's fit rows
    """

    bins: Annotated[int, Field(ge=8, le=2048)] = 128
    top: Annotated[float, Field(gt=0)] = 1000.0
    band: Literal["own", "sensor"] = "own"


class Band(NamedTuple):
    """FFT bins ``first`` .. ``last`` - 1."""

    first: int
    last: int


class Envelope(FeatureExtractor):
    """Squared-envelope spectrum, (n, C * (bins + 3)): log10 of the modulation depth, the largest in each cell.

    The band is the one of highest spectral kurtosis on the binary-ternary grid of Antoni's fast kurtogram (Mechanical
    Systems and Signal Processing 21, 2007): 1, 2, 3, 4, 6, 8, 12.. equal parts of 0..fs / 2, none narrower than ``top``. The
    last three values are that kurtosis (log10(1 + K)), and the centre and width of the band over fs / 2.

    ``band="own"`` chooses the band in every record: the fit rows are mostly normal, so the resonance that a fault will excite
    cannot be found in them, and a fixed band would miss it. Depths are relative to the band's mean envelope and so
    comparable between bands. ``band="sensor"`` takes the band of highest median kurtosis of the sensor's fit rows (an
    unknown sensor: of all rows): a steadier baseline where the fault is present from the start.
    """

    name = "envelope"
    summary = "squared-envelope spectrum of the band with the highest spectral kurtosis"
    Params = EnvelopeParams
    item = "f"
    requires = ("scipy",)
    test_settings: Mapping[str, Any] = {"bins": 16}

    _chosen: NDArray[np.int64] | None = None

    @classmethod
    def inputs(cls, params: EnvelopeParams) -> tuple[str, ...]:
        """Records, and for the sensor's band their sensors."""
        return ("raw", "sensor") if params.band == "sensor" else ("raw",)

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns the sensors' bands, if they are wanted: (sensors + 1, C) numbers of bands, the pool's in the last row."""
        if self.params.band == "own":
            self._chosen = np.empty((0, 0), np.int64)
            return
        raw = inputs["raw"]
        rows = evenly_spaced(len(raw), FIT_ROWS)
        code = np.asarray(inputs["sensor"])[rows].astype(np.intp).reshape(-1)
        bands = self._bands(raw.shape[-1])
        shape = (len(rows), raw.shape[1], -1)
        k = np.concatenate([kurtogram(spectrum, bands) for _, spectrum in _blocks(raw[rows])]).reshape(shape)
        chosen = np.tile(np.median(k, axis=0).argmax(axis=-1), (code.max(initial=-1) + 2, 1))
        for s in np.unique(code[code >= 0]):
            chosen[s] = np.median(k[code == s], axis=0).argmax(axis=-1)
        self._chosen = chosen

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, C * (bins + 3))."""
        raw = inputs["raw"]
        n, channels, samples = raw.shape
        bands = self._bands(samples)
        out = np.empty((n * channels, self.params.bins + 3), np.float32)
        wanted = self._wanted(inputs, n, channels)
        for part, spectrum in _blocks(raw):
            k = kurtogram(spectrum, bands)
            chosen = k.argmax(axis=1) if wanted is None else wanted[part]
            for b in np.unique(chosen):
                rows = np.flatnonzero(chosen == b)
                band = bands[b]
                here = out[part]
                here[rows, :-3] = self._spectrum(spectrum[rows], band, samples)
                here[rows, -3] = np.log10(1 + np.maximum(k[rows, b], 0))
                here[rows, -2:] = (band.first + band.last) / samples, 2 * (band.last - band.first) / samples
        return out.reshape(n, -1)

    def state(self) -> State:
        """The sensors' bands, none where every record has its own; NotFittedError before ``fit``."""
        if self._chosen is None:
            raise NotFittedError("envelope has not been fitted")
        return {"chosen": self._chosen}

    def load_state(self, state: State) -> None:
        """Restores the sensors' bands."""
        self._chosen = np.asarray(state["chosen"])

    def _top(self) -> float:
        return min(self.params.top, self.ctx.fs / 16)

    def _bands(self, samples: int) -> list[Band]:
        """Every band of the kurtogram, widest first."""
        half = samples // 2
        narrowest = max(self._top() * samples / self.ctx.fs, SHORTEST / 2)
        levels = int(min(log2(max(half / narrowest, 1)), DEEPEST))
        counts = sorted({1, *(2**k for k in range(1, levels + 1)), *(3 * 2**k for k in range(levels - 1))})
        return [Band(max(i * half // c, 1), (i + 1) * half // c) for c in counts for i in range(c)]

    def _wanted(self, inputs: Mapping[str, NDArray[Any]], n: int, channels: int) -> NDArray[np.int64] | None:
        chosen = self.state()["chosen"]
        if self.params.band == "own":
            return None
        code = np.asarray(inputs["sensor"]).astype(np.intp).reshape(-1)
        return chosen[or_pool(code, len(chosen) - 1)].reshape(n * channels)

    def _spectrum(self, spectrum: NDArray[np.complex64], band: Band, samples: int) -> NDArray[np.float64]:
        """log10 modulation depth, the largest in each cell, (n, bins)."""
        power = squared_envelope(spectrum, band, 2)
        mean = power.mean(axis=1, keepdims=True)
        z = np.abs(scipy.fft.rfft(power - mean, axis=1)) * (2 / power.shape[1])
        depth = np.divide(z, mean, out=np.zeros_like(z), where=mean > 0)
        edges = np.arange(self.params.bins) * (self._top() * samples / self.ctx.fs / self.params.bins)
        at = np.clip(np.ceil(edges).astype(int), 1, z.shape[1] - 1)
        return np.log10(np.maximum(np.maximum.reduceat(depth, at, axis=1), FLOOR))


def _blocks(raw: NDArray[np.float32]):
    """Spectra of records and channels of unit power, a block of rows at a time."""
    records = raw.reshape(-1, raw.shape[-1])
    for start in range(0, len(records), BLOCK):
        part = slice(start, start + BLOCK)
        yield part, scipy.fft.rfft(unit_records(records[part])[0], axis=1)


def squared_envelope(spectrum: NDArray[np.complex64], band: Band, oversample: int = 1) -> NDArray[np.float32]:
    """Power of the analytic signal of a band over time, (n, oversample * bins): the band shifted to 0 and decimated."""
    wave = scipy.fft.ifft(spectrum[:, band.first : band.last], n=oversample * (band.last - band.first), axis=1)
    return wave.real**2 + wave.imag**2


def kurtogram(spectrum: NDArray[np.complex64], bands: list[Band]) -> NDArray[np.float64]:
    """Spectral kurtosis mean(p^2) / mean(p)^2 - 2 of the squared envelope p in every band, (n, bands); 0 = Gaussian noise.

    A band without power gets -2, so it is never chosen.
    """
    out = np.empty((len(spectrum), len(bands)))
    whole = (spectrum.real**2 + spectrum.imag**2).sum(axis=1)
    for b, band in enumerate(bands):
        power = squared_envelope(spectrum, band)
        mean = power.mean(axis=1, dtype=np.float64)
        share = mean * (band.last - band.first) ** 2
        filled = share > EMPTY * np.maximum(whole, 1e-30) * (band.last - band.first)
        square = (power.astype(np.float64) ** 2).mean(axis=1)
        out[:, b] = np.divide(square, mean**2, out=np.zeros_like(mean), where=filled) - 2
    return out


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Registers ``envelope``."""
    register(Envelope)
