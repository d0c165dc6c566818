"""Fits on many rows hold a few columns or rows of them in float64 at a time, never a copy of all."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vibro_plugins.stats import columns, sensor_scale
from vibro_plugins.stats.columns import Columns, FitRows
from vibro_plugins.stats.covariance import Scatter, winsorised
from vibro_plugins.stats.sensor_scale import SensorScale

N, P = 4_000, 512


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((N, P)).astype(np.float32)


def held(work) -> int:
    """Bytes that a call holds at most, beside what was there."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most - before


@pytest.mark.parametrize(
    "fit",
    [
        Columns.fit,
        lambda x: FitRows.of(x),
        lambda x: SensorScale.fit(x, np.arange(N) % 40, 50.0),
        lambda x: SensorScale.fit(x, np.arange(N) % 40, 50.0, np.arange(N) % 40 // 20),
    ],
    ids=["columns", "fit rows", "sensor scale", "in groups"],
)
def test_no_copy_of_all_rows_is_made(x, fit, monkeypatch):
    monkeypatch.setattr(columns, "ROWS", 256)
    monkeypatch.setattr(sensor_scale, "AT_ONCE", 1)
    assert held(lambda: fit(x)) < 1.2 * x.nbytes


def test_the_scatter_of_rows_that_may_be_overwritten_takes_no_other_copy():
    z = np.random.default_rng(1).standard_normal((20_000, 64))
    Scatter.fit(z[:200], winsorised(z[:200]))  # imports
    assert held(lambda: Scatter.fit(z, winsorised(z), overwrite=True)) < 0.9 * z.nbytes


def test_columns_in_float32_are_those_in_float64(x, monkeypatch):
    fitted, before = Columns.fit(x), columns.ROWS
    whole = fitted.apply(x).astype(np.float32)
    monkeypatch.setattr(columns, "ROWS", 256)
    assert before > N and np.array_equal(fitted.apply32(x), whole)
    assert held(lambda: fitted.apply32(x)) < 1.2 * x.nbytes
