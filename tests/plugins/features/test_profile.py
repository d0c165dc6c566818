"""As many values for any record, and the same whatever its rate and unit."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro_plugins.dsp.profile import PLACES, VALUES
from vibro_plugins.features.profile import Profile


def profile(x):
    return Profile.make({}, Context()).transform({"raw": np.asarray(x, np.float32)})


@pytest.mark.parametrize("length", [8, 16, 60, 140, 1000, 8192])
def test_any_length_gives_as_many_values(length):
    x = np.random.default_rng(0).standard_normal((5, 3, length))
    found = profile(x)
    assert found.shape == (5, 3 * VALUES) and np.isfinite(found).all()
    np.testing.assert_allclose(found[:, :VALUES], profile(x[:, :1]), rtol=1e-5, atol=1e-5)


def test_another_unit_shifts_the_levels_alone():
    x = np.random.default_rng(1).standard_normal((4, 1, 2048))
    shift = profile(100 * x) - profile(x)
    np.testing.assert_allclose(shift[:, : 2 * PLACES + 1], 2.0, atol=1e-4)
    np.testing.assert_allclose(shift[:, 2 * PLACES + 1 :], 0.0, atol=1e-4)


def test_a_line_stands_where_it_stands_below_nyquist():
    t = np.arange(4096)
    found = profile(np.sin(2 * np.pi * np.array([[[0.1]], [[0.4]]]) * t))
    place = found[:, PLACES : 2 * PLACES].argmax(axis=1) / (PLACES - 1)
    np.testing.assert_allclose(place, [0.2, 0.8], atol=0.02)  # of Nyquist
