"""Calibration: frozen, per sensor with shrinkage, robust, safe on degenerate references (traps T25, T26)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from vibro.errors import ConfigError
from vibro.scoring.calibration import METHODS, Calibration, compressed

NAN = np.nan


def codes(n, sensors):
    return (np.arange(n) % sensors).astype(np.int32)


def fitted(*given, **more):
    return Calibration.fit(*given, **more)[0]


def test_robust_z_of_many_rows_is_median_and_mad_of_the_sensor():
    rng = np.random.default_rng(0)
    sensor = codes(20_000, 2)
    raw = (
        rng.normal(size=(20_000, 1)) * np.where(sensor == 0, 1.0, 5.0)[:, None]
        + np.where(sensor == 0, 3.0, -7.0)[:, None]
    )
    z = fitted(raw, sensor, 2).apply(raw, sensor)
    for s in (0, 1):
        assert abs(np.median(z[sensor == s])) < 0.05
        assert abs(1.4826 * np.median(np.abs(z[sensor == s])) - 1) < 0.05


def test_location_and_scale_are_shrunk_to_the_pool_by_n_over_n_plus_50():
    raw = np.concatenate([np.zeros(50), np.tile([-1.0, 1.0], 475)])[:, None]
    sensor = np.concatenate([np.zeros(50), np.ones(950)]).astype(np.int32)
    raw[:50, 0] = 10.0
    c = fitted(raw, sensor, 2, "z")
    pool = raw.mean()
    assert c.arrays["location"][0, 0] == pytest.approx(0.5 * 10.0 + 0.5 * pool)
    assert c.arrays["location"][1, 0] == pytest.approx(0.95 * 0.0 + 0.05 * pool)
    assert c.arrays["location"][2, 0] == pytest.approx(pool)


def test_an_unknown_sensor_gets_the_pool_and_a_short_one_is_called_pooled():
    rng = np.random.default_rng(1)
    raw = rng.normal(size=(300, 2))
    sensor = np.where(np.arange(300) < 290, 0, 1).astype(np.int32)
    c = fitted(raw, sensor, 3)
    assert c.baselines().tolist() == ["own", "pooled", "pooled"]
    z = c.apply(np.zeros((3, 2)), np.array([-1, 2, 1], np.int32))
    np.testing.assert_allclose(z[0], (0.0 - np.median(raw, axis=0)) / c.arrays["scale"][-1])
    assert np.isfinite(z).all()


def groups_apart():
    """Two groups whose normal scores lie apart, few records a sensor, and sensors of no group."""
    rng = np.random.default_rng(11)
    alike = np.repeat([0, 1, -1], [60, 20, 5]).astype(np.int32)
    sensor = np.repeat(np.arange(85, dtype=np.int32), 6)

    def normal():
        level, spread = np.where(alike[sensor] == 1, 9.0, 0.0), np.where(alike[sensor] == 1, 3.0, 1.0)
        return (level + spread * rng.standard_normal(len(sensor)))[:, None]

    return normal(), normal(), sensor, alike


def test_sensors_of_a_group_are_shrunk_to_it_and_not_to_all():
    raw, new, sensor, alike = groups_apart()
    mine = alike[sensor] == 1
    far = {"all": fitted(raw, sensor, 85), "group": fitted(raw, sensor, 85, alike=alike)}
    share = {name: float((c.apply(new, sensor)[mine] > 3).mean()) for name, c in far.items()}
    assert share["all"] > 0.5 and share["group"] < 0.05
    alone = fitted(raw[mine], sensor[mine] - 60, 20)
    for name in ("location", "scale"):
        assert np.array_equal(far["group"].arrays[name][60:80], alone.arrays[name][:-1])
        assert np.array_equal(far["group"].arrays[name][80:], far["all"].arrays[name][80:])
    assert far["group"].baselines().tolist() == ["group"] * 80 + ["pooled"] * 5


def test_a_sensor_of_a_group_without_a_score_gets_the_group_and_a_group_of_few_scores_is_none():
    raw, _, sensor, alike = groups_apart()
    raw[sensor == 60] = NAN
    found = fitted(raw, sensor, 85, alike=alike)
    assert found.arrays["location"][60, 0] == np.median(raw[(alike[sensor] == 1) & (sensor != 60)])
    raw[alike[sensor] == 1], raw[sensor == 61] = NAN, 9.0
    assert np.array_equal(
        fitted(raw, sensor, 85, alike=alike).arrays["location"][60:80],
        fitted(raw, sensor, 85).arrays["location"][60:80],
    )


@pytest.mark.parametrize("method", METHODS)
def test_trap_25_one_record_scores_as_in_company(method):
    rng = np.random.default_rng(2)
    reference, sensor = rng.gamma(2.0, size=(400, 3)), codes(400, 4)
    c = fitted(reference, sensor, 4, method)
    raw, where = rng.gamma(2.0, size=(9_000, 3)), codes(9_000, 4)
    raw[5, 1] = NAN
    whole = c.apply(raw, where)
    for i in (0, 5, 8_192, 8_999):
        assert np.array_equal(c.apply(raw[i : i + 1], where[i : i + 1])[0], whole[i], equal_nan=True)
    assert np.isnan(whole[5, 1]) and np.isfinite(whole[5, [0, 2]]).all()
    assert np.isfinite(c.apply(np.array([[np.inf, -np.inf, 0.0]]), np.array([0], np.int32))).all()


@pytest.mark.parametrize("method", METHODS)
def test_z_rises_with_the_raw_score(method):
    rng = np.random.default_rng(3)
    c = fitted(rng.gamma(2.0, size=(500, 1)), codes(500, 1), 1, method)
    raw = np.linspace(-5.0, 60.0, 2_000)[:, None]
    z = c.apply(raw, np.zeros(2_000, np.int32))[:, 0]
    assert (np.diff(z) >= 0).all() and z[-1] > z[0]


def test_five_percent_anomalies_move_the_robust_z_of_a_normal_record_little():
    rng = np.random.default_rng(4)
    clean = rng.gamma(4.0, size=(2_000, 1))
    dirty = clean.copy()
    dirty[:100] += 50.0
    sensor, probe = codes(2_000, 4), np.quantile(clean, [0.5, 0.9, 0.99])[:, None]
    where = np.zeros(3, np.int32)
    a = fitted(clean, sensor, 4).apply(probe, where)
    b = fitted(dirty, sensor, 4).apply(probe, where)
    assert np.abs(a - b).max() < 0.4
    plain = fitted(clean, sensor, 4, "z").apply(probe, where) - fitted(dirty, sensor, 4, "z").apply(probe, where)
    assert np.abs(plain).max() > 1.0


def test_the_floors_of_the_scale():
    def scale(score):
        score = np.asarray(score, float)[:, None]
        return fitted(score, np.zeros(len(score), np.int32), 1).arrays["scale"][-1, 0]

    mostly_equal = np.r_[np.zeros(60), np.ones(40)]
    assert scale(mostly_equal) == pytest.approx(1.0 / 1.349)
    assert scale(np.r_[np.zeros(99), 5.0]) == pytest.approx(np.std(np.r_[np.zeros(99), 5.0]))
    assert 0 < scale(np.full(100, 7.0)) < 1e-6


def test_a_dead_detector_and_one_without_scores_stay_what_they_are():
    reference = np.column_stack([np.full(100, 2.0), np.full(100, NAN), np.arange(100.0)])
    c = fitted(reference, codes(100, 2), 2)
    z = c.apply(np.array([[2.0, 1.0, 50.0], [3.0, NAN, 1e9]]), np.array([0, 1], np.int32))
    assert z[0, 0] == 0.0 and 10.0 < z[1, 0] < 1e3 and np.isnan(z[:, 1]).all() and 10.0 < z[1, 2] < 1e3


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("method", METHODS)
def test_few_reference_rows_give_finite_z(n, method):
    reference = np.arange(float(n))[:, None] * np.array([1.0, 0.0])
    c = fitted(reference, np.zeros(n, np.int32), 1, method)
    assert np.isfinite(c.apply(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([0, -1], np.int32))).all()


def test_ecdf_gives_normal_quantiles_and_orders_what_lies_beyond_the_reference():
    rng = np.random.default_rng(5)
    reference = rng.exponential(size=(20_000, 1))
    c = fitted(reference, np.zeros(20_000, np.int32), 1, "ecdf")
    probe = -np.log(np.array([0.5, 0.2, 0.05, 0.01, 1e-3, 1e-6]))[:, None]
    z = c.apply(probe, np.zeros(6, np.int32))[:, 0]
    np.testing.assert_allclose(z[:5], -ndtri([0.5, 0.2, 0.05, 0.01, 1e-3]), atol=0.12)
    assert z[4] < z[5] < 30


@pytest.mark.parametrize("method", METHODS)
def test_scores_far_out_keep_their_order_whatever_their_size(method):
    rng = np.random.default_rng(6)
    c = fitted(rng.normal(size=(1_000, 1)), codes(1_000, 1), 1, method)
    raw = np.geomspace(2.0, 1e12, 400)[:, None]
    z = c.apply(raw, np.zeros(400, np.int32))[:, 0]
    assert (np.diff(z) > 0).all() and np.isfinite(z).all()
    assert np.isfinite(c.apply(np.array([[np.inf], [-np.inf], [1e308]]), np.zeros(3, np.int32))).all()


def test_compression_leaves_what_is_near_and_is_smooth_at_the_join():
    z = np.linspace(-40.0, 40.0, 8_001)
    found = compressed(z, 10.0)
    near = np.abs(z) <= 10.0
    assert np.array_equal(found[near], z[near]) and np.allclose(found, -found[::-1])
    slope = np.diff(found) / np.diff(z)
    assert (slope > 0).all() and np.abs(np.diff(slope)).max() < 1e-3
    assert np.isnan(compressed(np.array([NAN]))).all()


@pytest.mark.parametrize("method", METHODS)
def test_state_is_enough(method):
    rng = np.random.default_rng(7)
    reference, sensor = rng.gamma(2.0, size=(200, 2)), codes(200, 3)
    c = fitted(reference, sensor, 3, method, 12.0)
    state = {name: array.copy() for name, array in c.state().items()}
    back = Calibration.from_state(c.method, c.linear, state, c.domain)
    assert np.array_equal(back.apply(reference, sensor), c.apply(reference, sensor))
    assert np.array_equal(back.baselines(), c.baselines())
    assert all(array.dtype.kind in "fiub" for array in state.values())


def test_wrong_settings_are_refused():
    one = np.zeros((3, 1)), np.zeros(3, np.int32), 1
    with pytest.raises(ConfigError, match="ranks"):
        fitted(*one, "ranks")
    with pytest.raises(ConfigError, match="does not fit"):
        fitted(np.zeros((3, 1)), np.zeros(2, np.int32), 1)


def loaded(rows, seed):
    """A score that follows load, each of two sensors in its own way, with its load and sensor codes."""
    rng = np.random.default_rng(seed)
    load, sensor = rng.uniform(0.2, 1.2, (rows, 1)), codes(rows, 2)
    raw = np.where(sensor == 0, 4.0, 7.0)[:, None] * load**2 + rng.normal(size=(rows, 1)) + sensor[:, None]
    return raw, sensor, load


@pytest.mark.parametrize("method", METHODS)
def test_what_the_covariates_explain_of_a_score_is_taken_out(method):
    raw, sensor, load = loaded(1_000, 0)
    c, z = Calibration.fit(raw, sensor, 2, method, covariates=load)
    fresh, where, at = loaded(4_000, 1)
    for s in (0, 1):
        mine = where == s
        blind = fitted(raw, sensor, 2, method).apply(fresh, where)[mine, 0]
        seeing = c.apply(fresh, where, at)[mine, 0]
        assert abs(np.corrcoef(blind, at[mine, 0])[0, 1]) > 0.5
        assert abs(np.corrcoef(seeing, at[mine, 0])[0, 1]) < 0.2
    if method == "robust":
        assert abs(1.4826 * np.median(np.abs(c.apply(fresh, where, at))) - 1.4826 * np.median(np.abs(z))) < 0.1


def test_a_record_without_covariates_is_compared_with_the_reference_as_it_is():
    raw, sensor, load = loaded(1_000, 0)
    load[::10] = NAN
    c, z = Calibration.fit(raw, sensor, 2, covariates=load)
    plain = fitted(raw, sensor, 2)
    missing = np.isnan(load[:, 0])
    assert np.array_equal(c.apply(raw, sensor), plain.apply(raw, sensor))
    assert np.array_equal(c.apply(raw, sensor, load)[missing], plain.apply(raw, sensor)[missing])
    assert np.array_equal(z[missing], plain.apply(raw, sensor)[missing])
    fresh, where, at = loaded(20_000, 1)
    cut = np.quantile(z, 0.99)
    assert 0.002 < (c.apply(fresh, where, at) > cut).mean() < 0.03
    assert (c.apply(fresh, where, np.full_like(at, NAN)) > cut).mean() < 0.03


def test_a_column_that_few_rows_have_is_explained_by_those():
    raw, sensor, load = loaded(2_000, 0)
    both = np.concatenate([raw, np.where(np.arange(2_000)[:, None] % 5 == 0, raw, NAN)], axis=1)
    c, z = Calibration.fit(both, sensor, 2, covariates=load)
    assert np.array_equal(np.isnan(z[:, 1]), np.isnan(both[:, 1]))
    fresh, where, at = loaded(4_000, 1)
    twice = np.concatenate([fresh, fresh], axis=1)
    seen, blind = c.apply(twice, where, at), c.apply(twice, where)
    for s in (0, 1):
        mine = where == s
        left, before = (np.abs(np.corrcoef(z[mine].T, at[mine].T)[2, :2]) for z in (seen, blind))
        assert (before > 0.7).all() and left[0] < 0.15 and left[1] < 0.5  # few rows are drawn to the pool


def test_the_law_of_shrinkage_holds_with_covariates():
    rng = np.random.default_rng(5)
    sensor = np.concatenate([np.zeros(50), np.ones(950)]).astype(np.int32)
    raw, load = rng.normal(size=(1_000, 1)) + np.where(sensor == 0, 8.0, 0.0)[:, None], rng.normal(size=(1_000, 1))
    plain, explained = (fitted(raw, sensor, 2, covariates=given) for given in (None, load))
    probe, at = np.array([[8.0], [0.0]]), np.zeros((2, 1))
    codes = np.array([0, 1], np.int32)
    np.testing.assert_allclose(explained.apply(probe, codes, at), plain.apply(probe, codes), atol=0.4)


def test_an_unknown_sensor_is_corrected_by_what_sensors_vary_by_themselves():
    rng = np.random.default_rng(6)
    sensor, load = codes(2_000, 10), rng.uniform(0, 1, (2_000, 1))
    offset = rng.normal(0, 3, 10)
    raw = offset[sensor][:, None] + load + 0.1 * rng.normal(size=(2_000, 1))
    c = fitted(raw, sensor, 10, covariates=load)
    z = c.apply(np.array([[0.0], [1.0]]), np.full(2, -1, np.int32), np.array([[0.0], [1.0]]))
    assert abs(z[0, 0] - z[1, 0]) < 0.1


def test_the_reference_is_measured_as_if_each_row_had_been_left_out():
    rng = np.random.default_rng(3)
    raw, sensor, load = rng.normal(size=(60, 1)), np.zeros(60, np.int32), rng.normal(size=(60, 3))
    c, z = Calibration.fit(raw, sensor, 1, covariates=load)
    fresh = c.apply(rng.normal(size=(5_000, 1)), np.zeros(5_000, np.int32), rng.normal(size=(5_000, 3)))
    own = c.apply(raw, sensor, load)
    spread = [np.quantile(np.abs(x), 0.9) for x in (own, z, fresh)]
    assert spread[0] < spread[1] and abs(spread[1] - spread[2]) < abs(spread[0] - spread[2])


def test_the_score_of_a_record_with_covariates_is_the_same_alone():
    raw, sensor, load = loaded(1_000, 0)
    c, _ = Calibration.fit(raw, sensor, 2, covariates=load)
    back = Calibration.from_state(c.method, c.linear, c.state(), c.domain)
    whole = c.apply(raw, sensor, load)
    for i in (0, 7, 999):
        assert np.array_equal(back.apply(raw[i : i + 1], sensor[i : i + 1], load[i : i + 1])[0], whole[i])
