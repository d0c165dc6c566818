"""Thresholders: promised rates on fresh data, known tails, skewed scores, degenerate references (traps T21, T22, T23)."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from vibro.api import ConfigError, Context, NotApplicableError
from vibro_plugins.thresholders import auto, conformal, labelled, mad, mixture, pot, pythresh_cut, quantile
from vibro_plugins.thresholders import normal_body as _cuts

UNLABELLED = (auto.Auto, quantile.Quantile, mad.Mad, pot.Pot, pot.Spot, conformal.Conformal, mixture.Mixture)
PROMISING = (auto.Auto, quantile.Quantile, pot.Pot, conformal.Conformal)
FAMILIES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "log-normal": lambda rng, n: np.exp(0.5 * rng.normal(size=n)),
    "chi2(8)": lambda rng, n: rng.chisquare(8, size=n),
    "Pareto 1/4": lambda rng, n: rng.uniform(size=n) ** -0.25,
}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch, request):
    """The bootstrap costs most of the time; only the tests of intervals run all of it."""
    if "interval" not in request.node.name:
        monkeypatch.setattr(pot, "DRAWS", 1)
        monkeypatch.setattr(mixture, "DRAWS", 2)


def make(cls, **settings):
    return cls.make(settings, Context(seed=5))


def name_of(cls):
    return cls.name


def realised(cls, draw, budget, n=1_500, repeats=15, **settings):
    """Mean share of fresh normal scores over the cuts of several references."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(repeats):
        cut = make(cls, **settings).cut(draw(rng, n), budget)
        shares.append(
            np.mean(FAMILIES["exponential"](rng, 8_000) > cut) if draw is dirty else np.mean(draw(rng, 8_000) > cut)
        )
    return float(np.mean(shares))


def dirty(rng, n):
    """Exponential normals and 8 % of scores far out."""
    scores = rng.exponential(size=n)
    scores[: round(0.08 * n)] = rng.uniform(20.0, 40.0, round(0.08 * n))
    return rng.permutation(scores)


# --- promised rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0.01, 0.05])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cls", PROMISING, ids=name_of)
def test_false_alarms_on_fresh_clean_scores_are_near_the_budget(cls, family, budget):
    assert 0.7 * budget < realised(cls, FAMILIES[family], budget) < 1.3 * budget


@pytest.mark.parametrize("budget", [0.02, 0.05])
@pytest.mark.parametrize("cls", PROMISING, ids=name_of)
def test_false_alarms_stay_within_a_factor_of_two_when_the_reference_holds_faults(cls, budget):
    assert 0.5 * budget < realised(cls, dirty, budget) < 2.0 * budget


def test_setting_nothing_aside_gives_the_budget_to_the_faults():
    assert realised(quantile.Quantile, dirty, 0.05, benign=1.0) == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_set_aside_from_clean_scores(family):
    rng = np.random.default_rng(1)
    for n in (100, 1_000, 20_000):
        shares = [_cuts.without_far_out(np.sort(FAMILIES[family](rng, n)))[1] for _ in range(20)]
        assert np.mean(shares) < (0.01 if n == 100 else 0.001)


def test_conformal_never_promises_too_much():
    rng = np.random.default_rng(2)
    over = []
    for _ in range(300):
        scores = rng.normal(size=130)
        cut = make(conformal.Conformal).cut(scores[:99], 0.05)
        over.append(np.mean(scores[99:] > cut))
    assert np.mean(over) <= 0.05 + 3 * np.std(over) / np.sqrt(300)


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_conformal_keeps_the_rate_of_false_discoveries(rate):
    rng = np.random.default_rng(3)
    false, power = [], []
    for _ in range(30):

        def pool():
            y = rng.random(3_000) < 0.1
            return np.where(y, rng.normal(4.0, 1.0, 3_000), rng.normal(size=3_000)), y

        cut = make(conformal.Conformal, control="discoveries", benign=0.0).cut(pool()[0], rate)
        scores, y = pool()
        flagged = scores > cut
        false.append(np.sum(flagged & ~y) / max(flagged.sum(), 1))
        power.append(np.mean(flagged[y]))
    assert np.mean(false) <= rate and np.mean(power) > 0.7


