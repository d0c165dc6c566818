"""Fusers: formulae against slow references, and planted inverted, dead and cloned members."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from vibro.api import ConfigError, Context, NotFittedError
from vibro_plugins.fusers import agreement, auditioned, auto, buckets, pvalues, robust, stacked, weighted_mean

FUSERS = (
    auto.Auto,
    weighted_mean.WeightedMean,
    robust.Median,
    robust.TrimmedMean,
    buckets.Max,
    buckets.Aom,
    agreement.Agreement,
    agreement.Spectral,
    pvalues.Stouffer,
    pvalues.Cauchy,
    stacked.Stack,
    auditioned.Auditioned,
)
NAN = np.nan


def make(cls, names, **settings):
    return cls.make(settings, Context(seed=3, names=tuple(names)))


def fitted(cls, z, y=None, names=None, **settings):
    fuser = make(cls, names or [f"m{j}" for j in range(z.shape[1])], **settings)
    fuser.fit(z, y)
    return fuser


def table(n=600, d=5, share=0.05, seed=0, noise=1.0):
    """z of d members that see the same faults through their own noise, and the truth."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) < share * n).astype(np.int16)
    rng.shuffle(y)
    z = 0.5 * rng.normal(size=(n, 1)) + noise * rng.normal(size=(n, d)) + y[:, None] * rng.uniform(2.0, 6.0, (n, 1))
    return z, y


def precision(y, score):
    hit = y[np.argsort(-score, kind="stable")] > 0
    return float(np.mean((np.cumsum(hit) / np.arange(1, len(y) + 1))[hit]))


def fuse(fuser, z):
    return fuser.fuse(z)


# --- formulae ---------------------------------------------------------------------------------------------------------


def test_linear_and_order_rules_equal_a_slow_reference():
    rng = np.random.default_rng(1)
    z, ok = rng.normal(size=(300, 5)), rng.random((300, 5)) < 0.7
    ok[:4] = False
    w = np.array([0.1, 0.2, 0.0, 0.3, 0.4])
    mean = make(weighted_mean.WeightedMean, "abcde", weights=dict(zip("abcde", w, strict=True)))
    mean.fit(z)
    slow = {
        mean: lambda v, k: np.sum(v * w[k]) / w[k].sum() if w[k].sum() else NAN,
        fitted(robust.Median, z): lambda v, k: np.median(v),
        fitted(robust.TrimmedMean, z, trim=0.2): lambda v, k: np.mean(np.sort(v)[len(v) // 5 : len(v) - len(v) // 5]),
        fitted(buckets.Max, z): lambda v, k: v.max(),
    }
    for fuser, rule in slow.items():
        expected = [rule(row[k], k) if k.any() else NAN for row, k in zip(z, ok, strict=True)]
        np.testing.assert_allclose(fuser.fuse(np.where(ok, z, NAN)), expected, atol=1e-12, err_msg=fuser.name)


def test_aom_is_the_mean_of_bucket_maxima():
    z, _ = table(50, 7)
    z[3, :4] = NAN
    fuser = fitted(buckets.Aom, z, size=3, deals=2)
    deals = fuser.state()["bucket"]
    assert deals.shape == (2, 7) and all(sorted(np.bincount(deal)) == [1, 3, 3] for deal in deals)
    for row in (0, 3):
        largest = [np.nanmax(z[row, d == b]) for d in deals for b in range(3) if np.isfinite(z[row, d == b]).any()]
        assert fuse(fuser, z)[row] == pytest.approx(np.mean(largest))


def test_agreement_and_spectral_find_the_better_members():
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=3_000)
    strength = np.array([0.9, 0.7, 0.5, 0.3])
    z = strength * hidden[:, None] + np.sqrt(1 - strength**2) * rng.normal(size=(3_000, 4))
    for cls in (agreement.Agreement, agreement.Spectral):
        weights = fitted(cls, z).weights()
        assert (np.diff(weights) < 0).all() and weights.sum() == pytest.approx(1.0)
    # the off-diagonal correlations are v_j v_l with v_j = strength_j: the eigenvector recovers it
    weights = fitted(agreement.Spectral, z).weights()
    np.testing.assert_allclose(weights / weights[0], strength / strength[0], atol=0.06)


def test_stouffer_of_independent_members_is_standard_normal_and_of_copies_is_one_of_them():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(4_000, 6))
    fused = fuse(fitted(pvalues.Stouffer, z), rng.normal(size=(4_000, 6)))
    assert abs(fused.mean()) < 0.06 and abs(fused.std() - 1) < 0.06
    copies = np.repeat(z[:, :1], 6, axis=1)
    assert abs(fuse(fitted(pvalues.Stouffer, copies), copies).std() - 1) < 0.06


