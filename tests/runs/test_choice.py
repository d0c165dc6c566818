"""What injected faults say about cuts: who misses, which cut within the budget catches more, and what is told of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vibro.api import ConfigError, Thresholder
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.injection.trial import Trial
from vibro.runs.choice import AUTO, TELLING, Cutting, advice, chosen
from vibro.scoring.thresholds import Budgets


def fixed(name: str, cuts: dict[float, float] | float, **details) -> type[Thresholder]:
    """A thresholder with given cuts by budget."""

    class Fixed(Thresholder):
        def cut(self, scores, budget, y=None):
            if self.needs_labels and y is None:
                raise ConfigError("no labels")
            return cuts if isinstance(cuts, float) else cuts[budget]

        def details(self):
            return details

    Fixed.name = name
    return Fixed


def host(*classes):
    known = {cls.name: cls for cls in classes}
    return SimpleNamespace(names=lambda kind: sorted(known), component=lambda kind, name: known[name])


def cutting(classes, *, reach=10.0, reference=None, use=AUTO, budget=0.01):
    """Injected faults of severity s score ``reach`` * s in kinds that alarms are expected of, and nothing in the others."""
    fused = np.zeros((len(KINDS), len(SEVERITIES), 4))
    for i, kind in enumerate(KINDS):
        fused[i] = np.multiply(reach, SEVERITIES)[:, None] if kind in TELLING else 0.0
    trial = Trial(np.zeros((4, 1)), fused[..., None], np.zeros(4, np.int32), fused)
    reference = np.linspace(-2, 2, 200) if reference is None else reference
    return Cutting(host(*classes), trial, reference, {"use": use}, Budgets(5 * budget, budget), 0)


def test_a_cut_that_catches_half_of_each_kind_needs_no_word_and_stays():
    found = cutting([fixed(AUTO, 5.0), fixed("low", 2.5)])
    assert advice(found, 5.0) == []
    method, reason = chosen(found)
    assert method == AUTO and "half of the injected faults of every kind" in reason


def test_a_cut_that_misses_is_told_with_the_one_that_would_catch():
    found = cutting([fixed(AUTO, 25.0), fixed("low", 2.5), fixed("same", 3.0)])
    (said,) = advice(found, 25.0)
    assert said == (
        "of injected faults of severity 0.8 only 0 % of level, harmonics, band noise and impacts raise an alarm;"
        " vibro threshold RUN --method same would catch 100 % of level, harmonics, band noise and impacts"
    )
    method, reason = chosen(found)
    assert method == "same" and "same instead of auto" in reason  # the higher of two that catch as much
    assert "100 %" in reason and "0 %" in reason


def test_a_cut_that_catches_no_more_is_not_chosen():
    found = cutting([fixed(AUTO, 8.5), fixed("higher", 9.0), fixed("lower", 8.2)])
    assert chosen(found)[0] == AUTO and "threshold RUN --method" not in advice(found, 8.5)[0]


def test_a_cut_beyond_the_budget_on_the_reference_is_not_chosen():
    reference = np.concatenate([np.linspace(-2, 2, 194), np.linspace(26, 27, 6)])
    keeping, breaking = fixed("keeping", 2.5), fixed("breaking", 1.0)
    alarming = fixed(AUTO, 24.0, far_out=6)
    assert chosen(cutting([alarming, keeping, breaking], reference=reference))[0] == "keeping"
    silent = fixed(AUTO, 30.0, far_out=6)  # the six that it takes for faults and does not alarm count as normal
    assert chosen(cutting([silent, keeping, breaking], reference=reference))[0] == AUTO


def test_the_next_larger_budget_is_named_where_no_cut_within_it_is_enough():
    found = cutting([fixed(AUTO, {0.01: 9.0, 0.02: 8.5, 0.05: 7.0, 0.1: 3.0})])
    (said,) = advice(found, 9.0)
    assert "no cut within the budget catches more; vibro threshold RUN --budget 0.05 would catch 100 %" in said
    (said,) = advice(cutting([fixed(AUTO, 9.0)]), 9.0)
    assert said.endswith("no cut at a budget up to 0.1 reaches half of them")
    method, reason = chosen(cutting([fixed(AUTO, 9.0)]))
    assert method == AUTO and "no other cut within the budget" in reason


def test_the_severity_from_which_half_are_caught_is_named():
    found = cutting([fixed(AUTO, 9.0)])
    found.trial.fused[KINDS.index("impacts")] = np.array([0, 0, 9.5, 9.5, 9.5])[:, None]
    (said,) = advice(found, 9.0)
    assert (
        "only 0 % of level, harmonics and band noise raise an alarm, at least half from severity 0.2 (impacts) on"
        in said
    )


def test_methods_that_fail_or_need_labels_are_no_candidates():
    learner, broken = fixed("learner", 0.5), fixed("broken", {})
    learner.needs_labels = True
    assert [c.method for c in cutting([fixed(AUTO, 9.0), learner, broken]).at_budget()] == [AUTO]
    with pytest.raises(KeyError):
        chosen(cutting([learner, broken], use="learner"))  # without auto there is nothing to choose for
