"""``cwt_image``: wavelet map of a record as an image, in dB of the sensor's own level or as the classic picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Exported, Extent, FeatureExtractor, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.dsp.extents import between, image_of, stacked
from vibro_plugins.dsp.reference_level import decibel, fit_sigma, sigma_of, unit_records
from vibro_plugins.portable import pictures
from vibro_plugins.timefrequency.bank import FLOOR, Bank, ClassicBank, block_size
from vibro_plugins.timefrequency.classic import classic_bank, classic_map
from vibro_plugins.timefrequency.morlet import log_frequencies, morlet_bank, pooled_power, row_edges
from vibro_plugins.timefrequency.resize import area_weights


@dataclass(frozen=True)
class CwtImageParams(Params):
    """Settings of ``cwt_image``.

    ``size``: rows and columns of the image; 64 for a CPU
    ``layout``: power in dB (v2), or the magnitude picture of the reference study (classic)
    ``f_min``: lowest frequency of v2 in Hz; 25, half of the lower mains frequency
    ``per_octave``: bands per octave of v2; 12 lie 6 % apart, and a response is 18 % wide
    ``resize``: resizing of classic: area averages, or linear interpolation without smoothing (point), as image libraries do
    """

    size: Annotated[int, Field(ge=8, le=512)] = 64
    layout: Literal["v2", "classic"] = "v2"
    f_min: Annotated[float, Field(gt=0)] = 25.0
    per_octave: Annotated[int, Field(ge=1, le=48)] = 12
    resize: Literal["area", "point"] = "area"


class CwtImage(FeatureExtractor):
    """Wavelet image, (n, C, size, size); the highest frequency is row 0.

    ``v2``: complex Morlet ``cmor1.5-1.0``, ``per_octave`` bands per octave from 0.45 fs down to ``f_min``; power of the
    centred record, averaged over the time of each column and the bands of each row, in dB of the sensor's median RMS at
    fit (0 dB = a sine as strong as the usual signal), at least -80 dB.

    ``classic``: magnitude of the real Morlet ``morl`` at scales 1..128 of the record as it is, as ``pywt.cwt`` gives it,
    resized as by ``torch.nn.functional.interpolate(mode="area")`` or linearly at the pixel centres. It learns nothing.
    """

    name = "cwt_image"
    summary = "wavelet power image in dB of the sensor's level, or the classic |CWT| picture"
    Params = CwtImageParams
    item = "c h w"
    requires = ("pywt", "numba", "torch")
    test_settings: Mapping[str, Any] = {"size": 16}

    _sigma: NDArray[np.float64] | None = None
    _bank: Bank | None = None
    _classic: ClassicBank | None = None

    @classmethod
    def inputs(cls, params: CwtImageParams) -> tuple[str, ...]:
        """Records, and for ``v2`` their sensors."""
        return ("raw", "sensor") if params.layout == "v2" else ("raw",)

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns the sensors' levels."""
        if self.params.layout == "v2":
            self._sigma = fit_sigma(inputs["raw"], inputs["sensor"])

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, C, size, size)."""
        raw, p = inputs["raw"], self.params
        samples, device = raw.shape[-1], self.ctx.device
        if p.layout == "classic":
            if self._classic is None or self._classic.grid.samples != samples:
                self._classic = classic_bank(samples, p.size, p.resize)
            return classic_map(self._classic, raw, device)
        state = self.state()
        if self._bank is None or self._bank.grid.samples != samples:
            frequencies = log_frequencies(self.ctx.fs, samples, p.f_min, p.per_octave)
            self._bank = morlet_bank(samples, p.size, frequencies / self.ctx.fs)
        channels, rows = raw.shape[1], area_weights(self._bank.height, p.size)
        sigma = sigma_of(state["sigma"], inputs["sensor"])
        out = np.empty((len(raw), channels, p.size, p.size), np.float32)
        step = block_size(device, channels)
        for start in range(0, len(raw), step):
            part = slice(start, start + step)
            unit, level = unit_records(raw[part])
            gain = (level / sigma[part]).reshape(-1)
            power = np.matmul(rows, pooled_power(self._bank, unit.reshape(-1, samples), device))
            out[part] = decibel(power, gain, FLOOR).reshape(-1, channels, p.size, p.size)
        return out

    def extent(self, inputs: Mapping[str, Extent]) -> Extent | None:
        """Columns in seconds and rows in Hz; the classic picture has scales, which it leaves open."""
        raw, p = inputs["raw"], self.params
        if p.layout == "classic":
            return None
        channels, samples = raw.seconds.shape[:2]
        frequencies = log_frequencies(self.ctx.fs, samples, p.f_min, p.per_octave)
        seconds = between(np.linspace(0, samples / self.ctx.fs, p.size + 1))
        return stacked([image_of(seconds, between(row_edges(frequencies, p.size)))], channels)

    def state(self) -> State:
        """Levels by sensor; NotFittedError before ``fit``."""
        if self.params.layout == "classic":
            return {}
        if self._sigma is None:
            raise NotFittedError("cwt_image has no reference level yet")
        return {"sigma": self._sigma}

    def export(self) -> Exported:
        """The bank of wavelets and the sensors' levels, with numpy alone; NotApplicableError for the classic picture."""
        if self.params.layout == "classic":
            raise NotApplicableError("of cwt_image only layout v2 is exported")
        if self._bank is None:
            raise NotFittedError("cwt_image has seen no record yet")
        return Exported({**self.state(), **_bank_arrays(self._bank, self.params.size)}, pictures.wavelet_image)

    def load_state(self, state: State) -> None:
        """Restores the levels."""
        self._sigma = np.asarray(state["sigma"]) if "sigma" in state else None


def _bank_arrays(bank: Bank, size: int) -> State:
    """A bank as plain arrays."""
    grid = bank.grid
    arrays = {
        "grid": np.array([grid.length, grid.lead, grid.columns, bank.bins]),
        "bands": np.array(bank.height),
        "resize": area_weights(bank.height, size),
        **{"between": bank.between, "beside": bank.beside, "share": bank.share},
    }
    for i, (group, mean) in enumerate(zip(bank.groups, bank.means, strict=True)):
        arrays[f"{i}.shape"] = np.array([group.per_column, group.points, mean.start])
        parts = {"rows": group.rows, "first": group.first, "offset": group.offset, "taps": group.taps}
        parts |= {"straight": mean.straight, "cubic": mean.cubic}
        arrays |= {f"{i}.{name}": array for name, array in parts.items()}
    return arrays


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Registers ``cwt_image``."""
    register(CwtImage)
