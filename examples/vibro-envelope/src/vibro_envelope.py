"""A complete plugin for vibro: the envelope spectrum of a record as a view, and a detector that looks at it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from vibro import hookimpl
from vibro.api import Detector, FeatureExtractor, NotFittedError, Params


@dataclass(frozen=True)
class EnvelopeSpectrumParams(Params):
    """Settings of ``envelope_spectrum``.

    ``bands``: bands of equal width over the lower half of the envelope's spectrum
    """

    bands: Annotated[int, Field(ge=4, le=256)] = 32


class EnvelopeSpectrum(FeatureExtractor):
    """Log band levels of the envelope's spectrum: a train of impacts shows at its repetition rate."""

    name, item, Params = "envelope_spectrum", "f", EnvelopeSpectrumParams

    def transform(self, inputs):
        """(n, C, T) -> (n, C * bands); the envelope is the analytic signal's magnitude above a tenth of the band."""
        samples = inputs["raw"].shape[2]
        half = 2 * np.fft.rfft(inputs["raw"].astype(np.float64), axis=2)
        half[..., : max(1, half.shape[2] // 10)] = 0
        envelope = np.abs(np.fft.ifft(half, samples, axis=2))
        lines = np.abs(np.fft.rfft(envelope - envelope.mean(axis=2, keepdims=True), axis=2))[..., : samples // 4 + 1]
        edges = np.linspace(0, lines.shape[2], self.params.bands + 1).astype(int)[:-1]
        levels = np.log10(np.add.reduceat(lines, edges, axis=2) + 1e-9)
        return levels.reshape(len(lines), -1).astype(np.float32)


class Envelope(Detector):
    """Mean excess of the envelope's bands over the fit rows, in units of their spread."""

    name, view, item = "envelope_excess", "envelope_spectrum", "f"
    learned = None

    def fit(self, x, y=None):
        self.learned = {"centre": np.median(x, axis=0), "spread": x.std(axis=0, dtype=np.float64) + 1e-6}

    def score(self, x):
        z = (x - self.state()["centre"]) / self.state()["spread"]
        return np.where(z > 0, z, -z / 10).mean(axis=1)

    def state(self):
        if self.learned is None:
            raise NotFittedError("fit first")
        return self.learned

    def load_state(self, state):
        self.learned = dict(state)


@hookimpl
def register_features(register: Callable[[type[FeatureExtractor]], None]) -> None:
    register(EnvelopeSpectrum)


@hookimpl
def register_detectors(register: Callable[[type[Detector]], None]) -> None:
    register(Envelope)
