"""Views say rightly where their values lie: a tone is largest in the value of its frequency, a click in that of its time."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, Extent, view_key
from vibro.core.attribution import extent_of
from vibro.core.planning import make_plan
from vibro.core.views import ViewStore
from vibro.data import make_batch
from vibro.host.manager import PluginHost

FS, LENGTH = 8192.0, 8192
T = np.arange(LENGTH) / FS
TONES, CLICKS = (130.0, 431.0, 743.0, 1210.0, 2503.0), (0.12, 0.37, 0.81)
SPECTRUM = {"use": "spectrum", "statistics": True}
VIEWS = {
    "cwt": {"use": "cwt_image", "size": 24},
    "hetero": {"use": "hetero", "size": 32},
    "spectrum": {"use": "per_sensor", "of": SPECTRUM},
    "lin": {"use": "conditioned", "of": {"use": "per_sensor", "of": "lin"}},
    "profile": {"use": "per_sensor", "of": "profile"},
    "concat": {"use": "concat", "of": ["lin", "spectrum"]},
    "lines": {"use": "zerone_image", "curve": "straight", "of": "lin"},
    "joined": {"use": "joined", "size": 24, "of": [{"use": "cwt_image", "size": 48}, "lin"]},
}


@pytest.fixture(scope="module")
def store():
    """The views of 40 records of noise, and of others with a tone or a click each."""
    rng = np.random.default_rng(0)
    x = 0.01 * rng.standard_normal((40 + len(TONES) + len(CLICKS), LENGTH))
    for i, hz in enumerate(TONES):
        x[40 + i] += 0.004 * np.sin(2 * np.pi * hz * T)
    for i, at in enumerate(CLICKS):
        x[40 + len(TONES) + i, int(at * FS) : int(at * FS) + 4] += 0.6
    host = PluginHost.create(autoload=False, environ={})
    detectors = [{"use": "mahalanobis", "id": name, "view": view} for name, view in VIEWS.items() if name not in IMAGES]
    detectors += [{"use": "hetero_vae", "id": name, "view": VIEWS[name]} for name in IMAGES]
    plan = make_plan(host, "views", {"detectors": detectors})
    readers = dict.fromkeys(plan.views, 99)
    extractors = plan.make_extractors(Context(fs=FS))
    return ViewStore(make_batch(x.astype(np.float32), fs=FS), extractors, readers, fit_rows=np.arange(40))


IMAGES = ("cwt", "hetero", "lines", "joined")


def unusual(store, view):
    """How the records with a tone or a click (8, values) differ from noise, and where the values lie."""
    key = view_key(VIEWS[view])
    x = store.get(key).astype(float)
    extent = extent_of(key, store)
    rise, hz = x[40:] - np.median(x[:40], axis=0), extent.hz
    if np.isfinite(extent.seconds).any():
        rise, hz = rise[:, 0].mean(axis=2), hz[0, :, 0]  # the first picture, over time
    return rise.reshape(len(rise), -1), hz.reshape(-1, 2)


@pytest.mark.parametrize("view", VIEWS)
def test_a_tone_stands_at_its_frequency(store, view):
    rise, hz = unusual(store, view)
    known = ~np.isnan(hz[:, 0])
    assert known.sum() >= 24
    for row, tone in zip(rise, TONES, strict=False):
        low, high = hz[known][np.argmax(row[known])]
        assert low * 0.97 <= tone <= high * 1.03 and high < max(2 * low, low + 300)


@pytest.mark.parametrize(("view", "channel"), (("cwt", 0), ("hetero", 0), ("hetero", 1), ("joined", 0)))
def test_a_click_stands_at_its_time(store, view, channel):
    key = view_key(VIEWS[view])
    x, extent = store.get(key).astype(float)[:, channel], extent_of(key, store)
    rise = (x[40 + len(TONES) :] - np.median(x[:40], axis=0))[:, : x.shape[1] // 3].mean(axis=1)  # high frequencies
    for row, at in zip(rise, CLICKS, strict=True):
        start, stop = extent.seconds[channel, 0, np.argmax(row)]
        assert start - 0.02 <= at <= stop + 0.02 and stop - start < 0.1


def test_what_has_no_certain_place_is_left_open(store):
    spectrum = extent_of(view_key(SPECTRUM), store)
    assert np.isnan(spectrum.seconds).all() and np.isnan(spectrum.hz[:1]).all() and np.isnan(spectrum.hz[-11:]).all()
    assert np.isnan(extent_of(view_key(VIEWS["hetero"]), store).hz[2]).all()  # the cycle map
    joined = extent_of(view_key(VIEWS["joined"]), store)
    assert not np.isnan(joined.seconds[0]).any() and np.isnan(joined.seconds[1]).all()
    assert isinstance(joined, Extent) and joined.hz.shape == (2, 24, 24, 2)
