"""Nearest neighbours: found in groups as in a search of all, and among some of the rows where there are many."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro_plugins.detectors.local import Local
from vibro_plugins.detectors.pyod_models import PyOD
from vibro_plugins.stats import neighbours
from vibro_plugins.stats.neighbours import Neighbours


def rows(n, p=5, seed=0):
    return np.random.default_rng(seed).standard_normal((n, p)).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 1e4])  # so far from 0, products in float32 tell nothing
@pytest.mark.parametrize("n", [2, 12, 700, 1001, 4000])
def test_the_nearest_are_those_of_a_search_of_all(n, offset):
    stored, asked = rows(n) + np.float32(offset), rows(300, seed=1) + np.float32(offset)
    found = Neighbours(3)
    found.store(stored)
    distance, index = found.query(asked)
    whole = np.sqrt(((asked[:, None].astype(np.float64) - stored[None].astype(np.float64)) ** 2).sum(axis=2))
    k = min(3, n - 1)
    assert np.array_equal(index, np.argsort(whole, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(distance, np.sort(whole, axis=1)[:, :k], rtol=1e-12)


def test_of_many_rows_some_are_kept_evenly_and_the_detector_says_so(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ROWS", 200)
    x = rows(1000)
    knn = PyOD.make({"model": "KNN"}, Context())
    knn.fit(x[:200])
    assert knn.health() == {} and len(knn.state()["model.rows"]) == 200
    knn.fit(x)
    assert knn.health() == {"rows_used": 200.0} and len(knn.state()["model.rows"]) == 200
    again = PyOD.make({"model": "KNN"}, Context())
    again.load_state(knn.state())
    far = rows(50, seed=3) + 4.0
    assert np.array_equal(again.score(far), knn.score(far))
    assert knn.score(far).min() > np.quantile(knn.score(rows(200, seed=4)), 0.9)


def test_lof_of_many_rows_is_that_of_the_rows_kept(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ROWS", 200)
    x, asked = rows(1000), rows(50, seed=5)
    some, kept = neighbours.LocalOutlierFactor(20), neighbours.LocalOutlierFactor(20)
    some.fit(x)
    kept.fit(some.state()["rows"])
    assert len(some.state()["reach"]) == len(some.state()["density"]) == 200
    assert np.array_equal(some.score(asked), kept.score(asked))


def test_local_says_how_many_rows_it_compares_with(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_ROWS", 200)
    local = Local.make({}, Context())
    local.fit(rows(150))
    assert local.health() == {}
    local.fit(rows(1000))
    assert local.health() == {"rows_used": 200.0}
