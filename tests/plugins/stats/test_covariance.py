"""Covariance shrunk by Ledoit and Wolf, and distances with a row left out."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.covariance

from vibro_plugins.stats.covariance import RIDGE, Scatter, ledoit_wolf


def test_a_fit_row_is_measured_as_if_it_had_been_left_out():
    x = np.random.default_rng(2).standard_normal((60, 25)) * np.linspace(1, 4, 25)
    fitted = Scatter.fit(x, x.std(axis=0))
    u = (x - x.mean(axis=0)) / x.std(axis=0)
    slow = []
    for i in range(60):
        rest = np.delete(u, i, axis=0)
        covariance = (1 - fitted.shrinkage) * np.cov(rest.T, bias=True) * 59 / 60 + (fitted.shrinkage + RIDGE) * np.eye(
            25
        )
        away = u[i] - rest.mean(axis=0)
        slow.append(np.sqrt(away @ np.linalg.solve(covariance, away) / 25))
    quick = fitted.distance(x, np.arange(60))
    np.testing.assert_allclose(quick, slow, rtol=1e-9)
    assert np.all(quick > fitted.distance(x, np.zeros(60, bool)))


@pytest.mark.parametrize(("rows", "columns"), [(30, 61), (400, 20), (5, 1), (3, 4)])
def test_one_matrix_product_gives_the_shrinkage_of_scikit_learn(rows, columns):
    x = np.random.default_rng(rows).standard_t(5, (rows, columns)) * np.linspace(1, 2, columns)
    x -= x.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(x)
    expected, wanted = sklearn.covariance.ledoit_wolf(x, assume_centered=True)
    assert shrinkage == pytest.approx(wanted, rel=1e-9)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-12)