def test_stouffer_scales_a_row_by_the_members_it_has():
    rng = np.random.default_rng(4)
    z = rng.normal(size=(2_000, 3))
    fuser = fitted(pvalues.Stouffer, z)
    part = z.copy()
    part[:, 1:] = NAN
    alone = fitted(pvalues.Stouffer, z[:, :1])
    np.testing.assert_allclose(fuse(fuser, part), fuse(alone, z[:, :1]), atol=1e-12)


def test_cauchy_equals_its_formula_and_one_inverted_member_cannot_silence_it():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(2_000, 3))
    fuser = fitted(pvalues.Cauchy, z)
    row = np.array([[2.0, 1.0, 0.2]])
    p = np.array([min(fuser.p_value(row[:, j], j)[0], 0.5) for j in range(3)])
    t = np.mean(np.tan((0.5 - p) * np.pi))
    assert fuse(fuser, row)[0] == pytest.approx(-np.log(0.5 - np.arctan(t) / np.pi))
    against = np.array([[3.0, 3.0, -8.0]])
    assert fuse(fuser, against)[0] > np.quantile(fuse(fuser, z), 0.98)


def test_p_values_match_the_normal_and_stay_ordered_beyond_the_reference():
    z = np.random.default_rng(6).normal(size=(20_000, 1))
    fuser = fitted(pvalues.Cauchy, z)
    probe = np.array([-1.0, 0.0, 1.0, 2.0, 2.5])
    exact = [1 - NormalDist().cdf(v) for v in probe]
    np.testing.assert_allclose(fuser.p_value(probe, 0), exact, rtol=0.25)
    far = fuser.p_value(np.array([5.0, 10.0, 20.0, 30.0]), 0)
    assert (np.diff(far) < 0).all() and (far > 0).all()


# --- auto -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_auto_names_a_planted_inverted_dead_and_cloned_member_and_hardly_suffers(seed):
    z, y = table(1_000, 5, seed=seed)
    clean = precision(y, fuse(fitted(auto.Auto, z), z))
    rng = np.random.default_rng(seed)
    bad = np.column_stack([z, -z[:, 0] + 0.3 * rng.normal(size=1_000), np.full(1_000, 2.0), z[:, 1] * 1.7 + 0.4])
    names = ["a", "b", "c", "d", "e", "upside_down", "stone", "echo"]
    fuser = fitted(auto.Auto, bad, names=names)
    weights = dict(zip(names, fuser.weights(), strict=True))
    assert weights["upside_down"] == weights["stone"] == 0
    assert 0.4 < (weights["b"] + weights["echo"]) / fitted(auto.Auto, z).weights()[1] < 1.6
    told = {note.split()[0]: note for note in fuser.notes()}
    assert set(told) == {"upside_down", "stone", "b", "echo"}
    assert "inverted" in told["upside_down"] and "dead" in told["stone"] and "share one prior weight" in told["echo"]
    assert precision(y, fuse(fuser, bad)) > clean - 0.01


@pytest.mark.parametrize("seed", range(5))
def test_auto_says_nothing_against_sound_members(seed):
    z, _ = table(400, 6, seed=seed)
    assert fitted(auto.Auto, z).notes() == []


def test_auto_prefers_the_members_that_see_the_fault():
    z, y = table(2_000, 3, seed=7)
    blind = np.random.default_rng(8).normal(size=(2_000, 3)) + 0.3 * z[:, :1]
    mixed = np.column_stack([z, blind])
    fuser = fitted(auto.Auto, mixed)
    weights = fuser.weights()
    assert weights[:3].min() > 3 * weights[3:].max()
    assert precision(y, fuse(fuser, mixed)) > precision(y, mixed.mean(axis=1)) + 0.01


