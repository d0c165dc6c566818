"""Metrics of alarms at a cut against labels; definitions in ``vibro.benchmark.metrics``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Metric
from vibro.benchmark.metrics import flag_table


class F1(Metric):
    """Harmonic mean of precision and recall of the alarms; without point adjustment."""

    name = "f1"
    summary = "F1 of the alarms at the cut"

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """F1; 0 without a hit, NaN without an anomaly."""
        return float(flag_table(y, flag)["f1"][0])


class FalseAlarmRate(Metric):
    """Share of normal records that raise an alarm."""

    name = "false_alarm_rate"
    summary = "share of normal records with an alarm"
    higher_is_better = False

    def compute(self, y: NDArray[np.int16], score: NDArray[np.float64], flag: NDArray[np.bool_]) -> float:
        """The share; NaN without a normal record."""
        return float(flag_table(y, flag)["false_alarm_rate"][0])


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Metrics at a cut."""
    register(F1)
    register(FalseAlarmRate)
