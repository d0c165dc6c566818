"""Rows that are held out of a training."""

from __future__ import annotations

import numpy as np

from vibro.api import Context
from vibro_plugins.deep.detector import split


def test_rows_of_a_group_are_held_out_together():
    def parts(groups):
        held, rows = split(200, Context(groups=groups), np.random.default_rng(0))
        assert sorted([*held, *rows]) == list(range(200))
        return held, rows

    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(20), 10))
    held, rows = parts(groups)
    assert len(held) == 30 and not set(groups[held]) & set(groups[rows])
    groups = np.repeat(np.arange(17), [12] * 16 + [8])  # two of which would be a tenth
    assert len(np.unique(groups[parts(groups)[0]])) == 3
    few = np.repeat(np.arange(12), [36] * 5 + [4] * 5 + [0, 0])  # the small ones alone might be the faults
    single = [parts(groups)[0].tolist() for groups in (None, few)]
    assert single[0] == single[1] and len(single[0]) == 20
