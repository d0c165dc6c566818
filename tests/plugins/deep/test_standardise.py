"""Medians and mean squares in blocks."""

from __future__ import annotations

import numpy as np

from vibro_plugins.deep import standardise
from vibro_plugins.deep.standardise import mean_squares, medians


def test_medians_and_mean_squares_in_blocks_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(standardise, "VALUES", 7 * 150)
    x = np.random.default_rng(0).standard_normal((150, 3, 11)).astype(np.float32)
    centre = medians(x)
    assert np.array_equal(centre, np.median(x, axis=0))
    assert np.array_equal(medians(x, centre), np.median(np.abs(x - centre), axis=0))
    np.testing.assert_allclose(mean_squares(x, centre, (2,)), ((x - centre) ** 2).mean(axis=2), rtol=1e-5)
