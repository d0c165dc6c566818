"""Groups of like sensors: kinds that lie clearly apart are found, parts of one kind are not."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.scoring import like_sensors
from vibro.scoring.like_sensors import LEAST, find_groups

BANDS = 24


def kinds(rng, *sizes: int, apart: float = 3.0):
    """Levels of sensors of several kinds, (sum of sizes, bands), each band of a kind ``apart`` deviations off, up or down."""
    return np.concatenate([rng.standard_normal((n, BANDS)) + apart * rng.choice([-1, 1], BANDS) for n in sizes])


def alone(levels):
    return np.arange(len(levels))


def test_kinds_are_found_and_the_order_of_the_sensors_decides_nothing_but_their_numbers():
    rng = np.random.default_rng(0)
    levels, kind = kinds(rng, 20, 9, 12), np.repeat([0, 1, 2], [20, 9, 12])
    assert find_groups(levels, alone(levels)).tolist() == kind.tolist()
    order = rng.permutation(len(levels))
    found = find_groups(levels[order], alone(levels))
    assert [len(set(found[kind[order] == k])) for k in range(3)] == [1, 1, 1] and len(set(found)) == 3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "cloud",
    [
        lambda rng, n: rng.standard_normal((n, BANDS)),
        lambda rng, n: rng.standard_t(2, (n, BANDS)),
        lambda rng, n: rng.uniform(0, 9, (n, 1)) + 0.1 * rng.standard_normal((n, BANDS)),  # a level of its own each
        lambda rng, n: rng.lognormal(0, 1, (n, 1)) + 0.1 * rng.standard_normal((n, BANDS)),
        lambda rng, n: rng.standard_normal((n, 2)) @ rng.standard_normal((2, BANDS)),
    ],
    ids=["round", "far out", "level", "skewed level", "two directions"],
)
def test_sensors_of_one_kind_are_not_parted(cloud, seed):
    rng = np.random.default_rng(seed)
    for n in (16, 40, 120):
        levels = cloud(rng, n)
        assert find_groups(levels, alone(levels)) is None


@pytest.mark.parametrize("seed", range(4))
def test_machines_of_several_sensors_are_no_kinds(seed):
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(20), 5)
    levels = rng.standard_normal((20, BANDS))[machine] + 0.2 * rng.standard_normal((100, BANDS))
    assert find_groups(levels, machine) is None


def test_what_sets_few_machines_apart_may_be_a_fault():
    levels = kinds(np.random.default_rng(0), 40, LEAST)
    assert find_groups(levels, alone(levels)) is not None
    on_few = np.r_[np.arange(40), np.repeat([40, 41], LEAST // 2)]
    assert find_groups(levels, on_few) is None


def test_an_odd_sensor_is_in_no_group():
    levels = np.concatenate([kinds(np.random.default_rng(1), 15, 15), np.full((1, BANDS), -30.0)])
    assert find_groups(levels, alone(levels)).tolist() == [0] * 15 + [1] * 15 + [-1]


def test_of_very_many_sensors_some_are_parted_and_the_others_follow(monkeypatch):
    levels = kinds(np.random.default_rng(2), 90, 60)
    whole = find_groups(levels, alone(levels))
    monkeypatch.setattr(like_sensors, "MOST", 40)
    assert find_groups(levels, alone(levels)).tolist() == whole.tolist() == [0] * 90 + [1] * 60
