"""The three-channel image: its range, its rows, its classic form."""

from __future__ import annotations

import numpy as np
import scipy.signal

from vibro.context import Context
from vibro_plugins.dsp.cycles import MAINS
from vibro_plugins.features.hetero import Hetero

from ..signals import FS, SAMPLES, mains, records

T = np.arange(SAMPLES) / FS


def view(cls, x, fs=FS, rows=None, **settings):
    extractor = cls.make(settings, Context(fs=fs))
    inputs = {"raw": x, "sensor": np.zeros((len(x), 1), np.float32)}
    extractor.fit(inputs if rows is None else {k: v[rows] for k, v in inputs.items()})
    return extractor.transform(inputs), extractor.state()


def test_hetero_range_is_fixed_at_fit_and_never_by_image():
    """Ten times the amplitude must stay ten times brighter: T10."""
    x = records(*(mains(50.0, 0.003 * i, seed=i) for i in range(20)))
    extractor = Hetero.make({"size": 32}, Context(fs=FS))
    sensor = np.zeros((20, 1), np.float32)
    extractor.fit({"raw": x, "sensor": sensor})
    state = extractor.state()
    usual = extractor.transform({"raw": x, "sensor": sensor})
    louder = extractor.transform({"raw": 10 * x, "sensor": sensor})
    assert usual.shape == (20, 3, 32, 32) and usual.min() >= 0 and usual.max() <= 1
    assert state["mode"] == MAINS and state["low"].shape == (3,)
    step = 20 / (state["high"][:2] - state["low"][:2])  # 20 dB in units of the range
    for channel in (0, 1):
        free = (louder[:, channel] < 1) & (usual[:, channel] > 0)
        assert np.allclose((louder - usual)[:, channel][free], step[channel], atol=1e-3)
    assert (louder[:, :2].mean(axis=(2, 3)) > usual[:, :2].mean(axis=(2, 3)) + 0.1).all()
    quiet = extractor.transform({"raw": 0 * x[:1], "sensor": sensor[:1]})
    assert (quiet[0, :2] == 0).all()  # a dead sensor is dark, not noise at full scale


def test_hetero_rows_and_context():
    tone = np.sin(2 * np.pi * 3000 * T)
    low = np.sin(2 * np.pi * 60.0 * T)
    got, _ = view(Hetero, records(*(mains(50.0, seed=i) for i in range(6)), tone, low), rows=slice(0, 8))
    high, slow = got[6], got[7]
    assert high[0].mean(axis=1).argmax() < 10 < slow[0].mean(axis=1).argmax()
    assert high[1].mean(axis=1).argmax() < 20 and slow[1].mean(axis=1).argmax() >= 62
    rows = got[0, 2]
    assert np.abs(rows - rows.mean(axis=0)).mean() < 0.05  # healthy = the same cycle in every row


def test_classic_hetero_is_the_plan_s_image():
    x = np.random.default_rng(5).standard_normal((3, 1, SAMPLES)).astype(np.float32)
    got, _ = view(Hetero, x, layout="classic", size=32)
    assert got.min() == 0 and got.max() == 1
    assert (got.reshape(3, 3, -1).max(axis=2) == 1).all() and (got.reshape(3, 3, -1).min(axis=2) == 0).all()
    lines = x[0, 0].reshape(32, 256).reshape(32, 32, 8).mean(axis=2)
    assert np.corrcoef(got[0, 2].ravel(), lines.ravel())[0, 1] > 0.9999
    stft = np.abs(scipy.signal.stft(x[0, 0], nperseg=256, noverlap=128)[2])
    edges = [(np.arange(32) * n // 32, -((-np.arange(1, 33) * n) // 32)) for n in stft.shape]
    want = [[stft[a:b, c:d].mean() for c, d in zip(*edges[1], strict=True)] for a, b in zip(*edges[0], strict=True)]
    assert np.corrcoef(got[0, 1].ravel(), np.ravel(want))[0, 1] > 0.999