def test_conformal_calls_no_benign_extreme_a_discovery():
    rng, false = np.random.default_rng(18), []
    for _ in range(30):

        def pool():
            far = rng.random(2_000) < 0.08  # half of them rare benign states
            return np.where(far, rng.uniform(8.0, 20.0, 2_000), rng.normal(size=2_000)), far & (rng.random(2_000) < 0.5)

        cut = make(conformal.Conformal, control="discoveries", benign=0.04).cut(pool()[0], 0.2)
        scores, y = pool()
        flagged = scores > cut
        false.append(np.sum(flagged & ~y) / max(flagged.sum(), 1))
    assert np.mean(false) <= 0.2


def test_conformal_makes_no_discovery_where_there_is_none():
    scores = np.random.default_rng(4).normal(size=500)
    thresholder = make(conformal.Conformal, control="discoveries")
    assert thresholder.cut(scores, 0.05) >= np.sort(scores)[-3]


# --- tails ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "exact"),
    [
        (lambda rng: rng.exponential(size=2_000), lambda q: -np.log(q)),
        (lambda rng: rng.uniform(size=2_000) ** -0.25, lambda q: q**-0.25),
        (lambda rng: rng.uniform(size=2_000), lambda q: 1 - q),
    ],
    ids=["exponential", "Pareto", "uniform"],
)
def test_trap_22_pot_finds_known_quantiles(draw, exact):
    rng = np.random.default_rng(5)
    budgets = np.array([0.01, 0.001])
    error = np.array(
        [[make(pot.Pot).cut(scores, b) / exact(b) - 1 for b in budgets] for scores in (draw(rng) for _ in range(40))]
    )
    assert (np.abs(error.mean(axis=0)) < 0.05).all()
    assert (np.median(np.abs(error), axis=0) < [0.08, 0.15]).all()


def test_pot_says_when_it_falls_back_and_gives_an_interval_when_it_does_not():
    rng = np.random.default_rng(7)
    thresholder = make(pot.Pot)
    few = rng.exponential(size=120)
    assert thresholder.cut(few, 0.02) == pytest.approx(_cuts.upper_quantile(np.sort(few), 0.02))
    assert "too few for a tail" in thresholder.details()["fallback"]
    cut = thresholder.cut(rng.exponential(size=2_000), 0.001)
    low, high = thresholder.details()["interval"]
    assert thresholder.details()["fallback"] is None and low < cut < high and low < -np.log(0.001) < high


def test_pot_takes_the_quantile_where_rare_benign_states_make_a_tail_of_two_parts():
    rng = np.random.default_rng(17)
    scores = np.concatenate([rng.normal(size=1_940), rng.uniform(5.0, 25.0, 60)])
    thresholder = make(pot.Pot, benign=0.04)  # the user knows them to be no faults
    share = [np.mean(scores > thresholder.cut(scores, budget)) for budget in (0.01, 0.05)]
    assert share == pytest.approx([0.01, 0.05], rel=0.3)


def test_spot_on_an_exponential_tail_is_not_thrown_off_by_the_sign_of_its_likelihood():
    rng = np.random.default_rng(8)
    spots = [pot.Spot.make({}, Context(seed=seed)) for seed in range(12)]
    cuts = [spot.cut(5.0 * rng.exponential(size=4_000), 0.001) for spot in spots]
    assert np.mean(cuts) == pytest.approx(-5.0 * np.log(0.001), rel=0.08)


def test_spot_does_not_learn_its_alarms():
    rng = np.random.default_rng(9)
    scores = rng.exponential(size=4_000)
    scores[:80] = 40.0
    thresholder = make(pot.Spot, benign=0.0)
    assert thresholder.cut(scores, 0.005) < 12.0
    assert thresholder.details()["alarms"] > 20


# --- skew -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["normal", "exponential", "log-normal", "chi2(8)"])
def test_trap_21_mad_holds_on_skewed_scores_where_the_plain_rule_fails(family):
    rng = np.random.default_rng(10)
    for budget in (0.01, 0.05):
        share = realised(mad.Mad, FAMILIES[family], budget)
        assert 0.2 * budget < share < 2.0 * budget
    if family in ("exponential", "log-normal"):
        scores = FAMILIES[family](rng, 20_000)
        centre, spread = np.median(scores), 1.4826 * np.median(np.abs(scores - np.median(scores)))
        assert np.mean(scores > centre + 2.326 * spread) > 0.04


def test_mixture_finds_the_contamination_and_its_interval_holds_it():
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(10):
        scores = np.exp(0.5 * rng.normal(size=2_000))
        scores[:140] += 12.0
        thresholder = make(mixture.Mixture)
        cut = thresholder.cut(scores, 0.01)
        low, high = thresholder.details()["contamination_interval"]
        held += low <= 0.07 <= high
        assert thresholder.details()["contamination"] == pytest.approx(0.07, abs=0.02)
        assert 0.002 < np.mean(np.exp(0.5 * rng.normal(size=20_000)) > cut) < 0.025
    assert held >= 7


