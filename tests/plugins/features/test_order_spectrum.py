"""Order spectra on signals whose lines are known."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import view_key
from vibro.context import Context
from vibro.core.views import ViewStore
from vibro.data import make_batch
from vibro.errors import NotApplicableError, NotFittedError
from vibro_plugins.features.envelope import Envelope
from vibro_plugins.features.order_spectrum import OrderSpectrum

FS, SAMPLES = 20000.0, 8192
T = np.arange(SAMPLES) / FS


def orders(x, rpm, fs=FS, **settings):
    extractor = OrderSpectrum.make(settings, Context(fs=fs, names=("speed",)))
    speed = np.array(rpm, np.float32)[:, None]
    inputs = {"raw": x[:, None].astype(np.float32), "covariates": speed, "sensor": np.zeros((len(x), 1), np.float32)}
    extractor.fit(inputs)
    return extractor.transform(inputs), extractor


def test_orders_stay_where_the_speed_moves_the_lines():
    rpm = np.array([900.0, 1490.0, 1523.0, 2950.0])
    x = np.stack([np.sin(2 * np.pi * 3 * r / 60 * T) + 0.5 * np.sin(2 * np.pi * 7.5 * r / 60 * T + 1) for r in rpm])
    got, extractor = orders(x, rpm)
    assert (got.argmax(axis=1) == 3 * 8).all() and extractor.kept.all()
    power = 10.0 ** (2 * got)
    for order, share in ((3, 0.8), (7.5, 0.2)):  # a record holds few revolutions: a line fills about five cells
        at = int(8 * order)
        assert power[:, at - 4 : at + 5].sum(axis=1) == pytest.approx(share, rel=0.15)


def test_the_speed_is_found_by_its_name():
    rpm = np.array([900.0, 1490.0, 1523.0, 2950.0])
    x = np.stack([np.sin(2 * np.pi * 3 * r / 60 * T) for r in rpm])
    expected, _ = orders(x, rpm)
    load = np.array([0.1, 0.5, 0.2, 0.9])

    def view(names, columns, **settings):
        batch = make_batch(x, fs=FS, covariates=np.stack(columns, axis=1).astype(np.float32), covariate_names=names)
        key = view_key({"use": "order_spectrum", **settings})
        extractor = OrderSpectrum.make(settings, Context(fs=FS))
        return ViewStore(batch, {key: extractor}, {key: 1}, fit_rows=np.arange(4)).get(key)

    np.testing.assert_allclose(view(("load", "speed"), (load, rpm)), expected, atol=1e-6)
    np.testing.assert_allclose(
        view(("shaft", "temp"), (rpm / 60, load), column="shaft", unit="Hz"), expected, atol=1e-4
    )
    np.testing.assert_allclose(view(("load", "n"), (load, rpm), column=1), expected, atol=1e-6)
    with pytest.raises(NotApplicableError, match="'rpm'; given are: load, speed"):
        view(("load", "speed"), (load, rpm), column="rpm")


def test_a_missing_speed_takes_the_usual_one():
    x = np.stack([np.sin(2 * np.pi * 2 * 25 * T)] * 3)
    got, _ = orders(x, [1500.0, np.nan, -5.0])
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[1:], np.stack([got[0]] * 2), atol=1e-6)


def test_orders_are_skipped_without_a_speed_and_mark_what_cannot_be_given():
    x = np.random.default_rng(0).standard_normal((3, SAMPLES))
    with pytest.raises(NotApplicableError):
        orders(x, [np.nan] * 3)
    _, fast = orders(x, [60000.0] * 3)
    assert fast.kept[: 8 * 9].all() and not fast.kept[8 * 9 + 1 :].any()
    _, slow = orders(x, [60.0] * 3)
    assert not slow.kept.any()
    for cls in (Envelope, OrderSpectrum):
        with pytest.raises(NotFittedError):
            cls.make({}, Context(fs=FS)).state()
