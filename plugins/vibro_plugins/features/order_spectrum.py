"""``order_spectrum``: the spectrum of a rotating machine over multiples of its shaft speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import FeatureExtractor, NotApplicableError, NotFittedError, Params, State
from vibro_plugins.dsp.cycles import Lock, cycle_map
from vibro_plugins.dsp.reference_level import fit_sigma, sigma_of, unit_records
from vibro_plugins.dsp.spectrum import hann

LEAST = -5.0  # log10 of the smallest amplitude, in units of the sensor's level
OVERSAMPLE = 4
REVOLUTIONS = 2  # fewer do not resolve orders


@dataclass(frozen=True)
class OrderSpectrumParams(Params):
    """Settings of ``order_spectrum``.

    ``column``: name of the shaft speed among the covariates, or its number from 0
    ``unit``: unit of the speed
    ``orders``: highest shaft order
    ``per_order``: cells per order; 8 resolve sidebands of an eighth of the speed
    """

    column: str | Annotated[int, Field(ge=0)] = "speed"
    unit: Literal["rpm", "Hz"] = "rpm"
    orders: Annotated[int, Field(ge=2, le=200)] = 20
    per_order: Annotated[int, Field(ge=1, le=64)] = 8


class OrderSpectrum(FeatureExtractor):
    """Order spectrum, (n, C * orders * per_order): log10 of the RMS in each cell over the sensor's median RMS.

    Cell i is centred at i / per_order shaft orders. The record is low-pass filtered, resampled at equal shaft angles over
    whole revolutions and transformed with a Hann window. A row without a speed takes the median speed of the fit rows;
    without any the view is not applicable. Masked in ``kept``: orders above 0.45 fs, and all orders where a record usually
    holds fewer than two revolutions.
    """

    name = "order_spectrum"
    summary = "spectrum over multiples of the shaft speed, from a column of speeds"
    Params = OrderSpectrumParams
    item = "f"
    requires = ("scipy", "numba")
    test_settings: Mapping[str, Any] = {"column": 0, "orders": 4, "per_order": 4}

    _state: State | None = None
    _channels = 1

    @classmethod
    def inputs(cls, params: OrderSpectrumParams) -> tuple[str, ...]:
        """Records, covariates and sensors."""
        return ("raw", "covariates", "sensor")

    def fit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Learns the sensors' levels and the usual speed; NotApplicableError without any speed."""
        speed = self._speed(inputs["covariates"])
        known = speed[np.isfinite(speed)]
        if not len(known):
            column, names = self.params.column, self.ctx.names
            given = f"given are: {', '.join(names)}" if names else "none is given"
            missing = isinstance(column, str) and column not in names
            raise NotApplicableError(
                f"no covariate is named {column!r}; {given}" if missing else f"no shaft speed in covariate {column!r}",
                hint="give a column speed in rpm with --covariates, or name yours: column = NAME",
            )
        self._channels = inputs["raw"].shape[1]
        self._state = {
            "sigma": fit_sigma(inputs["raw"], inputs["sensor"]),
            "speed": np.array(np.median(known)),
            "fastest": np.array(known.max()),
            "turns": np.array(np.median(known) / 60 * inputs["raw"].shape[-1] / self.ctx.fs),
        }

    def transform(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(n, C * orders * per_order)."""
        state, p, raw = self.state(), self.params, inputs["raw"]
        speed = self._speed(inputs["covariates"])
        speed = np.where(np.isfinite(speed), speed, state["speed"])
        sigma = sigma_of(state["sigma"], inputs["sensor"])
        out = np.empty((len(raw), raw.shape[1], p.orders * p.per_order), np.float32)
        for row, rpm in enumerate(speed):
            unit, level = unit_records(raw[row : row + 1])
            amplitude = self._amplitude(unit[0], 60 * self.ctx.fs / rpm) * (level / sigma[row])[0][:, None]
            out[row] = np.log10(np.maximum(amplitude, 10**LEAST))
        return out.reshape(len(raw), -1)

    def state(self) -> State:
        """Levels and speeds; NotFittedError before ``fit``."""
        if self._state is None:
            raise NotFittedError("order_spectrum has not been fitted")
        return self._state

    def load_state(self, state: State) -> None:
        """Restores levels and speeds."""
        self._state = dict(state)
        self._channels = state["sigma"].shape[1]

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Orders that the sampling rate and the length of a record can give at the speeds of the fit rows."""
        if self._state is None:
            return None
        centre = np.arange(self.params.orders * self.params.per_order) / self.params.per_order
        given = centre * float(self._state["fastest"]) / 60 <= 0.45 * self.ctx.fs
        return np.tile(given & (self._state["turns"] >= REVOLUTIONS), self._channels)

    def _speed(self, covariates: NDArray[Any]) -> NDArray[np.float64]:
        """Speed in rpm of every row, NaN where it is not given or not positive."""
        column, names = self.params.column, self.ctx.names
        if isinstance(column, str):
            column = names.index(column) if column in names else covariates.shape[1]
        if column >= covariates.shape[1]:
            return np.full(len(covariates), np.nan)
        speed = covariates[:, column].astype(np.float64) * (60 if self.params.unit == "Hz" else 1)
        return np.where(speed > 0, speed, np.nan)

    def _amplitude(self, unit: NDArray[np.float32], turn: float) -> NDArray[np.float64]:
        """RMS in each cell of records (C, T) whose shaft turns once in ``turn`` samples."""
        p, (channels, samples) = self.params, unit.shape
        turn = min(max(turn, 2.0), float(samples))
        z = scipy.fft.rfft(unit, axis=1)
        z[:, int(min((p.orders + 1) * samples / turn, 0.5 * samples)) + 1 :] = 0
        fine = scipy.fft.irfft(z, OVERSAMPLE * samples, axis=1) * OVERSAMPLE
        revolutions = max(int(samples / turn), 1)
        angles = scipy.fft.next_fast_len(3 * (p.orders + 1))
        period = np.full(channels, turn * OVERSAMPLE)
        lock = Lock(period, np.zeros(channels), np.ones(channels, bool))
        wave = cycle_map(fine.astype(np.float32), lock, revolutions, angles, np.ones(channels)).reshape(channels, -1)
        length = wave.shape[1]
        window = hann(length)
        power = np.abs(scipy.fft.rfft(wave * window, axis=1)) ** 2 * (2 / (length * np.sum(window**2)))
        cell = np.rint(np.arange(power.shape[1]) / revolutions * p.per_order).astype(int)
        out = np.zeros((channels, p.orders * p.per_order))
        inside = cell < out.shape[1]
        np.add.at(out, (slice(None), cell[inside]), power[:, inside])
        return np.sqrt(out)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    """Registers ``order_spectrum``."""
    register(OrderSpectrum)
