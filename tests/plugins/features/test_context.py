"""The view ``context``: what the machine's other sensors explain is gone, what happens at one sensor stays."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import NotApplicableError
from vibro.context import Context as Run
from vibro_plugins.features.context import Context

SENSORS, COLUMNS = 5, 12
WAY = np.random.default_rng(99).standard_normal((2, SENSORS, COLUMNS))


def plant(instants=120, sensors=SENSORS, seed=0, noise=0.2):
    """A view (n, f) of sensors that all follow two states of their machine, each in its own way."""
    rng = np.random.default_rng(seed)
    way = WAY[:, :sensors]
    state = rng.standard_normal((instants, 2))
    x = np.einsum("ks,sij->kij", state, way) + noise * rng.standard_normal((instants, sensors, COLUMNS))
    sensor, instant = np.tile(np.arange(sensors), instants), np.repeat(np.arange(instants), sensors)
    return x.reshape(-1, COLUMNS), sensor, instant


def inputs(x, sensor, instant):
    return {
        "v": x.astype(np.float32),
        "sensor": np.asarray(sensor, np.float32)[:, None],
        "instant": np.asarray(instant, np.float32)[:, None],
    }


def fitted(data, **settings):
    view = Context.make({"of": "v", **settings}, Run())
    view.fit(inputs(*data))
    return view


def size(view):
    return np.sqrt(np.mean(view**2, axis=1))


def test_what_all_sensors_follow_is_gone_and_a_fault_of_one_stays_at_that_one():
    data = plant()
    view, new = fitted(data), plant(seed=1)
    clean = size(view.transform(inputs(*new)))
    new[0][:SENSORS] += 2.5 * WAY[0]  # one instant at which the machine's state is far out at every sensor
    faulty = 20 * SENSORS
    new[0][faulty] += 1.5  # one sensor by itself
    found = size(view.transform(inputs(*new)))
    assert found[:SENSORS].max() < clean.max()
    assert found[faulty] > 2 * clean.max()
    assert found[faulty + 1 : faulty + SENSORS].max() < 0.5 * found[faulty]


def test_records_of_the_fit_lie_no_nearer_than_new_ones():
    for instants in (40, 200):
        data = plant(instants)
        view = fitted(data)
        ours, new = size(view.transform(inputs(*data))), size(view.transform(inputs(*plant(400, seed=3))))
        assert np.median(ours) == pytest.approx(np.median(new), rel=0.12)


def test_one_instant_alone_equals_the_batch_and_a_record_without_a_companion_is_nan():
    view, (x, sensor, instant) = fitted(plant()), plant(seed=2)
    whole = view.transform(inputs(x, sensor, instant))
    assert np.isfinite(whole).all()
    for i in (0, 57):
        rows = np.flatnonzero(instant == i)
        np.testing.assert_array_equal(view.transform(inputs(x[rows], sensor[rows], instant[rows])), whole[rows])
        assert np.isnan(view.transform(inputs(x[rows[1:]], sensor[rows[1:]], instant[rows[1:]]))).all()
    assert np.isnan(view.transform(inputs(x[:5], sensor[:5], np.full(5, -1)))).all()
    assert np.isnan(view.transform(inputs(x[:5], np.full(5, -1), instant[:5]))).all()


def test_a_sensor_measured_twice_gives_a_row_for_each_record():
    view, (x, sensor, instant) = fitted(plant()), plant(seed=2)
    rows = np.r_[np.arange(5), 0]
    twice = x[rows]
    twice[5] += 1.5
    found = view.transform(inputs(twice, sensor[rows], instant[rows]))
    assert np.isfinite(found).all() and size(found)[5] > 2 * size(found)[0]
    np.testing.assert_array_equal(found[0], view.transform(inputs(x[:5], sensor[:5], instant[:5]))[0])


@pytest.mark.parametrize(
    "data",
    [
        plant(sensors=3),
        plant(instants=39),
        (lambda x, sensor, instant: (x, sensor, np.arange(len(x))))(*plant()),  # each sensor at instants of its own
        (lambda x, sensor, instant: (x, sensor, np.full(len(x), -1)))(*plant()),  # no times
    ],
    ids=["three sensors", "39 instants", "unsynchronised", "no times"],
)
def test_without_common_instants_it_is_not_applicable(data):
    with pytest.raises(NotApplicableError, match="4 sensors that measured at the same 40 instants"):
        fitted(data)


def test_a_sensor_that_died_is_left_out_and_the_others_go_on():
    x, sensor, instant = plant()
    alive = (sensor != 2) | (instant < 10)
    view = fitted((x[alive], sensor[alive], instant[alive]))
    found = view.transform(inputs(x[alive], sensor[alive], instant[alive]))
    assert (np.isfinite(found[:, 0]) == (sensor[alive] != 2)).all()


def test_gaps_cost_only_their_own_instants():
    x, sensor, instant = plant()
    there = np.random.default_rng(5).random(len(x)) > 0.05
    x, sensor, instant = x[there], sensor[there], instant[there]
    found = fitted((x, sensor, instant)).transform(inputs(x, sensor, instant))
    complete = np.bincount(instant)[instant] == SENSORS
    assert 0.6 < complete.mean() < 1
    np.testing.assert_array_equal(np.isfinite(found[:, 0]), complete)


def test_copies_of_one_sensor_and_a_dead_one_stay_finite():
    x, sensor, instant = plant()
    x[sensor == 1], x[sensor == 3] = x[sensor == 0], 0.0
    data = x, sensor, instant
    found = fitted(data).transform(inputs(*data))
    assert np.isfinite(found).all() and np.abs(found[sensor != 2]).max() < 12
    assert size(found)[sensor == 0].mean() < size(found)[sensor == 2].mean()


def test_two_machines_are_two_groups_and_the_state_is_restored():
    x, sensor, instant = plant()
    both = np.r_[x, x[::-1]], np.r_[sensor, sensor + SENSORS], np.r_[instant, instant + instant.max() + 1]
    view = fitted(both)
    again = Context.make({"of": "v"}, Run())
    again.load_state(view.state())
    np.testing.assert_array_equal(again.transform(inputs(*both)), view.transform(inputs(*both)))
    assert {name.split(".")[0] for name in view.state() if "group" in name} == {"group0", "group1"}
