"""zerone_image: where each value stands, and how dark it is."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro_plugins.features.zerone_image import ZeroneImage


def test_image_layout():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((50, 2400)).astype(np.float32)
    x[:, 7] = 3.0
    view = ZeroneImage.make({"of": {"use": "per_sensor", "of": "zerone"}}, Context())
    inputs = {"per_sensor(of=zerone)": x}
    assert [str(k) for k in view.inputs(view.params)] == list(inputs)
    view.fit(inputs)
    image = view.transform(inputs)
    assert image.shape == (50, 2, 30, 40) and 0 <= image.min() and image.max() <= 1
    assert np.quantile(image[:, 1], [0.01, 0.99]) == pytest.approx([0.25, 0.75], abs=0.02)
    assert (image[:, 0, 0, 7] == 0.5).all()
    far = view.transform(
        {name: value + 1e3 * np.arange(1, 51, dtype=np.float32)[:, None] for name, value in inputs.items()}
    )
    assert len(np.unique(far[:, 1, 0, 0])) == 50  # gross values stay apart
    order = np.argsort(x[:, 1200 + 40 * 3 + 5], kind="stable")
    assert (np.diff(image[order, 1, 3, 5]) > 0).all()  # value 40 r + c of channel 1 stands in row r, column c


@pytest.mark.parametrize("values", [2, 70, 120, 161])
def test_a_short_vector_is_a_picture_of_four_rows_at_least(values):
    x = np.random.default_rng(5).standard_normal((50, values)).astype(np.float32)
    view = ZeroneImage.make({"of": "spectrum"}, Context())
    view.fit({"spectrum": x})
    image = view.transform({"spectrum": x})
    assert image.shape == (50, 1, max(4, -(-values // 40)), 40)
    flat = image.reshape(50, -1)
    assert (flat[:, values:] == 0).all() and flat[:, :values].std(axis=0).min() > 0


def test_straight_pictures_show_values_in_proportion():
    x = np.random.default_rng(5).standard_normal((200, 80)).astype(np.float32)
    view = ZeroneImage.make({"of": "spectrum", "curve": "straight"}, Context())
    view.fit({"spectrum": x})
    shade = view.transform({"spectrum": np.stack([x[0], x[0] + 2, x[0] + 4, x[0] + 1e6])}).reshape(4, -1)[:, :80]
    np.testing.assert_allclose(shade[2] - shade[1], shade[1] - shade[0], atol=1e-6)
    assert (shade[1] > shade[0]).all() and (shade[3] == 1).all()
    before = view.state()["reach"][7]
    x[:10, 7] += 8  # anomalies among the fit rows do not set the scale of their own line
    view.fit({"spectrum": x})
    assert view.state()["reach"][7] < 1.2 * before
