"""per_sensor and conditioned: location, spread, few rows, unknown sensors, covariates present, missing and absent."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context, NotFittedError
from vibro_plugins.features.conditioned import Conditioned
from vibro_plugins.features.per_sensor import PerSensor


def plant(rows: int = 300, sensors: int = 4, features: int = 6, seed: int = 0):
    """Features of each sensor at its own location and spread, moved by load and temperature in its own way."""
    rng = np.random.default_rng(seed)
    sensor = np.repeat(np.arange(sensors), rows)
    load, heat = rng.uniform(0.1, 1.1, len(sensor)), rng.normal(45, 8, len(sensor))
    location = 20 * rng.standard_normal((sensors, features))
    scale = rng.lognormal(0, 0.7, (sensors, features))
    slope = rng.standard_normal((sensors, features)) * 8
    drift = rng.standard_normal((sensors, features)) * 0.3
    noise = rng.standard_normal((len(sensor), features))
    moved = slope[sensor] * load[:, None] ** 2 + drift[sensor] * (heat[:, None] - 45)
    x = location[sensor] + scale[sensor] * (noise + moved)
    covariates = np.stack([load, heat], axis=1)
    return x.astype(np.float32), covariates.astype(np.float32), sensor.astype(np.float32)[:, None], noise


def standardised(x, sensor, **settings):
    view = PerSensor.make({"of": "spectrum", **settings}, Context())
    view.fit({"spectrum": x, "sensor": sensor})
    return view, view.transform({"spectrum": x, "sensor": sensor})


def conditioned(x, covariates, sensor, **settings):
    view = Conditioned.make({"of": "spectrum", **settings}, Context())
    inputs = {"spectrum": x, "covariates": covariates, "sensor": sensor}
    view.fit(inputs)
    return view, view.transform(inputs)


def test_each_sensor_gets_its_own_location_and_spread():
    x, _, sensor, _ = plant()
    _, z = standardised(x, sensor, clip=1000)
    for s in range(4):
        mine = z[sensor[:, 0] == s]
        assert np.abs(np.median(mine, axis=0)).max() < 0.02
        spread = 1.4826 * np.median(np.abs(mine), axis=0)
        assert (0.6 < spread).all() and (spread < 1.7).all()


def test_fifty_rows_are_nearly_their_own_and_three_lean_on_the_pool():
    rng = np.random.default_rng(1)
    sensor = np.repeat([0, 1, 2], [500, 50, 3]).astype(np.float32)[:, None]
    x = (sensor * 10 + rng.standard_normal((553, 1))).astype(np.float32)
    _, z = standardised(x, sensor, clip=1000)
    assert abs(np.median(z[500:550])) < 0.05
    assert np.median(z[550:]) > 2  # far from where the pool is; three rows do not say that this is normal


def test_unknown_sensors_take_the_pool():
    x, _, sensor, _ = plant()
    view, _ = standardised(x, sensor)
    z = view.transform({"spectrum": x, "sensor": np.full_like(sensor, -1)})
    pool = np.median(x, axis=0)
    wanted = (x - pool) / (1.4826 * np.median(np.abs(x - pool), axis=0))
    assert z == pytest.approx(np.clip(wanted, -12, 12), abs=1e-3)
    beyond = view.transform({"spectrum": x, "sensor": np.full_like(sensor, 99)})
    assert np.array_equal(beyond, z)


def test_a_tenth_of_anomalies_moves_neither_location_nor_spread():
    x, _, sensor, _ = plant(rows=200)
    bad = np.random.default_rng(2).random(len(x)) < 0.1
    spoiled = np.where(bad[:, None], x + 500, x).astype(np.float32)
    _, clean = standardised(x, sensor)
    _, found = standardised(spoiled, sensor, clip=1000)
    assert (found[bad] > 3).mean() > 0.95
    assert np.abs(found[~bad] - clean[~bad]).max() < 1.5


def test_faults_of_one_sensor_do_not_hide_behind_the_spread_that_they_make():
    rng = np.random.default_rng(5)
    sensor = np.repeat(np.arange(6), 50).astype(np.float32)[:, None]
    scale = rng.lognormal(0, 0.4, (6, 1, 30))
    x = (rng.standard_normal((6, 50, 30)) * scale + 10 * rng.standard_normal((6, 1, 30))).reshape(300, 30)
    bad = np.zeros(300, np.bool_)
    bad[28:50] = True  # 22 of the 50 rows of the first sensor
    spoiled = np.where(bad[:, None], x + 6 * np.repeat(scale, 50, axis=1).reshape(300, 30), x).astype(np.float32)
    _, clean = standardised(x.astype(np.float32), sensor)
    _, found = standardised(spoiled, sensor)
    wide = np.median(np.abs(clean[:28]).mean(axis=1))
    assert np.median(found[bad].mean(axis=1)) > 3 * wide
    assert np.abs(found[50:] - clean[50:]).max() < 1.5  # other sensors stay as they are


def test_a_long_known_sensor_keeps_a_spread_that_is_wide_in_all_columns():
    rng = np.random.default_rng(6)
    sensor = np.repeat([0, 1, 2, 3], 4000).astype(np.float32)[:, None]
    x = (rng.standard_normal((16000, 8)) * np.where(sensor == 0, 5.0, 1.0)).astype(np.float32)
    _, z = standardised(x, sensor)
    assert 0.8 < np.std(z[:4000]) < 2.0


def test_constant_columns_are_masked_and_values_clipped():
    x, _, sensor, _ = plant()
    x[:, 2] = 4.0
    view, z = standardised(x, sensor)
    assert view.kept.tolist() == [True, True, False, True, True, True]
    far = view.transform({"spectrum": x + 1e6, "sensor": sensor})
    assert not far[:, 2].any() and not z[:, 2].any()
    assert far[:, 0] == pytest.approx(12)


def test_a_sensor_for_every_row_still_tells_rows_apart():
    x = np.random.default_rng(3).standard_normal((60, 3)).astype(np.float32)
    x[7] += 30
    _, z = standardised(x, np.arange(60, dtype=np.float32)[:, None])
    assert np.argmax(np.abs(z).min(axis=1)) == 7


def test_regression_recovers_what_is_left():
    x, covariates, sensor, noise = plant()
    _, z = standardised(x, sensor)
    _, left = conditioned(z, covariates, sensor)
    for j in range(x.shape[1]):
        raw = abs(np.corrcoef(z[:, j], noise[:, j])[0, 1])
        assert abs(np.corrcoef(left[:, j], noise[:, j])[0, 1]) > 0.97 > raw
    assert 1.4826 * np.median(np.abs(left), axis=0) == pytest.approx(1, abs=0.15)


def test_regression_ignores_a_tenth_of_anomalies():
    x, covariates, sensor, noise = plant(seed=4)
    bad = np.random.default_rng(5).random(len(x)) < 0.1
    _, z = standardised(np.where(bad[:, None], x + 300, x).astype(np.float32), sensor)
    _, left = conditioned(z, covariates, sensor)
    assert np.corrcoef(left[~bad].ravel(), noise[~bad].ravel())[0, 1] > 0.95
    assert (left[bad].min(axis=1) > 3).mean() > 0.9


def test_rows_it_was_fitted_to_are_measured_as_new_ones():
    x, covariates, sensor, _ = plant(rows=160, seed=6)
    wide = np.concatenate([covariates, np.random.default_rng(7).uniform(0, 1, (len(x), 2)).astype(np.float32)], axis=1)
    _, z = standardised(x, sensor, clip=1000)
    old = np.random.default_rng(8).random(len(x)) < 0.5  # 80 rows a sensor for 15 columns of the regression
    view, left = conditioned(z[old], wide[old], sensor[old], clip=1000)
    new = view.transform({"spectrum": z[~old], "covariates": wide[~old], "sensor": sensor[~old]})
    ratio = np.median(np.abs(new), axis=0) / np.median(np.abs(left), axis=0)
    assert 0.85 < ratio.mean() < 1.15
    moved = view.transform(
        {"spectrum": z[old], "covariates": wide[old] + 0.02, "sensor": sensor[old]}
    )  # no longer its own
    assert np.median(np.abs(moved), axis=0).mean() < 0.9 * np.median(np.abs(left), axis=0).mean()
    again = Conditioned.make({"of": "spectrum", "clip": 1000}, Context())
    again.load_state(view.state())
    assert np.array_equal(again.transform({"spectrum": z[old], "covariates": wide[old], "sensor": sensor[old]}), left)


@pytest.mark.parametrize("covariates", [np.zeros((1200, 0)), np.full((1200, 3), np.nan)])
def test_without_covariates_it_is_its_input(covariates):
    x, _, sensor, _ = plant()
    view, left = conditioned(x, covariates.astype(np.float32), sensor)
    assert np.array_equal(left, x)
    again = Conditioned.make({"of": "spectrum"}, Context())
    again.load_state(view.state())
    inputs = {"spectrum": x, "covariates": covariates.astype(np.float32), "sensor": sensor}
    assert np.array_equal(again.transform(inputs), x)


def test_a_missing_covariate_is_taken_at_the_median():
    x, covariates, sensor, _ = plant()
    view, _ = conditioned(x, covariates, sensor)
    inputs = {"spectrum": x[:9], "covariates": np.full((9, 2), np.nan, np.float32), "sensor": sensor[:9]}
    blind = view.transform(inputs)
    middle = np.tile(np.median(covariates[:300], axis=0), (9, 1)).astype(np.float32)
    assert blind == pytest.approx(view.transform({**inputs, "covariates": middle}), abs=1e-4)
    assert np.isfinite(blind).all()


def test_covariates_are_not_extrapolated_and_a_constant_one_is_harmless():
    x, covariates, sensor, _ = plant()
    wide = np.concatenate([covariates, np.ones((len(x), 1), np.float32)], axis=1)
    view, left = conditioned(x, wide, sensor)
    _, plain = conditioned(x, covariates, sensor)
    assert left == pytest.approx(plain, abs=0.05)
    far = wide[:5].copy()
    far[:, 0] = 1e6
    edge = wide[:5].copy()
    edge[:, 0] = covariates[:, 0].max()
    inputs = {"spectrum": x[:5], "sensor": sensor[:5]}
    assert np.array_equal(view.transform({**inputs, "covariates": far}), view.transform({**inputs, "covariates": edge}))


def test_few_rows_and_unknown_sensors():
    x, covariates, sensor, _ = plant(rows=30)
    _, few = conditioned(x[:10], covariates[:10], sensor[:10])
    assert np.array_equal(few, x[:10])  # too few to regress
    view, _ = conditioned(x, covariates, sensor)
    unknown = view.transform({"spectrum": x, "covariates": covariates, "sensor": np.full_like(sensor, -1)})
    assert np.isfinite(unknown).all()


def test_on_views_of_each_sensor_unknown_sensors_stay_as_they_are():
    x, covariates, sensor, _ = plant()
    _, z = standardised(x, sensor)
    of = {"use": "per_sensor", "of": "spectrum"}
    view = Conditioned.make({"of": of}, Context())
    key = str(view.inputs(view.params)[0])
    view.fit({key: z, "covariates": covariates, "sensor": sensor})
    unknown = np.full_like(sensor, -1)
    found = view.transform({key: z, "covariates": covariates, "sensor": unknown})
    for j in range(z.shape[1]):
        assert np.corrcoef(found[:, j], z[:, j])[0, 1] > 0.999
    known = view.transform({key: z, "covariates": covariates, "sensor": sensor})
    assert np.corrcoef(known[:, 0], z[:, 0])[0, 1] < 0.9


@pytest.mark.parametrize("kind", [PerSensor, Conditioned])
def test_a_row_is_independent_of_the_batch_and_after_loading(kind):
    x, covariates, sensor, _ = plant()
    inputs = {"spectrum": x, "covariates": covariates, "sensor": sensor}
    view, again = (kind.make({"of": "spectrum"}, Context()) for _ in range(2))
    with pytest.raises(NotFittedError):
        again.state()
    view.fit(inputs)
    again.load_state({name: value.copy() for name, value in view.state().items()})
    whole = view.transform(inputs)
    parts = [
        again.transform({name: value[i:j] for name, value in inputs.items()})
        for i, j in ((0, 1), (1, 300), (300, 1200))
    ]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_inputs_name_nested_views():
    nested = {"use": "per_sensor", "of": "mains"}
    keys = Conditioned.inputs(Conditioned.make({"of": nested}, Context()).params)
    assert [str(key) for key in keys] == ["per_sensor(of=mains)", "covariates", "sensor"]
