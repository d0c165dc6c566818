"""Injected faults: as strong as stated, the record otherwise kept, always finite."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.injection.faults import KINDS, SEVERITIES, inject

from .signals import rms, signals


@pytest.mark.parametrize("kind", KINDS)
def test_an_injected_fault_grows_with_its_severity_and_keeps_the_record_otherwise(kind):
    batch = signals(channels=2)
    before = batch.x.copy()
    change = []
    for severity in SEVERITIES:
        hurt = inject(batch, kind, severity, np.random.default_rng(3))
        assert hurt.x.shape == batch.x.shape and hurt.x.dtype == np.float32 and np.isfinite(hurt.x).all()
        change.append(float(rms((hurt.x - batch.x).astype(float)).mean()))
    assert (np.diff(change) > 0).all()
    assert np.array_equal(batch.x, before)
    assert np.array_equal(hurt.x, inject(batch, kind, severity, np.random.default_rng(3)).x)


@pytest.mark.parametrize("kind", ["harmonics", "band_noise", "impacts"])
def test_what_is_added_has_the_stated_share_of_the_rms(kind):
    batch = signals(length=2048)
    added = inject(batch, kind, 0.4, np.random.default_rng(0)).x - batch.x
    np.testing.assert_allclose(np.sqrt(np.mean(added.astype(float) ** 2, axis=2)), 0.4 * rms(batch.x), rtol=1e-3)


def test_stated_shares_of_samples_and_level():
    batch = signals()
    hurt = inject(batch, "dropout", 0.2, np.random.default_rng(0)).x
    held = np.abs(hurt - batch.x.mean(axis=2, keepdims=True)) < 1e-6
    assert held.mean() == pytest.approx(0.2, abs=0.01)
    np.testing.assert_allclose(
        rms(inject(batch, "level", 0.4, np.random.default_rng(0)).x), 1.4 * rms(batch.x), rtol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_record_and_a_short_one_stay_finite(kind):
    for x in (np.full((3, 1, 64), 2.0), np.random.default_rng(0).normal(size=(3, 1, 16))):
        hurt = inject(make_batch(x, fs=100.0), kind, 0.8, np.random.default_rng(0))
        assert np.isfinite(hurt.x).all()
