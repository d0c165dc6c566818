"""``zerone``: the 1,200 Zerone values of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotFittedError, Params, State
from vibro.portable.covariates import or_pool
from vibro.scoring.regression import sensor_rows
from vibro_plugins.dsp.spectrum import by_channel, scaled
from vibro_plugins.features.zerone.values import Grid, noise_floor, values

BELOW_FLOOR = 1e-3  # eps in units of the noise floor
MOST_ROWS = 64  # evenly spaced rows of a sensor that its noise floor is taken from


@dataclass(frozen=True)
class ZeroneParams(Params):
    """Settings of ``zerone``.

    ``layout``: v2, or classic for the definition of the reference study
    """

    layout: Literal["v2", "classic"] = "v2"


class Zerone(FeatureExtractor):
    """1,200 values a channel: 15 of time, 127 of short frames, 1,050 of the spectrum, 8 of ratios.

    time: mean, rms, var, l4 factor (classic: std), max, min, peak to peak, kurtosis m4 / m2^2, skewness, rate of sign
    changes, mean abs, crest, impulse, clearance (classic: margin), waveform factor. v2 centres the record first
    and takes max abs as the peak; clearance = peak / (mean sqrt abs)^2, l4 factor = peak / (mean y^4)^(1/4). classic works
    on the record as it is, with max as the peak; its margin is max / (mean x^4)^(1/4).
    frames: Hann 128, hop 64, amplitude of bins 1..64. v2: the means over time of the 64 bins, then standard deviation over
    mean of bins 1..63; classic: mean over bins of each of the first 127 frames.
    spectrum: Welch, Hann 4,096 at half overlap, each segment without its mean, as many bins as the record has samples (up
    to 32,768), one-sided density, linearly interpolated to 1..1000 Hz and to the means of 20 Hz from 1001 to 2000 Hz. v2:
    log10(density + eps), eps = 1e-3 of the sensor's median noise floor at fit, the floor of a record being the median
    of its density; classic: the density.
    ratios: for 1, 2, 3, 4 kHz the mean density from there up / below, and the share of power from there up. v2 up to
    Nyquist, thresholds above 0.9 Nyquist absent; classic up to 4 kHz.
    Values that the sampling rate and length cannot give are 0 and masked in ``kept``.
    """

    name = "zerone"
    summary = "1,200 values: time, short frames, spectrum to 2 kHz, high-frequency ratios"
    Params = ZeroneParams
    item = "f"

    _eps: NDArray[np.float64] | None = None  # (sensors + 1, channels); the last row is the pool's
    _kept: NDArray[np.bool_]

    @classmethod
    def inputs(cls, params: ZeroneParams) -> tuple[str, ...]:
        """The records and, for v2, their sensors."""
        return ("raw", "sensor") if params.layout == "v2" else ("raw",)

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns each sensor's noise floor from raw (n, C, T) and sensor codes (n, 1)."""
        raw = inputs["raw"]
        channels, length = raw.shape[1:]
        grid = self._grid(length)
        self._kept = np.tile(grid.kept, channels)
        self._eps = np.zeros((1, channels))
        if self.params.layout == "classic":
            return
        groups = sensor_rows(np.asarray(inputs["sensor"]).reshape(-1).astype(np.intp))
        pool = _median_floor(raw[:: max(1, len(raw) // MOST_ROWS)], grid)
        own = [
            _median_floor(raw[rows[:: max(1, len(rows) // MOST_ROWS)]], grid) if len(rows) else pool for rows in groups
        ]
        self._eps = BELOW_FLOOR * np.stack([*own, pool])

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, 1200 C)."""
        table = self._fitted()
        raw = inputs["raw"]
        grid = self._grid(raw.shape[2])
        sensor = np.asarray(inputs.get("sensor", np.full(len(raw), -1))).reshape(-1).astype(np.intp)
        eps = table[or_pool(sensor, len(table) - 1)]
        return by_channel(raw, lambda x, eps: values(scaled(x), grid, eps), eps)

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """(1200 C,) what this sampling rate and length can give."""
        return None if self._eps is None else self._kept

    def state(self) -> State:
        """eps (sensors + 1, C) in unit^2 / Hz, and the mask."""
        return {"eps": self._fitted(), "kept": self._kept}

    def load_state(self, state: State) -> None:
        """Restores what ``state`` gave."""
        self._eps, self._kept = state["eps"], state["kept"].astype(bool)

    def _fitted(self) -> NDArray[np.float64]:
        if self._eps is None:
            raise NotFittedError("zerone is not fitted")
        return self._eps

    def _grid(self, length: int) -> Grid:
        return Grid(self.ctx.fs, length, self.params.layout)


def _median_floor(raw: NDArray[Any], grid: Grid) -> NDArray[np.float64]:
    """Median noise floor of each channel (C,) of raw (n, C, T)."""
    return np.median([noise_floor(scaled(x), grid) for x in raw], axis=0)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Offers ``zerone``."""
    register(Zerone)
