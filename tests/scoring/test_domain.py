"""Operating states beyond those that were fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.scoring.domain import Domain


def states(n, seed=0, low=0.2):
    rng = np.random.default_rng(seed)
    load = rng.uniform(low, 1.0, n)
    return np.column_stack([load, 30 + 40 * load**2 + rng.normal(0, 2, n)]), (np.arange(n) % 2).astype(np.int32)


def test_of_states_like_those_fitted_on_hardly_any_is_beyond():
    domain = Domain.fit(*states(400), 2)
    assert domain.beyond(*states(2000, seed=1)).mean() < 0.02
    assert not domain.beyond(*states(400)).any()


def test_a_state_outside_the_range_and_one_off_the_usual_relation_are_beyond():
    domain = Domain.fit(*states(400), 2)
    known = np.zeros(3, np.int32)
    no_load, hot_at_low_load, usual = [-0.3, 32.0], [0.25, 75.0], [0.5, 40.0]
    assert domain.beyond(np.array([no_load, hot_at_low_load, usual]), known).tolist() == [True, True, False]


def test_missing_covariates_unknown_sensors_and_few_rows_say_nothing_or_the_pool():
    domain = Domain.fit(*states(400), 2)
    far = np.array([[-0.3, 32.0], [np.nan, np.nan]])
    assert domain.beyond(far, np.full(2, -1, np.int32)).tolist() == [True, False]
    few = Domain.fit(*states(20), 2)
    assert not few.beyond(far, np.zeros(2, np.int32)).any()
    pooled = Domain.fit(*states(40), 2)
    assert np.isfinite(pooled.arrays["limit"]).tolist() == [False, False, True]
    assert pooled.beyond(far, np.zeros(2, np.int32)).tolist() == [True, False]


def test_a_state_that_is_not_wholly_known_is_not_beyond():
    covariates, sensor = states(400)
    fan = (covariates[:, :1] > 0.97).astype(float)  # hardly ever on: its mean is a state that never was
    domain = Domain.fit(np.concatenate([covariates, fan], axis=1), sensor, 2)
    asked = np.array([[np.nan, np.nan, np.nan], [0.5, 40.0, np.nan], [-0.3, 32.0, 0.0]])
    assert domain.beyond(asked, np.zeros(3, np.int32)).tolist() == [False, False, True]


@pytest.mark.parametrize("covariates", [np.zeros((100, 0)), np.full((100, 2), np.nan)])
def test_without_covariates_that_vary_nothing_is_beyond(covariates):
    domain = Domain.fit(covariates, np.zeros(100, np.int32), 1)
    assert not domain.beyond(covariates + 5, np.zeros(100, np.int32)).any()


def test_a_state_alone_is_judged_as_in_company():
    domain = Domain.fit(*states(400), 2)
    covariates, sensor = states(50, seed=2, low=-0.5)
    together = domain.beyond(covariates, sensor)
    assert together.any() and not together.all()
    assert [domain.beyond(covariates[[i]], sensor[[i]])[0] for i in range(50)] == together.tolist()


def test_any_other_value_of_a_covariate_that_did_not_vary_is_beyond():
    rng = np.random.default_rng(0)
    sensor = np.zeros(200, np.int32)
    for beside in (np.zeros((200, 0)), rng.uniform(size=(200, 1))):
        fitted = Domain.fit(np.concatenate([np.full((200, 1), 1500.0), beside], axis=1), sensor, 1)
        asked = np.concatenate([np.array([[1500.0], [3000.0], [np.nan]]), beside[:3]], axis=1)
        assert fitted.beyond(asked, sensor[:3]).tolist() == [False, True, False]


def test_the_rarity_of_the_states_fitted_on_is_one_in_the_mean_however_many_rows_there_are():
    for n in (60, 400):
        covariates, sensor = states(n)
        domain = Domain.fit(covariates, sensor, 2)
        assert domain.rarity(covariates, sensor).mean() == pytest.approx(1.0)
        left_out = domain.rarity(covariates, sensor, fitted=True)
        assert (left_out > domain.rarity(covariates, sensor)).all()
        usual, rare = domain.rarity(np.array([[0.6, 44.4], [-0.3, 32.0]]), np.zeros(2, np.int32))
        assert usual < 1.0 < 10.0 < rare
    assert domain.rarity(np.full((1, 2), np.nan), np.zeros(1, np.int32)).tolist() == [0.0]
