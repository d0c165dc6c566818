"""Metrics of a ranking against labels; definitions in ``vibro.benchmark.metrics``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vibro import hookimpl
from vibro.api import Metric, Params
from vibro.benchmark.metrics import score_table


class RocAuc(Metric):
    """Probability that an anomalous record scores above a normal one, ties counted half."""

    name = "roc_auc"
    summary = "area under the ROC curve"

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """The area; NaN for a single class."""
        return float(score_table(y, score)["roc_auc"][0])


class AveragePrecision(Metric):
    """Sum of precision over the steps of recall; chance is the share of anomalies."""

    name = "average_precision"
    summary = "average precision, chance = share of anomalies"

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """The sum; NaN for a single class."""
        return float(score_table(y, score)["average_precision"][0])


@dataclass(frozen=True)
class PartialAucParams(Params):
    """Settings of ``partial_auc``.

    ``max_fpr``: false-alarm rate up to which the curve counts; 0.1, more alarms than anybody would check
    """

    max_fpr: Annotated[float, Field(gt=0, lt=1)] = 0.1


class PartialAuc(Metric):
    """Area under the ROC curve at few false alarms, standardised so that chance is 0.5 (McClish 1989)."""

    name = "partial_auc"
    summary = "ROC area at few false alarms"
    Params = PartialAucParams

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """The standardised area; NaN for a single class."""
        return float(score_table(y, score, max_fpr=self.params.max_fpr)["partial_auc"][0])


@dataclass(frozen=True)
class PrecisionAtKParams(Params):
    """Settings of ``precision_at_k``.

    ``k``: length of the list in records; 0: the number of anomalies, for which a perfect ranking gives 1
    """

    k: Annotated[int, Field(ge=0)] = 0


class PrecisionAtK(Metric):
    """Share of anomalies among the k highest scores."""

    name = "precision_at_k"
    summary = "share of anomalies among the k highest scores"
    Params = PrecisionAtKParams

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """The share, scores equal to the k-th counted in proportion; NaN for a single class."""
        return float(score_table(y, score, k=self.params.k or None)["precision_at_k"][0])


@dataclass(frozen=True)
class RecallAtBudgetParams(Params):
    """Settings of ``recall_at_budget``.

    ``budget``: largest false-alarm rate among normal records; 0.01, the alarm budget of the bundled ensembles
    """

    budget: Annotated[float, Field(ge=0, lt=1)] = 0.01


class RecallAtBudget(Metric):
    """Highest recall that a cut with so few false alarms can have."""

    name = "recall_at_budget"
    summary = "recall at a bounded false-alarm rate"
    Params = RecallAtBudgetParams

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """The recall; NaN for a single class."""
        return float(score_table(y, score, budget=self.params.budget)["recall_at_budget"][0])


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Ranking metrics."""
    for cls in (RocAuc, AveragePrecision, PartialAuc, PrecisionAtK, RecallAtBudget):
        register(cls)
