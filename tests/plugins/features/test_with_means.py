"""with_means: records of slow sensors show what is left of their means, all others what they did."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, Extent, NotFittedError
from vibro.core.planning import make_plan
from vibro.core.views import ViewStore
from vibro.data import make_batch
from vibro.host.manager import PluginHost
from vibro_plugins.features.with_means import WithMeans
from vibro_plugins.portable import relative

T = 60


def pressures(n=120, seed=0):
    """Records (n, 2, T) of two pressures that move from record to record much more than within one."""
    rng = np.random.default_rng(seed)
    return (5.0 + rng.standard_normal((n, 2, 1)) + 0.05 * rng.standard_normal((n, 2, T))).astype(np.float32)


def vibration(n=120, seed=1):
    return np.random.default_rng(seed).standard_normal((n, 2, T)).astype(np.float32)


def inputs(x, sensor, item=(12,), seed=2):
    view = np.random.default_rng(seed).standard_normal((len(x), *item)).astype(np.float32)
    return {"mains": view, "raw": x, "sensor": np.reshape(sensor, (-1, 1))}


def both(item=(12,)):
    """120 records of a vibration sensor, then 120 of pressures."""
    return inputs(np.concatenate([vibration(), pressures()]), np.repeat([0, 1], 120), item)


def fitted(given):
    view = WithMeans.make({}, Context())
    view.fit(given)
    return view


@pytest.mark.parametrize("item", [(12,), (3, 5, 7)])
def test_without_a_slow_sensor_the_view_is_what_it_was(item):
    given = inputs(vibration(), np.zeros(120), item)
    view = fitted(given)
    np.testing.assert_array_equal(view.transform(given), given["mains"])
    said = {"mains": Extent(np.zeros((*item, 2)), np.ones((*item, 2)))}
    assert view.state() == {} and view.extent(said) is said["mains"]


@pytest.mark.parametrize("item", [(12,), (3, 5, 7)])
def test_slow_records_show_mean_and_spread_of_each_channel_and_the_others_their_view(item):
    given = both(item)
    view = fitted(given)
    found = view.transform(given)
    np.testing.assert_array_equal(found[:120], given["mains"][:120])
    slow = found[120:].reshape(120, -1)
    stretches = np.arange(slow.shape[1]) * 4 // slow.shape[1]
    for stretch in range(4):
        mine = slow[:, stretches == stretch]
        assert mine.shape[1] >= slow.shape[1] // 4 and (mine == mine[:, :1]).all()
    assert view.extent({"mains": Extent(np.zeros((*item, 2)), np.ones((*item, 2)))}) is None


def test_a_mean_that_moves_away_and_a_spread_that_grows_are_seen_in_the_place_of_their_channel():
    given = both()
    view = fitted(given)
    x = pressures(20, seed=5)
    usual = np.abs(view.transform(inputs(x, np.ones(20))))
    away, wide = x.copy(), x.copy()
    away[:, 1] += 20.0
    wide[:, 0] += 10 * (wide[:, 0] - wide[:, 0].mean(axis=1, keepdims=True))
    moved = np.abs(view.transform(inputs(away, np.ones(20))))
    noisy = np.abs(view.transform(inputs(wide, np.ones(20))))
    assert np.quantile(usual, 0.8) < 3 and usual.max() <= 12
    assert (moved[:, 6:9] == 12).all() and (noisy[:, 3:6] > 5).all()


def test_an_unknown_sensor_and_one_with_few_records_keep_their_view():
    x = np.concatenate([vibration(), pressures(), pressures(20, seed=3)])
    given = inputs(x, np.repeat([0, 1, 2], [120, 120, 20]))
    view = fitted(given)
    np.testing.assert_array_equal(view.transform(given)[240:], given["mains"][240:])
    asked = inputs(pressures(5), np.full(5, -1))
    np.testing.assert_array_equal(view.transform(asked), asked["mains"])
    few = inputs(pressures(20), np.zeros(20))
    np.testing.assert_array_equal(fitted(few).transform(few), few["mains"])


@pytest.mark.parametrize("given", [both(), both((2, 4, 4)), inputs(vibration(), np.zeros(120))])
def test_states_and_plain_numpy_give_the_same(given):
    view = fitted(given)
    found = view.transform(given)
    again = WithMeans.make({}, Context())
    again.load_state(view.state())
    np.testing.assert_array_equal(again.transform(given), found)
    exported = view.export()
    plain = exported.function(exported.arrays, given["mains"], given["raw"], given["sensor"])
    assert exported.function is relative.with_means
    np.testing.assert_allclose(plain, found, rtol=1e-5, atol=1e-5)


def test_a_second_fit_forgets_the_first():
    view = fitted(both())
    given = inputs(vibration(), np.zeros(120))
    view.fit(given)
    np.testing.assert_array_equal(view.transform(given), given["mains"])


def test_before_a_fit():
    with pytest.raises(NotFittedError):
        WithMeans.make({}, Context()).state()


def test_the_networks_of_default_see_the_means_of_slow_sensors():
    host = PluginHost.create(autoload=False, environ={})
    plan = make_plan(host, "default", host.registry.ensemble("default"))
    networks = [d for d in plan.detectors if "with_means" in str(d.view)]
    assert [d.id for d in networks] == ["deep_svdd", "hetero_vae", "tadgan", "contrastive", "lstm_ae"]
    batch = make_batch(np.concatenate([vibration(), pressures()]), fs=60.0, sensor=["v"] * 120 + ["p"] * 120)
    store = ViewStore(
        batch, plan.make_extractors(Context(fs=60.0)), dict.fromkeys(plan.views, 9), fit_rows=np.arange(240)
    )
    for d in networks[:2]:
        seen, without = store.get(d.view), store.get(plan.extractors[d.view].inputs[0])
        np.testing.assert_array_equal(seen[:120], without[:120])
        assert len(np.unique(seen[120])) <= 4 < len(np.unique(without[120]))
