"""A host with toy components, and batches to run them on."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from vibro import hookimpl
from vibro.api import Detector, FeatureExtractor, Fuser, NotApplicableError, Params, Thresholder
from vibro.data import make_batch
from vibro.host.manager import PluginHost


class Level(FeatureExtractor):
    """log rms and log crest of each record."""

    name = "level"
    item = "2"
    calls = 0

    def transform(self, inputs):
        type(self).calls += 1
        x = inputs["raw"][:, 0, :].astype(np.float64)
        rms = np.sqrt(np.mean(x**2, axis=1)) + 1e-12
        return np.stack([np.log(rms), np.log(np.abs(x).max(axis=1) / rms + 1e-12)], axis=1).astype(np.float32)


class Distance(Detector):
    """Distance to the median of the fit rows."""

    name = "distance"
    view = "level"
    item = "f"
    min_rows = 4

    def fit(self, x, y=None):
        self.centre = np.median(x, axis=0).astype(np.float64)

    def score(self, x):
        return np.abs(x - self.centre).sum(axis=1)

    def state(self):
        return {"centre": self.centre}

    def load_state(self, state):
        self.centre = state["centre"]


@dataclass(frozen=True)
class BadParams(Params):
    how: str = "raise"


class Bad(Detector):
    """Misbehaves as told."""

    name = "bad"
    view = "level"
    Params = BadParams
    min_rows = 1

    def fit(self, x, y=None):
        if self.params.how == "raise":
            raise RuntimeError("no luck")
        if self.params.how == "exit":
            raise SystemExit(3)
        if self.params.how == "skip":
            raise NotApplicableError("too little of everything")

    def score(self, x):
        how = self.params.how
        return {
            "nan": np.full(len(x), np.nan),
            "list": [0.0] * len(x),
            "long": np.zeros(len(x) + 1),
            "text": np.full(len(x), "a"),
            "constant": np.zeros(len(x)),
            "inverted": -np.abs(x[:, 0].astype(np.float64) + 1.0) if len(x) else np.zeros(0),
        }[how]

    def state(self):
        return {}


class Mean(Fuser):
    """Mean of the scores there are."""

    name = "mean"

    def fuse(self, z):
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(z).sum(axis=1) / np.isfinite(z).sum(axis=1)


class Quantile(Thresholder):
    """The plain quantile."""

    name = "plain"

    def cut(self, scores, budget, y=None):
        return float(np.quantile(scores, 1 - budget))


@hookimpl
def register_features(register):
    register(Level)


@hookimpl
def register_detectors(register):
    register(Distance)
    register(Bad)


@hookimpl
def register_fusers(register):
    register(Mean)


@hookimpl
def register_thresholders(register):
    register(Quantile)


@pytest.fixture
def host():
    host = PluginHost.create(autoload=False, environ={})
    Level.calls = 0
    host.level = Level
    host.register_module(
        "toys",
        SimpleNamespace(
            __name__="toys",
            register_features=register_features,
            register_detectors=register_detectors,
            register_fusers=register_fusers,
            register_thresholders=register_thresholders,
        ),
    )
    return host


@pytest.fixture
def ensemble():
    def build(*detectors, **more):
        return {"detectors": list(detectors), "fuser": {"use": "mean"}, "thresholder": {"use": "plain"}, **more}

    return build


@pytest.fixture
def batch():
    """120 records of three sensors at different levels; every 20th is four times as loud."""
    rng = np.random.default_rng(5)
    n = 120
    sensor = np.arange(n) % 3
    x = rng.standard_normal((n, 256)) * (1 + sensor)[:, None] + np.sin(np.arange(256) / 3)
    x[::20] *= 4
    time = np.datetime64("2026-01-01T00:00:00", "ns") + (np.arange(n) // 3) * np.timedelta64(120, "s")
    return make_batch(x, fs=1000.0, sensor=[f"s{i}" for i in sensor], time=time)
