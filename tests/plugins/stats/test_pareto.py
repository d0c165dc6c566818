"""The generalised Pareto distribution."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.stats import pareto


def test_pareto_quantile_is_continuous_through_shape_zero():
    shapes = np.array([-1e-3, -1.0001e-6, -0.9999e-6, -1e-9, 0.0, 1e-9, 0.9999e-6, 1.0001e-6, 1e-3])
    for ratio in (0.5, 0.01, 1e-6):
        values = np.array([pareto.quantile(2.0, shape, ratio) for shape in shapes])
        assert (np.diff(values) > 0).all()
        assert np.abs(values[1:-1] / (-2.0 * np.log(ratio)) - 1).max() < 1e-4
        assert abs(values[2] - values[1]) < 1e-7 and abs(values[7] - values[6]) < 1e-7
    x = np.linspace(0.0, 5.0, 50)
    near = [pareto.log_likelihood(x, 2.0, shape) for shape in (-1.1e-6, -0.9e-6, 0.0, 0.9e-6, 1.1e-6)]
    assert np.ptp(near) < 1e-3 and near[2] == pytest.approx(np.sum(-np.log(2.0) - x / 2.0))


@pytest.mark.parametrize("shape", [-0.4, -0.1, 0.0, 0.2, 0.4])
def test_likelihood_beats_the_moments_and_comes_near_the_truth(shape):
    rng = np.random.default_rng(6)
    u = rng.uniform(size=4_000)
    excess = -3.0 * np.log(u) if shape == 0 else 3.0 * (u**-shape - 1) / shape
    scale, found = pareto.fit(excess)
    assert abs(found - shape) < 0.08 and abs(scale - 3.0) < 0.3
    assert (
        pareto.log_likelihood(excess, scale, found) >= pareto.log_likelihood(excess, *pareto.fit_moments(excess)) - 1e-6
    )
    assert np.mean(excess > pareto.quantile(scale, found, 0.05)) == pytest.approx(0.05, abs=0.01)
    assert pareto.survival(np.array([pareto.quantile(scale, found, 0.02)]), scale, found)[0] == pytest.approx(0.02)


@pytest.mark.parametrize("shape", [-0.3, -1e-7, 0.0, 1e-7, 0.25])
def test_density_is_the_slope_of_the_survival_and_quantile_its_inverse(shape):
    x = np.linspace(0.0, 5.0, 2_001)
    slope = -np.gradient(pareto.survival(x, 2.0, shape), x)
    assert np.allclose(pareto.density(x, 2.0, shape)[1:-1], slope[1:-1], atol=1e-5)
    assert pareto.survival(pareto.quantile(2.0, shape, 0.03), 2.0, shape) == pytest.approx(0.03)


def test_many_tails_at_once_are_each_as_alone():
    scale, shape = np.array([[0.5], [3.0]]), np.array([-0.2, 0.0, 0.2])
    for call, value in ((pareto.survival, 1.7), (pareto.density, np.array(1.7))):
        many = call(value, scale, shape)
        assert many.shape == (2, 3)
        assert np.allclose(many, [[call(value, float(s), float(h)) for h in shape] for s in scale[:, 0]])
    assert (pareto.density(np.array([9.0]), 1.0, -0.2) == 0.0).all()  # beyond the end
