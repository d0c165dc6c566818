"""Location and scale of features by sensor: those of a group borrow from the group alone."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.stats import sensor_scale
from vibro_plugins.stats.sensor_scale import SensorScale


@pytest.fixture
def rows():
    """Six rows of each of 12 sensors; those of the last four lie elsewhere and vary more."""
    rng = np.random.default_rng(0)
    sensor = np.repeat(np.arange(12), 6)
    high = (sensor >= 8)[:, None]
    return np.where(high, 40.0, 0.0) + np.where(high, 5.0, 1.0) * rng.standard_normal((72, 3)), sensor


def test_a_group_is_what_it_would_be_by_itself(rows):
    x, sensor = rows
    group = np.where(sensor >= 8, 0, -1)
    found, all_, alone = (
        SensorScale.fit(x, sensor, 50.0, group),
        SensorScale.fit(x, sensor, 50.0),
        SensorScale.fit(x[48:], sensor[48:] - 8, 50.0),
    )
    for name in ("location", "scale"):
        whole, own = getattr(all_, name), getattr(alone, name)
        assert np.array_equal(getattr(found, name), np.concatenate([whole[:8], own[:4], whole[12:]]))
    assert (
        np.abs(all_.apply(x[48:], sensor[48:], 12.0)).mean() > 2 * np.abs(found.apply(x[48:], sensor[48:], 12.0)).mean()
    )


def test_a_group_of_18_rows_is_none(rows):
    x, sensor = rows
    found = SensorScale.fit(x, sensor, 50.0, np.where(sensor >= 9, 0, -1))
    assert np.array_equal(found.location, SensorScale.fit(x, sensor, 50.0).location)


def test_columns_are_measured_a_few_at_a_time(monkeypatch):
    rng = np.random.default_rng(1)
    x, sensor = rng.standard_normal((300, 35)) * np.exp(rng.standard_normal(35)), rng.integers(-1, 5, 300)
    x[:, 3], x[:, 4] = 2.0, np.where(rng.random(300) < 0.9, 1.0, x[:, 4])  # no scale but the root mean square
    whole = SensorScale.fit(x, sensor, 50.0, np.where(sensor > 2, 0, -1))
    monkeypatch.setattr(sensor_scale, "AT_ONCE", 1)
    parts = SensorScale.fit(x, sensor, 50.0, np.where(sensor > 2, 0, -1))
    for name, array in whole.state().items():
        assert np.array_equal(array, parts.state()[name]), name
    assert not whole.kept[3] and whole.kept[4]
