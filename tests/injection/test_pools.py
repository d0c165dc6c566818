"""Pools to pre-train on, and pairs of records with the same disturbance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vibro.injection.pools import LEAST, MOST, SHORTEST, disturb_pairs, draw_pools

from .signals import signals


def test_pools_differ_in_records_length_and_rate_and_follow_from_the_seed():
    batch = signals(n=400)
    pools = list(draw_pools(batch, 40, seed=1))
    assert len(pools) == 40
    assert all(LEAST <= len(pool) <= MOST and SHORTEST <= pool.length <= batch.length for pool in pools)
    assert len({pool.length for pool in pools}) > 10 and len({pool.fs for pool in pools}) > 1
    again = next(draw_pools(batch, 1, seed=1))
    assert np.array_equal(again.x, pools[0].x) and again.ids.tolist() == pools[0].ids.tolist()
    whole = dict(zip(batch.ids.tolist(), batch.x, strict=True))
    cut = next(pool for pool in pools if pool.fs == batch.fs)
    places = np.lib.stride_tricks.sliding_window_view(whole[cut.ids[0]][0], cut.length)
    assert (places == cut.x[0, 0]).all(axis=1).any()  # a record is cut, not changed


def test_too_few_records_make_no_pool():
    assert not list(draw_pools(signals(n=LEAST - 1), 3, seed=0))


def test_both_records_of_a_pair_have_the_same_disturbance_and_are_not_the_same():
    batch = signals(n=60)
    silent = replace(batch, x=np.zeros_like(batch.x) + batch.x[:1])  # all records alike: so are the copies of a pair
    one, other = disturb_pairs(silent, 80, seed=3)
    assert len(one.row) == len(other.row) > 60 and (one.row != other.row).all()
    assert np.array_equal(one.batch.x, other.batch.x)
    assert len(np.unique(one.batch.x, axis=0)) == len(one.row)  # each pair has another one
    zero = replace(batch, x=np.zeros_like(batch.x))
    assert not len(disturb_pairs(zero, 20, seed=0)[0].row)
