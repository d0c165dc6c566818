"""Normal scores lie farther out where states were seldom seen."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.scoring.calibration import Calibration
from vibro.scoring.growth import growth_of


def rare(n, seed=0):
    """Rarity of n states whose mean is 1, a few of them ten times as rare."""
    return np.random.default_rng(seed).chisquare(2, n) / 2


@pytest.mark.parametrize("growth", [0.0, 1.0, 16.0])
@pytest.mark.parametrize("faults", [0.0, 0.1])
def test_growth_is_found_whether_or_not_there_are_faults(growth, faults):
    rng, rarity = np.random.default_rng(1), rare(1500)
    z = rng.standard_normal((1500, 2)) * np.sqrt(1 + growth * rarity[:, None])
    bad = rng.random(1500) < faults
    z[bad] += 40.0
    found = growth_of(z, rarity)
    assert found.shape == (2,)
    assert (np.abs(np.log2((found + 0.05) / (growth + 0.05))) <= 1.3).all()


def test_nothing_grows_without_states_without_scores_and_with_equal_ones():
    rarity = rare(200)
    z = np.random.default_rng(0).standard_normal((200, 1))
    assert growth_of(z, np.zeros(200)).tolist() == [0.0]
    assert growth_of(np.full((200, 1), np.nan), rarity).tolist() == [0.0]
    assert np.isfinite(growth_of(np.zeros((200, 1)), rarity)).all()
    half = np.where(np.arange(200)[:, None] % 2 == 0, z, np.nan)
    assert growth_of(half, rarity).tolist() == growth_of(half[::2], rarity[::2]).tolist()


def plant(n, seed):
    """Scores of two sensors that spread more, the farther load is from its usual value; sensors, load."""
    rng = np.random.default_rng(seed)
    load, sensor = rng.normal(0.6, 0.1, (n, 1)), (np.arange(n) % 2).astype(np.int32)
    return rng.standard_normal((n, 1)) * (1 + 100 * (load - 0.6) ** 2), sensor, load


def test_one_cut_alarms_rare_states_hardly_more_than_usual_ones():
    raw, sensor, load = plant(2_000, 0)
    calibration, z = Calibration.fit(raw, sensor, 2, covariates=load)
    fresh, where, at = plant(40_000, 1)
    judged = calibration.apply(fresh, where, at)[:, 0]
    rarest = calibration.domain.rarity(at, where) > 3
    assert 0.01 < rarest.mean() < 0.2
    cut = np.quantile(z, 0.99)
    alarmed = [(judged > cut)[rarest].mean(), (judged > cut)[~rarest].mean()]
    blind = fresh[:, 0] > np.quantile(raw, 0.99)
    assert blind[rarest].mean() > 15 * blind[~rarest].mean()
    assert max(alarmed) < 6 * min(alarmed)


def test_an_accepted_baseline_is_measured_on_the_same_scale():
    raw, sensor, load = plant(2_000, 0)
    calibration, _ = Calibration.fit(raw, sensor, 2, covariates=load)
    new, _, at = plant(2_000, 3)
    accepted = calibration.accepted(0, new + 5.0, at)
    zeros = np.zeros(2_000, np.int32)
    before, after = calibration.apply(new, zeros, at), accepted.apply(new + 5.0, zeros, at)
    assert np.median(np.abs(after)) == pytest.approx(np.median(np.abs(before)), rel=0.1)
