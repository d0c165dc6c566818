"""Covariance shrunk by Ledoit and Wolf, and distances with a row left out."""

from __future__ import annotations

import numpy as np

from vibro_plugins.stats.covariance import RIDGE, Scatter


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
