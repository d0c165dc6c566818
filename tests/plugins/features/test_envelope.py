"""Envelope and order spectra on signals whose lines are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from vibro.context import Context
from vibro_plugins.features.envelope import Envelope

FS, SAMPLES = 20000.0, 8192
T = np.arange(SAMPLES) / FS


def bearing(rate, amplitude, resonance=4200.0, seed=0):
    """Noise with ``rate`` slightly jittered impulses a second that ring at ``resonance`` Hz."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(SAMPLES)
    for start in np.arange(0.001, T[-1], 1 / rate):
        after = np.maximum(T - start - 1e-4 * rng.normal(), 0)
        x += amplitude * np.exp(-900 * after) * np.sin(2 * np.pi * resonance * after)
    return x


def envelopes(signals, fs=FS, fit=None, **settings):
    x = np.stack(signals)[:, None].astype(np.float32)
    extractor = Envelope.make(settings, Context(fs=fs))
    inputs = {"raw": x, "sensor": np.zeros((len(x), 1), np.float32)}
    extractor.fit(inputs if fit is None else {k: v[fit] for k, v in inputs.items()})
    return extractor.transform(inputs)


@pytest.mark.parametrize("band", ["own", "sensor"])
def test_envelope_shows_the_rate_of_impulses(band):
    got = envelopes([bearing(107.0, 4.0, seed=s) for s in range(6)], band=band)
    cell = 1000 / 128
    spectrum = got[:, :-3]
    assert (spectrum.argmax(axis=1) == int(107 / cell)).all()
    around = [int(k * 107 / cell) for k in (2, 3)]
    assert (spectrum[:, around] > np.median(spectrum, axis=1, keepdims=True) + 0.4).all()
    centre, width = got[:, -2] * FS / 2, got[:, -1] * FS / 2
    assert (np.abs(centre - 4200) < width).all()


def test_the_own_band_follows_a_resonance_that_the_fit_never_saw():
    """Sound rows and then a fault that excites another band: the frozen band of the fit looks past it."""
    sound = [bearing(30.0, 2.0, resonance=1500.0, seed=s) for s in range(8)]
    fault = [s + bearing(107.0, 3.0, resonance=8200.0, seed=9) for s in sound[:4]]
    own, frozen = (envelopes(sound + fault, fit=slice(0, 8), band=band) for band in ("own", "sensor"))
    at = int(107 / (1000 / 128))
    assert (own[8:, at] > own[:8, at].max() + 0.2).all()
    assert own[8:, at].mean() > frozen[8:, at].mean() + 0.2


def test_envelope_of_noise_is_flat_and_of_nothing_is_finite():
    rng = np.random.default_rng(0)
    got = envelopes(
        [rng.standard_normal(SAMPLES), np.zeros(SAMPLES), np.full(SAMPLES, 1e30), np.sin(2 * np.pi * 50 * T)]
    )
    assert np.isfinite(got).all()
    assert got[0, :-3].max() < 0 and (got[1:3, :-3] < -2.999).all()
    short = envelopes([rng.standard_normal(140), rng.standard_normal(140)], fs=1.0)
    assert short.shape == (2, 131) and np.isfinite(short).all()


@pytest.mark.parametrize(("name", "least"), [("mfpt", 0.98), ("cwru_0hp", 0.9)])
def test_depth_tells_faulty_bearings(real, name, least):
    data = real(name)
    rows = np.linspace(0, len(data["signals"]) - 1, 120).astype(int)
    label = data["label"][rows]
    depth = envelopes(list(data["signals"][rows]), fs=float(data["fs"]))[:, :-3].max(axis=1)
    positive = rankdata(depth)[label == 1]
    auc = (positive.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * (len(label) - len(positive)))
    assert auc > least
