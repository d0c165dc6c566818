"""Where a record is unlike: the strongest region is where the values are, in seconds and Hz, and its share is right."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from vibro.api import Extent
from vibro.core.attribution import Attribution
from vibro.report.attribution import attribution_map, legend, sentence
from vibro.report.messages import known, translate

LENGTH = 2.5  # seconds
EDGES_S, EDGES_HZ = np.linspace(0, LENGTH, 26), np.geomspace(10, 2560, 17)  # 25 columns of 0.1 s, 16 half octaves


def ends(edges):
    return np.stack([edges[:-1], edges[1:]], axis=1)


def image(values):
    """(16, 25), the lowest frequency first."""
    shape = (16, 25, 2)
    extent = Extent(np.broadcast_to(ends(EDGES_S), shape), np.broadcast_to(ends(EDGES_HZ)[:, None], shape))
    return Attribution("net", np.asarray(values, float)[None], extent)


def test_the_strongest_region_is_where_the_values_are_and_so_is_its_share():
    values = np.full((16, 25), 0.1)
    values[8:10, 12:15], values[2, 3] = 4.0, 3.0
    found = attribution_map(image(values), 0, LENGTH)
    first, second = found.regions
    assert first.seconds == pytest.approx((1.2, 1.5)) and first.hz == pytest.approx((160, 320))
    assert second.seconds == pytest.approx((0.3, 0.4)) and second.hz == pytest.approx((20, 20 * 2**0.5))
    assert first.share == pytest.approx(24 / values.sum(), rel=1e-6) and first.area == pytest.approx(6 / 400, rel=0.05)
    assert sentence(found, exceeds=True) == (
        "net: most unlike what it learned at 1.2 to 1.5 s, 160 to 320 Hz: 36 % of all that is unlike, on 1.5 % of the picture"
    )


def test_the_picture_stands_on_the_grid_of_the_page():
    values = np.zeros((16, 25))
    values[8:10, 12:15] = 4.0
    found = attribution_map(image(values), 0, LENGTH)
    told = found.picture((10.0, 2560.0), 32, 50)["values"]["u8"]
    drawn = np.frombuffer(base64.b64decode(told), np.uint8).reshape(32, 50)
    assert (drawn[16:20, 24:30] == 255).all() and drawn.sum() == 255 * 24


def test_values_for_the_record_and_values_without_a_place_are_not_drawn():
    extent = Extent(np.full((4, 2), np.nan), np.array([[np.nan] * 2, [10, 20], [20, 40], [40, 80]]))
    found = attribution_map(Attribution("net", np.array([[9.0, -5.0, 1.0, 3.0]]), extent), 0, LENGTH)
    assert not found.timed
    assert found.regions[0].table == {
        "from_s": None,
        "to_s": None,
        "low_hz": 40.0,
        "high_hz": 80.0,
        "share": pytest.approx(0.75),
        "area": pytest.approx(1 / 3, abs=0.01),
    }
    json.dumps(found.regions[0].table, allow_nan=False)


def test_what_is_there_at_all_times_is_told_to_be():
    noise = np.random.default_rng(0).standard_normal((16, 25))
    noise[8] += 4  # everywhere about as large, with a largest value by chance
    found = attribution_map(image(noise), 0, LENGTH)
    assert found.regions[0].seconds == (0.0, LENGTH) and found.regions[0].hz == pytest.approx((160, 160 * 2**0.5))
    assert "at 160 to 226 Hz throughout: " in sentence(found, exceeds=True)
    noise[8, 12:14] += 60
    assert attribution_map(image(noise), 0, LENGTH).regions[0].seconds == pytest.approx((1.2, 1.4))


def test_samples_have_a_time_and_no_frequency():
    seconds = ends(np.arange(9) / 4)
    extent = Extent(seconds, np.full((8, 2), np.nan))
    found = attribution_map(Attribution("net", np.eye(8)[2:3], extent), 0, 2.0)
    assert found.regions[0].seconds == (0.5, 0.75) and np.isnan(found.regions[0].hz[0])


def test_nothing_is_told_where_nothing_is_known():
    silent = Extent(np.full((4, 2), np.nan), np.full((4, 2), np.nan))
    assert attribution_map(Attribution("net", np.ones((1, 4)), silent), 0, LENGTH) is None
    assert attribution_map(image(np.zeros((16, 25))), 0, LENGTH) is None
    assert attribution_map(image(np.full((16, 25), np.nan)), 0, LENGTH) is None


def test_every_sentence_has_its_chinese():
    both = attribution_map(image(np.eye(16, 25)), 0, LENGTH)
    high = attribution_map(image(np.eye(16, 25)[::-1]), 0, 1.5)
    hz = attribution_map(
        Attribution("net", np.ones((1, 2)), Extent(np.full((2, 2), np.nan), ends(EDGES_HZ[:3]))), 0, LENGTH
    )
    said = [legend(both)]
    said += [sentence(one, exceeds=exceeds) for one in (both, high, hz) for exceeds in (True, False)]
    assert all(map(known, said))
    assert not any(" to " in translate(text, "zh") or "below" in translate(text, "zh") for text in said)
