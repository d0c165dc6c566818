"""Checks for metrics: one number, the right direction, degenerate labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.testing.assertions import require
from vibro.testing.case import Case

Toy = tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.bool_]]


class MetricCase(Case):
    """A metric with toy labels, scores and flags."""

    @property
    def learns(self) -> bool:
        """A metric carries no state."""
        return False

    def toy(self, quality: float) -> Toy:
        """Labels, scores and flags of 200 rows; quality 1 orders perfectly, -1 upside down, 0 by chance."""
        rng = np.random.default_rng([self.seed, 1])
        y = (np.arange(200) % 10 == 0).astype(np.int16)
        score = quality * 4.0 * y + (1 - abs(quality)) * rng.standard_normal(200) + 1e-6 * rng.standard_normal(200)
        return y, score, score >= np.sort(score)[-20]

    def answer(self, component: Any) -> NDArray[Any]:
        """The metric of perfect, random and inverted scores."""
        return np.array([self.compute(component, self.toy(quality)) for quality in (1.0, 0.0, -1.0)])

    def compute(self, component: Any, toy: Toy) -> float:
        """The metric of one toy case."""
        self.show("compute", *toy)
        return float(component.compute(*(a.copy() for a in toy)))

    @property
    def checks(self) -> tuple[Callable[..., None], ...]:
        """The checks that apply to a metric."""
        return (check_one_number, check_direction, check_order_of_rows, check_undefined, check_input_unchanged)


def check_one_number(case: MetricCase) -> None:
    """``compute`` gives one finite number where both classes are there."""
    for quality in (1.0, 0.5, 0.0):
        value = case.make().compute(*case.toy(quality))
        require(np.ndim(value) == 0 and np.isfinite(value), f"gave {value!r}")


def check_direction(case: MetricCase) -> None:
    """Perfect scores are better than inverted ones, as ``higher_is_better`` says."""
    best, _, worst = case.expected
    better = best > worst if case.cls.higher_is_better else best < worst
    require(better, f"perfect scores give {best}, inverted ones {worst}")


def check_order_of_rows(case: MetricCase) -> None:
    """The order of the rows does not matter."""
    toy = case.toy(0.5)
    order = np.random.default_rng(0).permutation(200)
    turned = (toy[0][order], toy[1][order], toy[2][order])
    values = case.compute(case.make(), toy), case.compute(case.make(), turned)
    require(np.isclose(*values, rtol=1e-9), f"permuted rows give {values[1]}, not {values[0]}")


def check_undefined(case: MetricCase) -> None:
    """Labels of one class, constant scores and a single row give a number or NaN, never an error."""
    y, score, flag = case.toy(0.5)
    cases: dict[str, Toy] = {
        "no anomaly": (np.zeros_like(y), score, flag),
        "only anomalies": (np.ones_like(y), score, flag),
        "constant scores": (y, np.zeros_like(score), flag),
        "no flag": (y, score, np.zeros_like(flag)),
        "one row": (y[:1], score[:1], flag[:1]),
    }
    for name, toy in cases.items():
        value = case.compute(case.make(), toy)
        require(not np.isinf(value), f"{name}: {value}")


def check_input_unchanged(case: MetricCase) -> None:
    """``compute`` does not write into its input."""
    toy = case.toy(0.5)
    given: Toy = (toy[0].copy(), toy[1].copy(), toy[2].copy())
    case.make().compute(*given)
    for before, after in ((toy[0], given[0]), (toy[1], given[1]), (toy[2], given[2])):
        require(np.array_equal(before, after), "compute changed its input")
