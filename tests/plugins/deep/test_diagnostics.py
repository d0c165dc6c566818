"""What tells a network that has learned: against principal axes, and by the rank of its codes."""

from __future__ import annotations

import numpy as np
import pytest

from vibro_plugins.deep.diagnostics import effective_rank, explains_enough, overlap, pca_explained


def test_enough_is_measured_against_principal_axes():
    rng = np.random.default_rng(0)
    modes = rng.uniform(-2, 2, (300, 2)) @ rng.standard_normal((2, 200))
    noise = rng.standard_normal((300, 200))
    rows, held = np.arange(200), np.arange(200, 300)
    found = [
        pca_explained(lambda part: part, x, rows, held, lambda rest: np.sqrt((rest**2).mean(axis=1)))
        for x in (modes + 0.3 * noise, noise)
    ]
    assert found[0] > 0.5 and abs(found[1]) < 0.1
    assert explains_enough(0.3, found[0]) and not explains_enough(0.05, found[0])  # there was something to learn
    assert explains_enough(0.0, found[1])  # there was not;
    assert not explains_enough(-0.1, found[1])  # but worse than nothing is wrong
    assert not explains_enough(np.nan, found[1])


def test_effective_rank():
    rng = np.random.default_rng(0)
    assert effective_rank(rng.standard_normal((4000, 6))) == pytest.approx(6, abs=0.1)
    assert effective_rank(np.outer(rng.standard_normal(50), np.ones(6))) == pytest.approx(1, abs=1e-6)
    assert effective_rank(np.ones((50, 6))) == 0
    assert effective_rank(np.full((50, 6), np.nan)) == 0


def test_the_standard_error_of_an_overlap_is_how_much_it_scatters():
    rng = np.random.default_rng(0)
    drawn = [overlap(rng.standard_normal(30), 1 + rng.standard_normal(30)) for _ in range(2000)]
    found, error = np.array(drawn).T
    assert found.mean() == pytest.approx(0.24, abs=0.01)
    assert error.mean() == pytest.approx(found.std(), rel=0.1)
    assert overlap(np.zeros(9), np.ones(40)) == (0.0, 0.0)
    assert np.isnan(overlap(np.zeros(9), np.full(9, np.nan))).all()
