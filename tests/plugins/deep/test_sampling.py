"""Minibatches and trimming."""

from __future__ import annotations

import numpy as np

from vibro_plugins.deep.sampling import Trimming, minibatches, nearest


def test_minibatches_drop_no_row_and_trimming_drops_the_worst():
    rows = np.arange(103)
    parts = minibatches(rows, 32, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(rows) and min(map(len, parts)) >= 25
    assert [len(part) for part in minibatches(rows[:7], 32, np.random.default_rng(0))] == [7]
    assert list(nearest(np.array([3.0, 1.0, 9.0, 2.0]), 0.25)) == [0, 1, 3]
    trimming = Trimming(np.array([5, 6, 7, 8]), 0.25, 2, 3)
    looks = [epoch for epoch in range(9) if trimming.update(epoch, lambda chosen: -chosen.astype(float))]
    assert looks == [2, 5, 8] and list(trimming.kept) == [6, 7, 8]
