"""Location and scale of features by sensor: those of a group borrow from the group alone."""

from __future__ import annotations

import numpy as np
import pytest

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