def test_auto_leaves_out_members_that_find_little_of_what_the_others_find():
    z, _ = table(2_000, 3, seed=7)
    noise = np.random.default_rng(8).normal(size=(2_000, 2))
    mixed = np.column_stack([z, noise])
    names = ["a", "b", "c", "noise", "more_noise"]
    fuser = fitted(auto.Auto, mixed, names=names)
    assert fuser.weights()[:3].min() > 0 and not fuser.weights()[3:].any()
    assert [note.split()[0] for note in fuser.notes()] == names[3:]
    kept = make(auto.Auto, names, least=0.0)
    kept.fit(mixed)
    assert kept.weights()[3:].min() > 0


def test_auto_keeps_the_prior_weights_where_there_is_no_tail_to_agree_on():
    z = np.random.default_rng(3).multivariate_normal(np.zeros(4), 0.5 * np.eye(4) + 0.5, 2_000)
    z[:, 3] = z[:, 0] + 0.5 * np.random.default_rng(4).normal(size=2_000)  # these two share their noise, no fault
    np.testing.assert_allclose(fitted(auto.Auto, z).weights(), 0.25, atol=0.03)
    z[:100] += 6.0
    assert np.ptp(fitted(auto.Auto, z).weights()) > 0.1


@pytest.mark.parametrize(("faulty", "seeing"), [(0.05, 3), (0.01, 3), (0.02, 5)])
def test_auto_follows_few_members_that_see_few_faults(faulty, seeing):
    rng = np.random.default_rng(3)
    y = (np.arange(2_000) < faulty * 2_000).astype(np.int16)
    z = rng.normal(size=(2_000, 10))
    z[:, :seeing] += 3.5 * y[:, None]
    fuser = fitted(auto.Auto, z)
    assert fuser.weights()[:seeing].sum() > 0.9
    assert precision(y, fuse(fuser, z)) > 0.98


def test_auto_divides_a_member_by_how_far_its_sound_records_reach_up():
    z, y = table(2_000, 3, seed=5)
    skewed = z.copy()
    skewed[:, 2] = np.where(z[:, 2] > 0, 8.0 * z[:, 2], z[:, 2])
    fuser, plain = fitted(auto.Auto, skewed), fitted(auto.Auto, z)
    np.testing.assert_allclose(fuser.reach() / plain.reach(), [1, 1, 8], rtol=0.15)
    np.testing.assert_allclose(fuser.weights(), plain.weights(), atol=0.02)
    assert abs(precision(y, fuse(fuser, skewed)) - precision(y, fuse(plain, z))) < 0.01


def test_prior_weights_count_until_the_tails_decide():
    rng = np.random.default_rng(0)
    names, prior = ("a", "b", "c"), {"b": 0.25, "elsewhere": 9.0}
    few, many = (make(auto.Auto, names, prior_weights=prior) for _ in range(2))
    few.fit(rng.standard_normal((8, 3)) + rng.standard_normal((8, 1)))
    assert few.weights()[1] < 0.5 * min(few.weights()[[0, 2]])
    z = rng.standard_normal((2000, 3))
    z[:200, 1:] += 4.0
    many.fit(z)
    assert many.weights()[1] > 2 * many.weights()[0]


def test_auto_of_two_members_that_contradict_each_other_takes_no_side():
    z, _ = table(300, 1, seed=9)
    fuser = fitted(auto.Auto, np.column_stack([z, -z]), names=["up", "down"])
    np.testing.assert_allclose(fuser.weights(), 0.5)
    assert all("contradicts" in note for note in fuser.notes()) and len(fuser.notes()) == 2


def test_auto_learns_from_members_with_few_held_out_rows():
    z, _ = table(1_000, 5, seed=10)
    holes = z.copy()
    holes[200:, 3:] = NAN
    weights = fitted(auto.Auto, holes).weights()
    assert (weights > 0).all() and weights[3:].sum() > 0.05


# --- auditioned -------------------------------------------------------------------------------------------------------


def test_auditioned_counts_a_member_that_could_not_be_tried_like_the_mean_of_the_others():
    z = np.random.default_rng(0).normal(size=(300, 4))
    fuser = make(auditioned.Auditioned, list("abcd"))
    fuser.fit(z, None, np.array([0.6, 0.2, np.nan, 0.0]))
    np.testing.assert_allclose(fuser.weights(), np.array([0.36, 0.04, 0.16, 0.0]) / 0.56)
    assert fuser.notes() == [
        "d detects no injected fault: constant, inverted or blind; weight 0",
        "c could not be tried on injected faults: it counts like the mean of the others",
    ]


