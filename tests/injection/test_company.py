"""Altered records stand beside the companions of the record that they were made of."""

from __future__ import annotations

import numpy as np

from vibro.data import make_batch
from vibro.injection.altered import in_company


def test_each_record_gets_its_own_companions_and_all_its_copies_share_them():
    n, hour = 40, np.timedelta64(1, "h")
    time = np.datetime64("2026-01-01", "ns") + np.arange(n) // 4 * hour
    x = np.random.default_rng(0).standard_normal((n, 8))
    batch = make_batch(x, fs=1.0, sensor=[f"s{i % 4}" for i in range(n)], machine=["m"] * n, time=time)
    chosen = np.array([5, 6, 20, 5])  # two sensors of one instant, another instant, a second copy of the first
    copies = batch.take(chosen)
    joined, instant = in_company(batch, copies)
    assert joined.ids[:4].tolist() == batch.ids[chosen].tolist()
    assert instant[0] == instant[3] != instant[1]
    for i, row in enumerate(chosen):
        beside = np.flatnonzero((instant == instant[i]) & (np.arange(len(joined)) >= 4))
        expected = [j for j in range(row // 4 * 4, row // 4 * 4 + 4) if j != row]
        assert sorted(joined.ids[beside]) == sorted(batch.ids[expected])
        np.testing.assert_array_equal(np.sort(joined.x[beside], axis=0), np.sort(batch.x[expected], axis=0))


def test_a_record_without_a_time_has_no_companions():
    batch = make_batch(np.random.default_rng(0).standard_normal((8, 8)), fs=1.0, sensor=[f"s{i % 4}" for i in range(8)])
    joined, instant = in_company(batch, batch.take(np.arange(2)))
    assert len(joined) == 2 and instant.tolist() == [-1, -1]
