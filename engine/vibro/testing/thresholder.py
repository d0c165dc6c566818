"""Checks for thresholders: finite cuts, monotone in the budget, small and degenerate references."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import VibroError
from vibro.testing.assertions import require, same
from vibro.testing.case import Case

BUDGETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


class ThresholderCase(Case):
    """A thresholder with 2,000 reference scores: a normal body with a tail, 2 % of them anomalous."""

    @property
    def learns(self) -> bool:
        """A thresholder carries no state."""
        return False

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The reference scores."""
        rng = np.random.default_rng([self.seed, 1])
        scores = np.concatenate([rng.gamma(3.0, 0.5, 1960) - 1.5, rng.normal(8.0, 1.0, 40)])
        return rng.permutation(scores)

    def labels(self, scores: NDArray[np.float64]) -> NDArray[np.int16] | None:
        """Labels of the scores, for thresholders that need them."""
        return (scores > 5.0).astype(np.int16) if self.cls.needs_labels else None

    def answer(self, component: Any) -> NDArray[Any]:
        """The cuts for all budgets."""
        return np.array([self.cut(component, self.scores.copy(), budget) for budget in BUDGETS])

    def cut(self, component: Any, scores: NDArray[np.float64], budget: float) -> float:
        """The cut for one budget."""
        self.show(f"cut for budget {budget}", scores)
        return float(component.cut(scores, budget, self.labels(scores)))

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a thresholder."""
        return (
            check_cut_finite,
            check_budget,
            check_share,
            check_order_of_scores,
            check_calls_independent,
            check_degenerate,
            check_input_unchanged,
            check_details,
        )


def check_cut_finite(case: ThresholderCase) -> None:
    """A cut is one finite number."""
    for budget in BUDGETS:
        cut = case.fitted.cut(case.scores.copy(), budget, case.labels(case.scores))
        require(np.ndim(cut) == 0 and np.isfinite(cut), f"budget {budget} gives the cut {cut!r}")


def check_budget(case: ThresholderCase) -> None:
    """The cut never rises as the budget grows."""
    rises = np.flatnonzero(np.diff(case.expected) > 0)
    require(not rises.size, f"cuts {np.round(case.expected, 4)} for budgets {BUDGETS}")


def check_share(case: ThresholderCase) -> None:
    """At a budget of 5 % the cut flags more than nothing and less than a fifth of the normals."""
    cut = case.cut(case.make(), case.scores.copy(), 0.05)
    share = float((case.scores[case.scores < 5] > cut).mean())
    require(share < 0.2 and cut < case.scores.max(), f"cut {cut:.3f} flags {share:.1%} of the normals")


def check_order_of_scores(case: ThresholderCase) -> None:
    """The order of the reference scores does not matter."""
    again = np.array([case.cut(case.make(), case.scores[::-1].copy(), budget) for budget in BUDGETS])
    require(np.allclose(again, case.expected, rtol=1e-9, atol=1e-12), f"{again} and {case.expected}")


def check_calls_independent(case: ThresholderCase) -> None:
    """A cut does not depend on earlier calls."""
    component = case.make()
    case.cut(component, np.arange(100.0), 0.1)
    same(case.answer(component), case.expected, "after another call the cuts differ")


def check_degenerate(case: ThresholderCase) -> None:
    """Constant scores, ties, five scores and one score give a finite cut or a clean refusal."""
    ties = np.repeat([0.0, 1.0, 6.0], [900, 90, 10])
    references = {"constant": np.full(200, 3.0), "ties": ties, "five": np.arange(5.0), "one": np.array([2.0])}
    for name, scores in references.items():
        for budget in (0.01, 0.2):
            try:
                cut = case.cut(case.make(), scores, budget)
            except VibroError:
                continue
            require(np.isfinite(cut), f"{name}: budget {budget} gives the cut {cut}")


def check_input_unchanged(case: ThresholderCase) -> None:
    """``cut`` does not write into its input."""
    scores = case.scores.copy()
    case.cut(case.make(), scores, 0.05)
    require(np.array_equal(scores, case.scores), "cut changed its input")


def check_details(case: ThresholderCase) -> None:
    """``details`` gives plain values of the last cut; ``fallback`` is text or None, ``interval`` holds the cut."""
    component = case.make()
    cut = case.cut(component, case.scores.copy(), 0.05)
    details = component.details()
    try:
        json.dumps(dict(details))
    except (TypeError, ValueError) as error:
        require(False, f"details() cannot be written as JSON: {error}")
    require(
        details.get("fallback") is None or isinstance(details["fallback"], str), "fallback is neither text nor None"
    )
    interval = details.get("interval")
    if interval is not None:
        low, high = interval
        require(low <= cut <= high, f"the interval {interval} does not hold the cut {cut}")
