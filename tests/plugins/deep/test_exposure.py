"""Outlier exposure: examples of faults, the rows that they were made from, and the losses that use them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from vibro.api import Context, Disturbed, NotApplicableError
from vibro_plugins.deep.diagnostics import separation
from vibro_plugins.deep.exposure import broad, exposed, hypersphere, margin


def rows(n=60):
    return np.random.default_rng(0).standard_normal((n, 12)).astype(np.float32)


def given(x, change=3.0, row=None):
    row = np.repeat(np.arange(len(x)), 2) if row is None else row
    return Context(disturbed=Disturbed(x[row] + np.float32(change), row))


def test_examples_are_the_copies_and_as_many_broad_ones_of_the_same_rows():
    x = rows()
    row = np.repeat(np.arange(5, 45), 2)
    found = exposed(given(x, row=row), x)
    assert len(found.x) == len(found.row) == 160
    np.testing.assert_array_equal(found.x[:80], x[row] + 3)
    assert set(found.row) <= set(range(5, 45))  # what is held out of the copies is held out of the broad ones
    assert np.isfinite(found.x).all() and (np.abs(found.x - x[found.row]).max(axis=1) > 1e-3).all()
    drawn = found.draw(np.arange(5, 10), 50, np.random.default_rng(1))
    assert set(found.row[drawn]) == set(range(5, 10)) == set(found.row[found.of(np.arange(10))])


def test_copies_that_do_not_differ_are_a_stated_reason():
    x = rows()
    with pytest.raises(NotApplicableError, match="no disturbed copies"):
        exposed(Context(), x)
    with pytest.raises(NotApplicableError, match="0 of 120 disturbed copies differ"):
        exposed(given(x, 0.0), x)
    few = given(x)
    few.disturbed.x[20:] = x[few.disturbed.row[20:]]
    assert len(exposed(few, x).x) == 40  # those that differ


def test_broad_examples_reach_far_in_units_of_each_column_and_leave_constant_ones():
    x = rows() * np.array([10.0, 1.0] * 6, np.float32)
    x[:, 3] = 7
    found = broad(x, np.zeros(400, np.intp), np.random.default_rng(0)) - x[0]
    assert (found[:, 3] == 0).all()
    spread = found[:, [0, 1]].std(axis=0)
    assert 5 < spread[0] / spread[1] < 20
    size = np.sqrt(np.mean((found / np.maximum(x.std(axis=0), 1e-9)) ** 2, axis=1))
    assert size.min() < 0.6 and size.max() > 3


def test_broad_examples_take_no_copy_of_all_rows():
    x = np.random.default_rng(0).standard_normal((20_000, 400)).astype(np.float32)
    tracemalloc.start()
    try:
        broad(x, np.arange(10), np.random.default_rng(0))
        exposed(given(x, row=np.arange(50)), x)
        assert tracemalloc.get_traced_memory()[1] < 1.7 * x.nbytes  # of which one is every distance from the medians
    finally:
        tracemalloc.stop()


def test_the_hypersphere_pulls_sound_rows_in_and_pushes_faults_out():
    near, far = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.5, 4.0], requires_grad=True)
    hypersphere(near, far).backward()
    assert (near.grad > 0).all() and (far.grad < 0).all() and far.grad[0].abs() > far.grad[1].abs()
    assert torch.isfinite(hypersphere(torch.zeros(2), torch.zeros(2)))


def test_the_margin_is_met_by_a_factor():
    sound = torch.tensor([1.0, 1.0])
    short, met = (margin(sound, torch.tensor([error, error]), 3.0).item() for error in (1.0, 30.0))
    assert short == pytest.approx(np.log1p(3.0**4) / 4, abs=0.01) and met < 1e-3


def test_separation_is_the_auc():
    assert separation(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert separation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert separation(np.array([1.0]), np.zeros(0)) == 0.5
