"""Statistics of the benchmark against known answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from vibro.api import Context
from vibro.benchmark import combos
from vibro.benchmark.combos import FuserSpec, fuse_subsets, subsets, weighted_means
from vibro.benchmark.grid import Thresholding, _cuts
from vibro.benchmark.statistics import FEWEST, LEVEL, friedman, paired_difference, pareto, shapley, sign_flip
from vibro.errors import ConfigError
from vibro_plugins.fusers.agreement import Agreement
from vibro_plugins.fusers.auto import Auto
from vibro_plugins.fusers.buckets import Aom, Max
from vibro_plugins.fusers.robust import Median, TrimmedMean
from vibro_plugins.fusers.weighted_mean import WeightedMean
from vibro_plugins.thresholders.quantile import Quantile


def test_paired_difference_sees_what_blocks_share():
    rng = np.random.default_rng(0)
    hard = [rng.random(5) for _ in range(8)]
    better = [block + 0.05 + 0.01 * rng.standard_normal(5) for block in hard]
    found = paired_difference(better, hard, rng)
    assert 0.04 < found.low < found.mean < found.high < 0.065
    assert found.p == 2 / 2**8
    assert paired_difference(hard, hard, rng).mean == 0
    noise = paired_difference([rng.random(5) for _ in range(8)], hard, rng)
    assert noise.low < 0 < noise.high


def test_nothing_is_certain_where_nothing_was_drawn_anew():
    rng = np.random.default_rng(0)
    one = paired_difference([np.array([0.9])], [np.array([0.4])], rng)
    alike = paired_difference([np.full(5, 0.9)], [np.full(5, 0.4)], rng)
    for found in (one, alike):
        assert found.mean == pytest.approx(0.5) and found.sets == 1
        assert np.isnan([found.low, found.high, found.p]).all()
    two = paired_difference([np.array([0.9, 0.8])], [np.array([0.4, 0.5])], rng)
    assert two.low == pytest.approx(0.3) and two.high == pytest.approx(0.5) and two.p >= 0.5


def test_the_p_value_is_the_share_of_sign_patterns_as_extreme():
    rng = np.random.default_rng(0)
    mixed = np.array([0.1, 0.2, 0.3, 0.4, 0.5, -0.1])  # as extreme: all +, and all + but one of the two 0.1; mirrored
    assert sign_flip(mixed, rng) == sign_flip(-mixed, rng) == 6 / 2**6
    assert sign_flip(np.zeros(3), rng) == 1
    assert sign_flip(np.ones(FEWEST), rng) < LEVEL <= sign_flip(np.ones(FEWEST - 1), rng)
    many = np.repeat([1.0, -1.0], [11, 2])
    assert sign_flip(many, rng) == pytest.approx(2 * (1 + 13 + 78) / 2**13, abs=0.008)
    sets = paired_difference([np.array([v - 1, v + 1]) for v in mixed], [np.zeros(2)] * 6, rng)
    draws = paired_difference([mixed], [np.zeros(6)], rng)
    assert sets.p == draws.p == 6 / 2**6


@pytest.mark.parametrize("draw", [np.random.Generator.standard_normal, lambda rng, size: rng.standard_t(3, size)])
def test_noise_is_seldom_a_difference(draw):
    rng = np.random.default_rng(1)
    for k in (6, 8):
        found = [sign_flip(values, rng) for values in draw(rng, (2000, k))]
        assert np.mean(np.array(found) < LEVEL) < 0.06
    for shape in ((6, 1), (8, 1), (1, 6)):  # data sets, draws of each
        zero = [np.zeros(shape[1])] * shape[0]
        found = [paired_difference(list(draw(rng, shape)), zero, rng) for _ in range(300)]
        assert np.mean([d.p < LEVEL for d in found]) < 0.065
        assert np.mean([d.low <= 0 <= d.high for d in found]) >= 0.92


def test_blocks_of_one_data_set_are_drawn_together():
    rng = np.random.default_rng(0)
    lift = {"a": 0.3, "b": -0.2, "c": 0.1}
    sets = [name for name in lift for _ in range(20)]
    a = [np.full(5, lift[name]) + 0.01 * rng.standard_normal(5) for name in sets]
    zero = [np.zeros(5)] * len(sets)
    together, apart = paired_difference(a, zero, rng, sets), paired_difference(a, zero, rng)
    assert together.mean == pytest.approx(apart.mean)
    assert (together.sets, apart.sets) == (3, 60)
    assert together.low < 0 < together.high and apart.low > 0 and together.p > 0.2
    uneven = paired_difference([np.ones(2)] * 9 + [np.zeros(2)], [np.zeros(2)] * 10, rng, ["a"] * 9 + ["b"])
    assert uneven.mean == 0.5


def test_missing_draws_are_left_out_pairwise():
    a, b = [np.array([1.0, np.nan, 3.0])], [np.array([0.0, 5.0, 2.0])]
    assert paired_difference(a, b, np.random.default_rng(0)).mean == 1.0
    assert np.isnan(paired_difference([np.array([np.nan])], [np.ones(1)], np.random.default_rng(0)).mean)


def test_friedman_agrees_with_scipy_and_nemenyi_with_the_table():
    rng = np.random.default_rng(1)
    values = rng.random((10, 4)) + np.array([0, 0.1, 0.5, 1.0])
    found = friedman(values, ["a", "b", "c", "d"])
    chi = friedmanchisquare(*values.T).statistic
    assert found.statistic == pytest.approx(9 * chi / (10 * 3 - chi))
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / 60), rel=1e-3)  # Demsar 2006, table 5
    assert found.ranks[3] == min(found.ranks)
    assert friedman(values[:1], list("abcd")) is None
    assert friedman(np.tile([3.0, 2, 1], (2, 1)), list("abc")).p == pytest.approx(1 / 6)  # two that rank alike


def test_cliques_hold_neighbours_only():
    values = np.array([[3.0, 2.9, 0.0, 0.1], [3.0, 3.1, 0.1, 0.0]] * 20)
    found = friedman(values, ["a", "b", "c", "d"])
    assert sorted(map(sorted, found.cliques)) == [["a", "b"], ["c", "d"]]


def test_shapley_of_known_games():
    worth = np.array([1.0, 2.0, 4.0])

    def additive(sets):
        return np.array([worth[list(s)].sum() for s in sets])

    assert shapley(3, additive, 0.0) == pytest.approx(worth)

    def glove(sets):  # one left glove (0), two right ones
        return np.array([float(0 in s and len(s) > 1) for s in sets])

    assert shapley(3, glove, 0.0) == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    many = shapley(14, lambda sets: np.array([len(set(s) & {0, 1}) > 0 for s in sets], float), 0.0)
    assert many.sum() == pytest.approx(1)
    assert many[:2] == pytest.approx([0.5, 0.5], abs=0.15) and not many[2:].any()


def test_pareto_keeps_the_cheapest_best():
    cost, gain = np.array([1, 2, 3, 3, 0.5]), np.array([0.5, 0.4, 0.9, 0.8, np.nan])
    assert list(pareto(cost, gain)) == [True, False, True, False, False]


def test_subsets_hold_the_whole_and_the_whole_without_one():
    assert len(subsets(12, "all")) == 4095
    assert subsets(3, "1") == [(0,), (1,), (2,), (0, 1, 2), (1, 2), (0, 2), (0, 1)]
    pairs = subsets(6, "pairs")
    assert len(pairs) == 6 + 15 + 1 + 6 == len(set(pairs))
    assert subsets(1, "pairs") == [(0,)]
    for wrong in ("some", "0", "-1", "²"):
        with pytest.raises(ConfigError):
            subsets(3, wrong)
    with pytest.raises(ConfigError, match="sets"):
        subsets(20, "all")


@pytest.mark.parametrize("cls", [Auto, Median, TrimmedMean, Max, WeightedMean, Agreement, Aom])
def test_fusing_many_sets_equals_fusing_each(cls, monkeypatch):
    rng = np.random.default_rng(2)
    z, reference = rng.standard_normal((60, 5)) + rng.standard_normal((60, 1)), rng.standard_normal((80, 5))
    z[:, 2] = np.round(z[:, 2])
    z[3, 1] = np.nan
    z[5] = np.nan
    reference[:, 4] = -reference[:, 0]
    monkeypatch.setattr(combos, "BLOCK", 7)
    sets = [(0, 1, 3), (0,), (0, 1, 3), (1, 4), *(s for k in (1, 2, 3, 5) for s in combinations(range(5), k))]
    ctx = Context(seed=4, names=tuple("abcde"))
    spec = FuserSpec(cls.name, cls, {})
    blocks = list(fuse_subsets(spec, ctx, z, reference, sets))
    assert [start for start, *_ in blocks] == list(range(0, len(sets), 7))
    assert_fused_as_one_by_one(spec, z, reference, sets)


def assert_fused_as_one_by_one(spec, z, reference, sets):
    ctx = Context(seed=4, names=tuple("abcdefgh"[: z.shape[1]]))
    blocks = list(fuse_subsets(spec, ctx, z, reference, sets))
    fused, held = (np.concatenate([block[i] for block in blocks]) for i in (1, 2))
    for i, members in enumerate(sets):
        names = tuple(ctx.names[j] for j in members)
        settings = {name: spec.params_for(names).weights for name in spec.settings}
        fuser = spec.cls.make(settings, replace(ctx.child(f"fuser:{spec.name}"), names=names))
        fuser.fit(reference[:, members])
        for source, found in ((z, fused), (reference, held)):
            cells = source[:, members]
            assert np.allclose(found[i], fuser.fuse(cells), equal_nan=True)


@pytest.mark.parametrize("last", [(3,), (2, 3)])
def test_the_scale_of_a_mean_is_not_guessed_from_a_set_with_one_live_member(last):
    rng = np.random.default_rng(5)
    z = np.abs(rng.standard_normal((50, 4)) + 3 * rng.standard_normal((50, 1))) * np.array([1, 4, 1, 9])
    z[:, 2] = 1.0  # constant: no weight
    for cls in (Auto, WeightedMean):
        sets = [(0, 1, 2, 3), (0, 1), (0, 3), (1, 3), last]
        assert_fused_as_one_by_one(FuserSpec(cls.name, cls, {}), z, z[::-1] + 0.1, sets)
        assert_fused_as_one_by_one(FuserSpec(cls.name, cls, {}), z, z[::-1] + 0.1, [(2, 3), (2,), (3,)])


class Top2(Median):
    """Its own rule, which equals the median of two members."""

    name = "top2"

    def fuse(self, z):
        return np.sort(np.where(np.isfinite(z), z, -np.inf), axis=1)[:, -2:].mean(axis=1)


class Even(Auto):
    """Learns other weights, but only for pairs."""

    name = "even"

    def fit(self, z, y=None, usefulness=None):
        super().fit(z, y, usefulness)
        if z.shape[1] == 2:
            self._weights = np.array([0.9, 0.1])


class Zeroed(WeightedMean):
    """Takes a missing cell as 0."""

    name = "zeroed"

    def fuse(self, z):
        return np.nan_to_num(z) @ self.weights()


class Reads(WeightedMean):
    """Has methods that are called like those of others and do something else."""

    name = "reads"

    def read(self, path):
        raise OSError(path)

    def settle(self, account):
        raise OSError(account)


@pytest.mark.parametrize("cls", [Top2, Even, Zeroed, Reads])
def test_a_fuser_that_inherits_a_quick_way_is_judged_as_itself(cls):
    rng = np.random.default_rng(6)
    z, reference = rng.standard_normal((2, 70, 4)) + rng.standard_normal((2, 70, 1))
    if cls is Zeroed:
        z[::5, 1] = np.nan
    sets = [s for k in range(2, 5) for s in combinations(range(4), k)]
    assert_fused_as_one_by_one(FuserSpec(cls.name, cls, {}), z, reference, sets)
    assert_fused_as_one_by_one(FuserSpec(cls.name, cls, {}), z, reference, sets[::-1])


def test_a_detector_of_weight_0_alone_counts_as_itself():
    rng = np.random.default_rng(7)
    z, reference = rng.standard_normal((2, 30, 3))
    spec = FuserSpec("weighted_mean", WeightedMean, {"weights": {"a": 0, "b": 1, "c": 3}})
    sets = subsets(3, "pairs")
    assert_fused_as_one_by_one(spec, z, reference, sets)
    _, fused, _ = next(fuse_subsets(spec, Context(names=tuple("abc")), z, reference, sets))
    assert np.allclose(fused[sets.index((0,))], z[:, 0])
    assert np.allclose(fused[sets.index((0, 1))], z[:, 1])
    assert np.allclose(fused[sets.index((0, 1, 2))], z @ [0, 0.25, 0.75])


def test_one_study_serves_every_subset_of_auto():
    rng = np.random.default_rng(3)
    reference = np.round(rng.standard_normal((90, 7)) + 2 * rng.random((90, 1)), 1)  # with ties
    reference[:, 4] = -reference[:, 0]
    reference[:, 5] = reference[:, 3] + 0.01 * reference[:, 2]  # a clone
    reference[:, 6] = 1.0
    sets = [s for k in range(1, 8) for s in combinations(range(7), k)]
    members = np.array([[j in s for j in range(7)] for s in sets])
    for holes in (False, True):
        if holes:
            reference[40:, 2] = np.nan
        auto = Auto.make({}, Context(names=tuple("abcdefg")))
        weights = auto.weigh_sets(auto.study(reference), members)
        assert not weights[~members].any()
        for row, columns in zip(weights, sets, strict=True):
            alone = Auto.make({}, Context(names=tuple("abcdefg"[j] for j in columns)))
            alone.fit(reference[:, columns])
            np.testing.assert_allclose(row[list(columns)], alone.weights(), atol=1e-12)


def test_cuts_of_many_references_equal_those_of_each():
    rng = np.random.default_rng(4)
    held = rng.gamma(2.0, size=(40, 300))
    held[::3, :30] += rng.uniform(0, 20, (14, 1))  # faults
    held[1::3] = np.round(held[1::3])
    held[4] = 2.0
    held[5, ::7] = np.nan
    held[6] = np.nan
    cut = Thresholding("quantile", Quantile.make({}, Context()), 0.02)
    for row, level in zip(held, _cuts(cut, held), strict=True):
        known = row[np.isfinite(row)]
        assert level == pytest.approx(cut.thresholder.cut(known, 0.02) if len(known) else np.nan, nan_ok=True)
    assert np.isnan(_cuts(cut, held[:, :0])).all()


def test_weighted_means_skip_missing_cells():
    z = np.array([[1.0, 3.0], [np.nan, 5.0], [np.nan, np.nan]])
    assert np.allclose(
        weighted_means(z, np.array([[1.0, 1.0], [1.0, 0.0]])), [[2, 5, np.nan], [1, np.nan, np.nan]], equal_nan=True
    )
