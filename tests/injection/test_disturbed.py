"""Disturbed copies of fit rows: what is disturbed, how many there are, and what no copy can be made of."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.data import make_batch
from vibro.injection import disturbed, faults
from vibro.injection.disturbed import KINDS, MOST_OF_ROW, disturb, disturb_rows

from .signals import rms, signals


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbance_grows_with_its_severity_and_leaves_its_input_alone(kind):
    x = signals(channels=2).x
    before, change = x.copy(), []
    for severity in (0.05, 0.2, 0.8):
        hurt = disturb(x, kind, np.full(len(x), severity), np.random.default_rng(1))
        assert hurt.shape == x.shape and hurt.dtype == np.float32 and np.isfinite(hurt).all()
        change.append(np.median(rms((hurt - x).astype(float)) / rms(x)))
    assert np.diff(change).min() > 0 and change[0] < 0.2 and change[-1] > 0.1
    assert np.array_equal(x, before)


def test_no_kind_that_is_taught_is_examined():
    assert not set(KINDS) & set(faults.KINDS)


def test_every_row_has_equally_many_copies_which_follow_from_the_seed():
    batch = signals()
    rows = np.arange(0, len(batch), 2)
    copies = disturb_rows(batch, rows, 7)
    assert np.array_equal(copies.row, np.repeat(rows, MOST_OF_ROW))
    assert not (copies.batch.x == batch.x[copies.row]).all(axis=(1, 2)).any()
    assert np.array_equal(copies.batch.sensor, batch.sensor[copies.row])
    assert np.array_equal(copies.batch.x, disturb_rows(batch, rows, 7).batch.x)
    assert not np.array_equal(copies.batch.x, disturb_rows(batch, rows, 8).batch.x)


def test_of_many_rows_some_are_drawn(monkeypatch):
    monkeypatch.setattr(disturbed, "MOST", 5)
    batch = signals()
    copies = disturb_rows(batch, np.arange(len(batch)), 0)
    assert len(batch) > 5 and len(copies.row) == 5 and len(np.unique(copies.row)) == 5


def test_a_record_without_signal_cannot_be_disturbed():
    x = np.random.default_rng(0).normal(size=(8, 1, 64))
    x[:4] = 0.0
    copies = disturb_rows(make_batch(x, fs=100.0), np.arange(8), 0)
    assert set(copies.row.tolist()) == {4, 5, 6, 7}
    assert disturb_rows(make_batch(np.zeros((8, 1, 64)), fs=100.0), np.arange(8), 0) is None


@pytest.mark.parametrize("kind", KINDS)
def test_short_and_huge_records_stay_finite(kind):
    for x in (
        np.random.default_rng(0).normal(size=(3, 1, 16)),
        1e20 * np.random.default_rng(0).normal(size=(3, 1, 64)),
    ):
        assert np.isfinite(disturb(x.astype(np.float32), kind, np.ones(3), np.random.default_rng(0))).all()