# --- labels -----------------------------------------------------------------------------------------------------------


def test_labelled_finds_the_best_f1_and_the_least_cost_by_search():
    rng = np.random.default_rng(12)
    y = (rng.random(300) < 0.2).astype(np.int16)
    scores = np.round(rng.normal(size=300) + 1.5 * y, 1)
    y[::10] = -1

    def f1(cut):
        flag, known = scores > cut, y >= 0
        hits = np.sum(flag & (y == 1))
        return 2 * hits / (np.sum(flag & known) + np.sum(y == 1))

    def cost(cut):
        return -(4.0 * np.sum((scores <= cut) & (y == 1)) + np.sum((scores > cut) & (y == 0)))

    candidates = np.r_[scores.min() - 1, np.unique(scores)]
    for objective, value in (("f1", f1), ("cost", cost)):
        cut = make(labelled.Labelled, objective=objective, miss=4.0).cut(scores, 0.01, y)
        assert value(cut) == pytest.approx(max(map(value, candidates)))


@pytest.mark.parametrize("label", [None, -1, 0, 1])
def test_labelled_refuses_labels_of_one_class(label):
    y = None if label is None else np.full(20, label, np.int16)
    with pytest.raises(ConfigError, match="both classes"):
        make(labelled.Labelled).cut(np.arange(20.0), 0.05, y)


# --- all --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [0.0, 1.0, -0.1, 2.0, float("nan")])
@pytest.mark.parametrize("cls", [*UNLABELLED, labelled.Labelled], ids=name_of)
def test_a_budget_outside_0_and_1_is_refused(cls, budget):
    with pytest.raises(ConfigError, match="strictly between 0 and 1"):
        make(cls).cut(np.arange(50.0), budget, (np.arange(50) > 40).astype(np.int16))


@pytest.mark.parametrize("cls", UNLABELLED, ids=name_of)
def test_degenerate_references_give_a_finite_cut_that_flags_no_constant(cls):
    odd = {
        "one": np.array([3.0]),
        "constant": np.full(500, 3.0),
        "ties": np.repeat([0.0, 1.0, 6.0], [900, 90, 10]),
        "two values": np.repeat([0.0, 1.0], [500, 500]),
        "five": np.arange(5.0),
        "with NaN": np.r_[np.arange(40.0), np.full(10, np.nan)],
        "at the clip": np.r_[np.random.default_rng(0).normal(size=900), np.full(100, 30.0)],
    }
    for name, scores in odd.items():
        for budget in (1e-4, 0.01, 0.3, 0.9):
            cut = make(cls).cut(scores, budget)
            assert np.isfinite(cut), (name, budget)
        if name in ("one", "constant"):
            assert not (scores > cut).any()
    with pytest.raises(NotApplicableError):
        make(cls).cut(np.full(3, np.nan), 0.05)


@pytest.mark.parametrize("cls", UNLABELLED, ids=name_of)
def test_cuts_fall_as_the_budget_grows(cls):
    rng = np.random.default_rng(13)
    for scores in (rng.exponential(size=800), dirty(rng, 800), np.round(rng.normal(size=300), 1)):
        cuts = [make(cls).cut(scores, b) for b in (0.001, 0.005, 0.01, 0.05, 0.1, 0.14, 0.16, 0.3, 0.6)]
        assert (np.diff(cuts) <= 1e-9).all(), np.round(cuts, 3)


def test_pythresh_says_how_to_get_it_and_uses_it_where_it_is(monkeypatch):
    thresholder = make(pythresh_cut.PyThresh, method="filter")
    monkeypatch.setitem(sys.modules, "pythresh", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        thresholder.cut(np.arange(10.0), 0.05)
    assert "pip install" in caught.value.hint
    stub = ModuleType("pythresh.thresholds.filter")

    class Filter:
        def eval(self, scores):
            return (scores > 6.5).astype(int)

    stub.FILTER = Filter
    for name, module in (
        ("pythresh", ModuleType("pythresh")),
        ("pythresh.thresholds", ModuleType("t")),
        (stub.__name__, stub),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    cut = thresholder.cut(np.arange(10.0), 0.05)
    assert (np.arange(10.0) > cut).tolist() == [False] * 7 + [True] * 3
