"""means and modes: slow quantities are told from vibration, and each operating mode of a sensor is its own norm."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, NotApplicableError, NotFittedError
from vibro.core.planning import make_plan
from vibro.core.views import ViewStore
from vibro.data import make_batch
from vibro.host.manager import PluginHost
from vibro_plugins.features.means import Means
from vibro_plugins.features.modes import Modes
from vibro_plugins.portable import levels, relative

FLOWS = (32.0, 126.0)


def plant(n=300, seed=0):
    """Records (n, 2, 60) of a flow at one of two settings and a pressure, and the flow."""
    rng = np.random.default_rng(seed)
    flow = np.where(np.arange(n) % 5 < 3, *FLOWS) + 0.2 * rng.standard_normal(n)
    pressure = 0.01 * flow + 0.002 * rng.standard_normal(n)
    mean = np.stack([flow, pressure], axis=1)[..., None]
    return (mean + np.array([[0.3], [0.05]]) * rng.standard_normal((n, 2, 60))).astype(np.float32), flow


def vibration(n=300, offset=0.0, seed=0):
    """Records of an accelerometer of two channels, with a gravity that hardly moves."""
    rng = np.random.default_rng(seed)
    return (offset + 1e-3 * rng.standard_normal((n, 2, 1)) + 0.05 * rng.standard_normal((n, 2, 60))).astype(np.float32)


def inputs(x, sensor=0):
    return {"raw": x, "sensor": np.broadcast_to(np.asarray(sensor), (len(x),)).reshape(-1, 1)}


def fitted(x, sensor=0):
    view = Means.make({}, Context())
    view.fit(inputs(x, sensor))
    return view


def modes(x, sensor=None):
    sensor = np.zeros((len(x), 1), int) if sensor is None else sensor
    view = Modes.make({"of": "means"}, Context())
    view.fit({"means": x, "sensor": sensor})
    return view, lambda rows, codes: view.transform({"means": rows, "sensor": np.reshape(codes, (-1, 1))})


def test_the_mean_and_the_spread_of_every_channel():
    x, flow = plant()
    found = fitted(x).transform(inputs(x))
    np.testing.assert_allclose(found[:, :2], x.mean(axis=2), rtol=1e-5)
    np.testing.assert_allclose(10 ** found[:, 2:], x.std(axis=2), rtol=1e-4)
    assert abs(np.corrcoef(found[:, 0], flow)[0, 1]) > 0.999


@pytest.mark.parametrize("offset", [0.0, 1.0, 9.81])
def test_an_accelerometer_is_no_slow_sensor_whatever_its_offset(offset):
    with pytest.raises(NotApplicableError, match="no sensor measures a slow quantity"):
        fitted(vibration(offset=offset))


def test_of_several_sensors_only_the_slow_ones_have_values():
    x, sensor = np.concatenate([vibration(), plant()[0], vibration(seed=1)]), np.repeat([0, 1, 2], 300)
    found = fitted(x, sensor).transform(inputs(x, sensor))
    given = np.isfinite(found).all(axis=1)
    assert given[300:600].all() and not given[:300].any() and not given[600:].any()
    assert np.isnan(fitted(x, sensor).transform(inputs(x[300:400], -1))).all()  # a sensor that was not there


def test_a_small_change_at_one_of_two_modes_far_apart_stands_out():
    x = fitted(plant()[0]).transform(inputs(plant()[0]))
    _, residual = modes(x)
    fresh = fitted(plant()[0]).transform(inputs(plant(60, seed=1)[0]))
    size = np.abs(residual(fresh, np.zeros(60, int))[:, 0])
    changed = fresh.copy()
    changed[:, 0] -= 4.0  # of a distance of 94 between the modes, and a scatter of 0.2
    assert np.quantile(size, 0.95) < 4 and np.abs(residual(changed, np.zeros(60, int))[:, 0]).min() > 8
    assert 4.0 / x[:, 0].std() < 0.1  # in units of all records it would be nothing


def test_a_fit_row_is_treated_as_if_it_had_been_left_out():
    x = fitted(plant(80)[0]).transform(inputs(plant(80)[0]))
    x[7, 0] = 60.0  # alone
    _, residual = modes(x)
    assert abs(residual(x, np.zeros(80, int))[7, 0]) > 20


def test_every_sensor_is_its_own_norm_and_one_with_few_records_has_none():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(500, 1, (100, 2)), rng.normal(9, 1, (20, 2))])
    x[3] = np.nan
    codes = np.repeat([0, 1, 2], [100, 100, 20])
    _, residual = modes(x.astype(np.float32), codes[:, None])
    found = residual(x.astype(np.float32), codes)
    assert np.isnan(found[200:]).all() and np.isnan(found[3]).all() and np.isnan(residual(x[:5], np.full(5, -1))).all()
    assert np.nanmax(np.abs(found[:200])) < 12
    assert np.abs(residual(x[100:105].astype(np.float32), np.zeros(5, int))).min() == 50  # the other sensor's rows
    with pytest.raises(NotApplicableError, match="no sensor has 32 records"):
        modes(x[200:].astype(np.float32), codes[200:, None])


def test_states_and_plain_numpy_give_the_same():
    x, _ = plant(120)
    view = fitted(x)
    again = Means.make({}, Context())
    again.load_state(view.state())
    means = view.transform(inputs(x))
    np.testing.assert_array_equal(again.transform(inputs(x)), means)
    exported = view.export()
    np.testing.assert_array_equal(levels.means(exported.arrays, x, np.zeros((120, 1))), means)
    means[5] = np.nan
    first, residual = modes(means)
    second = Modes.make({"of": "means"}, Context())
    second.load_state(first.state())
    codes = np.zeros((120, 1), int)
    found = residual(means, codes)
    np.testing.assert_array_equal(second.transform({"means": means, "sensor": codes}), found)
    plain = relative.modes(first.export().arrays, means, codes)
    np.testing.assert_allclose(plain, found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("view", [Means.make({}, Context()), Modes.make({"of": "means"}, Context())])
def test_before_a_fit(view):
    with pytest.raises(NotFittedError):
        view.state()


@pytest.mark.parametrize(
    "view",
    [
        {"use": "per_sensor", "of": "means"},
        {"use": "conditioned", "of": {"use": "per_sensor", "of": "means"}},
        {"use": "concat", "of": ["means", "spectrum"]},
        {"use": "joined", "size": 8, "of": ["means"], "per_sensor": True},
        {"use": "zerone_image", "of": "means"},
        {"use": "modes", "of": "means"},
    ],
)
def test_views_of_means_are_made_of_the_slow_sensor_alone(view):
    batch = make_batch(np.concatenate([plant(80)[0], vibration(80)]), fs=60.0, sensor=["p"] * 80 + ["v"] * 80)
    kind = "hetero_vae" if view["use"] in ("joined", "zerone_image") else "deviation"
    plan = make_plan(PluginHost.create(autoload=False, environ={}), "one", {"detectors": [{"use": kind, "view": view}]})
    readers = dict.fromkeys(plan.views, 9)
    store = ViewStore(batch, plan.make_extractors(Context(fs=60.0)), readers, fit_rows=np.arange(160))
    found = store.get(plan.detectors[0].view).reshape(160, -1)
    assert np.isnan(found[80:]).all() and np.isfinite(found[:80]).all() and found[:80].std(axis=0).max() > 0
