"""The default cut: below any group of faults whose share nobody tells, on budget without faults, and open about its doubts."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import Context
from vibro_plugins.stats.contaminated_tail import ContaminatedTail
from vibro_plugins.thresholders.auto import Auto
from vibro_plugins.thresholders.conformal import Conformal
from vibro_plugins.thresholders.pot import Pot, Spot
from vibro_plugins.thresholders.quantile import Quantile

BODIES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "log-normal": lambda rng, n: np.exp(0.5 * rng.normal(size=n)),
    "chi2(8)": lambda rng, n: rng.chisquare(8, size=n) / 4.0,
}


def make(cls=Auto, **settings):
    return cls.make(settings, Context(seed=5))


def pool(body, n, share, seed):
    """Normal scores of which a share, at least one, is replaced by faults at 12 to 25."""
    rng = np.random.default_rng([seed, n])
    scores = BODIES[body](rng, n)
    faults = max(1, round(share * n))
    scores[:faults] = rng.uniform(12.0, 25.0, faults)
    return scores, np.arange(n) < faults


@pytest.mark.parametrize("share", [0.01, 0.03, 0.06, 0.1, 0.2])
@pytest.mark.parametrize("body", BODIES)
def test_severe_faults_alarm_whatever_their_share(body, share):
    for n in (60, 100, 186, 300, 1_000):
        caught, false = [], []
        for seed in range(4):
            scores, faulty = pool(body, n, share, seed)
            cut = make().cut(scores, 0.01)
            caught.append(np.mean(scores[faulty] > cut))
            false.append(np.mean(BODIES[body](np.random.default_rng(seed), 20_000) > cut))
        assert np.mean(caught) == 1.0
        assert np.mean(false) < (0.05 if n < 100 else 0.04 if n < 400 else 0.02)


@pytest.mark.parametrize("cls", [Auto, Quantile, Pot, Conformal, Spot], ids=lambda cls: cls.name)
def test_every_cut_lies_below_a_group_of_faults(cls):
    for share in (0.01, 0.03, 0.05, 0.1):
        scores, faulty = pool("normal", 600, share, 1)
        assert make(cls).cut(scores, 0.01) < scores[faulty].min()


def test_the_budget_is_kept_where_the_tail_is_long_and_nothing_is_wrong():
    rng = np.random.default_rng(0)

    def shoulder(n):  # nine in ten are quiet, one in ten spreads five times as far
        return rng.exponential(size=n) * np.where(rng.random(n) < 0.1, 5.0, 1.0)

    for budget in (0.01, 0.05):
        shares = [np.mean(shoulder(20_000) > make().cut(shoulder(1_500), budget)) for _ in range(10)]
        assert 0.5 * budget < np.mean(shares) < 2.0 * budget


def test_scale_and_place_of_the_scores_do_not_matter():
    scores, _ = pool("chi2(8)", 250, 0.06, 2)
    cut = make().cut(scores, 0.01)
    assert make().cut(1e-6 * scores + 7.0, 0.01) == pytest.approx(1e-6 * cut + 7.0, rel=1e-9)


def test_details_say_how_many_lie_far_out_and_hold_the_cut():
    scores, faulty = pool("normal", 400, 0.05, 3)
    thresholder = make()
    cut = thresholder.cut(scores, 0.01)
    told = thresholder.details()
    assert told["fallback"] is None and told["far_out"] == faulty.sum() and told["n"] == 400
    assert told["contamination"] == pytest.approx(0.05, abs=0.02) and told["clean"] < 0.01
    assert told["interval"][0] <= cut <= told["interval"][1]
    assert told["normal_above"] == pytest.approx(np.mean(scores[~faulty] > cut), abs=0.003)


def test_a_cut_that_cannot_be_trusted_says_why_and_still_finds_what_is_beyond_doubt():
    rng = np.random.default_rng(4)
    few = np.append(rng.normal(size=13), 90.0)
    crowd = np.concatenate([rng.normal(size=300), rng.uniform(15.0, 40.0, 90)])
    equal = np.append(np.zeros(300), 5.0 + rng.random(3))
    for scores, said in (
        (few, "only 14 reference scores"),
        (crowd, "too many to know what is normal"),
        (equal, "too many reference scores are equal"),
    ):
        thresholder = make()
        assert scores.max() > thresholder.cut(scores, 0.01)
        assert said in thresholder.details()["fallback"]


def test_the_probability_of_a_fault_rises_with_the_score_and_is_that_of_the_group():
    scores, faulty = pool("exponential", 500, 0.1, 5)
    tail = ContaminatedTail.fit(np.sort(scores))
    found = tail.faulty
    assert found[: 500 - faulty.sum()].max() < 0.5 < found[500 - faulty.sum() :].min()
    assert found.sum() == pytest.approx(faulty.sum(), rel=0.2)


def test_a_tail_needs_a_body():
    assert ContaminatedTail.fit(np.arange(5.0)) is None
    assert ContaminatedTail.fit(np.full(100, 2.0)) is None