def test_auditioned_weighs_by_what_was_caught_and_names_the_deaf():
    z, y = table(1_000, 3, seed=12)
    bad = np.column_stack([z, -z[:, 0], np.zeros(1_000)])
    fuser = make(auditioned.Auditioned, ["a", "b", "c", "upside_down", "stone"])
    fuser.fit(bad, None, np.array([0.6, 0.3, 0.3, 0.0, 0.4]))
    np.testing.assert_allclose(fuser.weights(), [2 / 3, 1 / 6, 1 / 6, 0.0, 0.0])
    assert [note.split()[0] for note in fuser.notes()] == ["upside_down", "stone"]
    assert precision(y, fuse(fuser, bad)) > precision(y, bad.mean(axis=1))
    fuser.fit(bad, None, np.zeros(5))
    np.testing.assert_allclose(fuser.weights(), [0.25, 0.25, 0.25, 0.25, 0.0])
    assert "weights are equal" in fuser.notes()[0]


# --- stack, weighted_mean ---------------------------------------------------------------------------------------------


def test_stack_goes_from_the_mean_to_the_useful_member_as_labels_come():
    rng = np.random.default_rng(11)
    y = (rng.random(1_000) < 0.2).astype(np.int16)
    z = rng.normal(size=(1_000, 3))
    z[:, 0] += 3.0 * y
    shown = []
    for labels in (0, 5, 100, 1_000):
        known = np.where(np.arange(1_000) < labels, y, -1).astype(np.int16)
        shown.append(fitted(stacked.Stack, z, known).weights()[0])
    assert shown[0] == pytest.approx(1 / 3)
    assert shown[0] <= shown[1] < 0.55 and shown[1] < shown[2] < shown[3] and shown[3] > 0.8


def test_stack_gives_an_inverted_member_no_positive_say_with_many_labels():
    z, y = table(2_000, 3, share=0.3, seed=12)
    weights = fitted(stacked.Stack, np.column_stack([z, -z[:, 0]]), y).weights()
    assert weights[3] < 0.02 and (weights >= 0).all()


@pytest.mark.parametrize("label", [0, 1])
def test_stack_with_one_class_of_labels_is_the_mean_and_says_so(label):
    z, _ = table(100, 4)
    fuser = fitted(stacked.Stack, z, np.full(100, label, np.int16))
    np.testing.assert_allclose(fuser.weights(), 0.25)
    assert "both classes" in fuser.notes()[0]


def test_weighted_mean_refuses_missing_negative_and_zero_weights():
    z, _ = table(20, 2)
    with pytest.raises(ConfigError, match="no weight for b"):
        fitted(weighted_mean.WeightedMean, z, names="ab", weights={"a": 1.0})
    with pytest.raises(ConfigError, match="greater than or equal to 0"):
        make(weighted_mean.WeightedMean, "ab", weights={"a": -1.0, "b": 1.0})
    with pytest.raises(ConfigError, match="above 0"):
        fitted(weighted_mean.WeightedMean, z, names="ab", weights={"a": 0.0, "b": 0.0})
    fuser = fitted(weighted_mean.WeightedMean, z, names="ab", weights={"a": 0.6, "b": 0.4, "gone": 1.0})
    np.testing.assert_allclose(fuser.weights(), [0.6, 0.4])
    assert "gone" in fuser.notes()[0]


# --- all --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", FUSERS, ids=lambda cls: cls.name)
def test_every_fuser_survives_odd_tables(cls):
    z, y = table(60, 4)
    odd = {
        "one detector": z[:, :1],
        "one row": z[:1],
        "two rows": z[:2],
        "all equal": np.full((60, 4), 3.0),
        "ties": np.round(z),
        "a dead member": np.column_stack([z[:, :3], np.zeros(60)]),
        "a missing member": np.column_stack([z[:, :3], np.full(60, NAN)]),
        "clipped": np.clip(z * 50, -5, 30),
    }
    for name, given in odd.items():
        fuser = fitted(cls, given, y[: len(given)])
        fused = fuse(fuser, given)
        assert fused.shape == (len(given),) and np.isfinite(fused).all(), name
        weights = fuser.weights()
        assert weights is None or (weights.min() >= 0 and weights.sum() == pytest.approx(1.0)), name


