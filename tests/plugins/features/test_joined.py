"""joined: pictures side by side, in units of each sensor's scale."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro_plugins.features import joined
from vibro_plugins.features.joined import Joined

SETTINGS = {"of": [{"use": "cwt_image", "size": 16}, "zerone_image"], "size": 8}


def inputs(n=80, loud=1.0):
    rng = np.random.default_rng(0)
    sensor = (np.arange(n) % 2)[:, None].astype(np.float32)
    level = 5 * sensor[:, :, None, None]  # one sensor is louder by far
    first = level + loud * rng.standard_normal((n, 1, 16, 16))
    second = -level + rng.standard_normal((n, 2, 30, 40))
    return {"cwt_image(size=16)": first.astype(np.float32), "zerone_image": second.astype(np.float32), "sensor": sensor}


def test_pictures_of_any_size_become_channels_without_the_sensors_own_profile():
    view, given = Joined.make(SETTINGS, Context()), inputs()
    assert [str(key) for key in view.inputs(view.params)] == list(given)
    view.fit(given)
    out = view.transform(given)
    assert out.shape == (80, 3, 8, 8) and out.dtype == np.float32
    assert np.abs(out[::2].mean() - out[1::2].mean()) < 0.1 and 0.7 < out.std() < 1.5
    plain = Joined.make({**SETTINGS, "per_sensor": False}, Context())
    plain.fit(given)
    image = plain.transform(given)
    np.testing.assert_allclose(
        image[:, 0].mean(axis=(1, 2)), given["cwt_image(size=16)"].mean(axis=(1, 2, 3)), atol=1e-5
    )
    again = Joined.make(SETTINGS, Context())
    again.load_state(view.state())
    np.testing.assert_array_equal(again.transform(given), out)


def test_a_fit_resizes_a_few_rows_at_a_time(monkeypatch):
    whole, parts = Joined.make(SETTINGS, Context()), Joined.make(SETTINGS, Context())
    whole.fit(inputs())
    monkeypatch.setattr(joined, "AT_ONCE", 7)
    parts.fit(inputs())
    for name, array in whole.state().items():
        np.testing.assert_allclose(parts.state()[name], array, rtol=1e-6, err_msg=name)


def test_a_vector_is_laid_out_in_lines_and_a_sequence_is_no_picture():
    x, sensor = np.arange(600, dtype=np.float32).reshape(20, 30), np.zeros((20, 1), np.float32)
    view = Joined.make({"of": ["spectrum"], "size": 5, "per_sensor": False}, Context())
    view.fit({"spectrum": x, "sensor": sensor})
    image = view.transform({"spectrum": x, "sensor": sensor})
    assert image.shape == (20, 1, 5, 5) and image[0, 0, 0, 0] == pytest.approx(0.2 * 5 / 6 * 5, abs=0.2)
    assert image[0, 0, 4, 4] == pytest.approx(29 - 1 / 6 * 5, abs=0.2)
    with pytest.raises(ValueError, match="cycles has rows of shape"):
        Joined.make({"of": ["cycles"]}, Context()).fit({"cycles": np.zeros((20, 3, 30), np.float32), "sensor": sensor})
