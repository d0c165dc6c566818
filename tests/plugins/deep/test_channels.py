"""Channels: a vector, the same whitened, and its residual from the nearest sound rows."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import NotApplicableError
from vibro_plugins.deep import channels
from vibro_plugins.deep.channels import Channels
from vibro_plugins.portable import network_scores


def rows(n=240, seed=0):
    rng = np.random.default_rng(seed)
    mode = np.array([-3.0, 3.0])[rng.integers(0, 2, n)][:, None]  # two operating states
    return (mode * np.linspace(1, 2, 10) + rng.standard_normal((n, 10))).astype(np.float32)


def test_states_leave_the_residual_and_correlation_the_whitened_values():
    x = rows()
    z, white, rest = np.moveaxis(Channels.fit(x).apply(rows(200, 1)), 1, 0)
    between = [np.abs(np.corrcoef(part, rowvar=False)[np.triu_indices(10, 1)]).mean() for part in (z, white, rest)]
    assert between[0] > 0.8 and between[1] < 0.2 and between[2] < 0.5


def test_a_fit_row_is_shown_as_if_it_had_been_left_out():
    x, new = rows(80), rows(400, 1)
    channels = Channels.fit(x)
    inside = channels.index
    size = [
        np.sqrt(np.mean(channels.apply(*given)[:, 1:] ** 2, axis=(0, 2)))
        for given in ((x[inside],), (x[inside], inside), (new,))
    ]
    # whitened: nearer than new rows until it is left out; the residual never counts a row as its own neighbour
    assert size[0][0] < size[1][0] < 1.3 * size[2][0]
    copy = x[inside] + np.float32(1e-2)
    assert np.sqrt(np.mean(channels.apply(copy, inside)[:, 2] ** 2)) > np.sqrt(np.mean(channels.apply(copy)[:, 2] ** 2))


def test_the_norm_is_taken_a_block_at_a_time():
    x = rows(300)
    found = Channels.fit(x)
    for own in (None, np.arange(300)):
        whole = found.apply(x, own).astype(np.float64)
        np.testing.assert_array_equal(found.norm(x, own), np.sqrt(np.mean(whole**2, axis=(1, 2))))


def test_it_is_restored_and_refuses_what_it_cannot_read():
    x = rows()
    channels = Channels.fit(x)
    again = Channels.load(channels.state())
    np.testing.assert_array_equal(again.apply(x), channels.apply(x))
    with pytest.raises(ValueError, match="vectors of"):
        channels.apply(x[:, :5])
    with pytest.raises(NotApplicableError, match="constant"):
        Channels.fit(np.ones((50, 6), np.float32))
    with pytest.raises(NotApplicableError, match="too few"):
        Channels.fit(x[:10])


def test_a_constant_column_is_left_out():
    x = rows()
    x[:, 4] = 2
    channels = Channels.fit(x)
    assert channels.width == 9 and channels.apply(x).shape == (240, 3, 9)


def test_of_many_rows_some_are_kept_and_a_row_is_read_alike_in_any_company(monkeypatch):
    monkeypatch.setattr(channels, "MOST_ROWS", 100)
    x = np.random.default_rng(0).standard_normal((700, 6)).astype(np.float32)
    found = Channels.fit(x)
    assert found.rows.shape == (100, 6) and len(found.index) == 100 and found.scatter.rows > 500
    assert found.used() == {"rows_used": 100.0} and Channels.fit(x[:90]).used() == {}
    whole = found.apply(x, np.arange(700))
    np.testing.assert_allclose(found.apply(x[300:310], np.arange(300, 310)), whole[300:310], rtol=1e-5, atol=1e-5)
    again = Channels.load(found.state())
    assert np.array_equal(again.apply(x), found.apply(x))
    assert np.array_equal(again.apply(x, np.arange(700)), whole) and again.used() == found.used()
    exported = network_scores._channels(found.state(), x, np.arange(700))
    np.testing.assert_allclose(exported, whole, rtol=1e-5, atol=1e-5)