@pytest.mark.parametrize("cls", FUSERS, ids=lambda cls: cls.name)
def test_one_member_alone_keeps_its_order(cls):
    z, y = table(200, 1)
    fused = fuse(fitted(cls, z, y), z)
    assert (np.diff(fused[np.argsort(z[:, 0])]) >= -1e-12).all()


@pytest.mark.parametrize("cls", FUSERS, ids=lambda cls: cls.name)
def test_state_round_trip_and_rows_alone(cls):
    z, y = table(20_000, 4, seed=13)
    z[::5, 1] = NAN
    fuser = fitted(cls, z, y)
    whole = fuse(fuser, z)
    back = make(cls, [f"m{j}" for j in range(4)])
    back.load_state({name: np.array(value) for name, value in fuser.state().items()})
    if cls.fit is not weighted_mean.Fuser.fit:
        with pytest.raises(NotFittedError):
            fuse(make(cls, "abcd"), z)
    for i in (0, 1, 8_192, 19_999):
        alone = fuse(back, z[i : i + 1])
        assert np.array_equal(alone, whole[i : i + 1])


def test_fusers_agree_on_what_no_member_doubts():
    z, _ = table(300, 4, seed=14)
    z[7] = 25.0
    for cls in FUSERS:
        assert np.argmax(fuse(fitted(cls, z), z)) == 7, cls.name


@pytest.mark.parametrize("d", [1, 2, 3, 6, 12, 33])
def test_order_statistics_equal_those_of_a_plain_sort(d):
    rng = np.random.default_rng(d)
    z = rng.integers(-3, 4, (400, d)).astype(np.float64)
    ok = rng.random(z.shape) < 0.8
    cells = np.where(ok, z, NAN)
    found = fitted(robust.Median, z).fuse(cells)
    some = ok.any(axis=1)
    assert np.array_equal(found[some], np.nanmedian(cells[some], axis=1)) and np.isnan(found[~some]).all()
    trimmed = fitted(robust.TrimmedMean, z).fuse(z)
    drop = int(0.2 * d)
    assert trimmed == pytest.approx(np.sort(z, axis=1)[:, drop : d - drop].mean(axis=1))


# --- members that nobody else can judge -------------------------------------------------------------------------------


def test_a_member_that_sees_what_no_other_does_counts_as_much_as_all_others_together():
    z, y = table(600, 4, seed=5)
    alone = np.random.default_rng(6).normal(size=600)
    hidden = np.flatnonzero(y == 0)[:12]
    alone[hidden] += 12
    both = np.c_[z, alone]
    plain, told = fitted(auto.Auto, both), fitted(auto.Auto, both, independent=("m4", "absent"))
    assert plain.weights()[4] < 0.02  # agreement makes nothing of it
    assert told.weights()[4] == 0.5 and told.weights().sum() == pytest.approx(1)
    np.testing.assert_allclose(told.weights()[:4], fitted(auto.Auto, z).weights() / 2)
    normal = np.flatnonzero(y == 0)
    found = [precision(np.isin(normal, hidden), fuser.fuse(both)[normal]) for fuser in (told, plain)]
    assert found[0] > 0.9 and found[1] < 0.2


def test_independent_members_among_themselves_dead_and_alone():
    z, _ = table(300, 3)
    assert fitted(auto.Auto, z, independent=("m0", "m1")).weights().tolist() == pytest.approx([1 / 3] * 3)
    assert fitted(auto.Auto, z[:, :1], independent=("m0",)).weights().tolist() == [1.0]
    z[:, 2] = 1.0
    dead = fitted(auto.Auto, z, independent=("m2",))
    assert dead.weights()[2] == 0 and any("m2 is dead" in note for note in dead.notes())


def test_sets_of_members_are_weighed_as_their_columns_alone():
    z, _ = table(300, 4)
    names = [f"m{j}" for j in range(4)]
    fuser = make(auto.Auto, names, independent=("m3",))
    sets = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [0, 0, 0, 1], [1, 1, 1, 0]], bool)
    weights = fuser.weigh_sets(fuser.study(z), sets)
    for row, members in zip(weights, sets, strict=True):
        some = [n for n, m in zip(names, members, strict=True) if m]
        np.testing.assert_allclose(
            row[members], fitted(auto.Auto, z[:, members], names=some, independent=("m3",)).weights()
        )
