"""Ranking metrics against scikit-learn, with ties, weights, many columns at once; metric plugins through the kit."""

from __future__ import annotations

import numpy as np
import pytest

from vibro.api import ConfigError, Context
from vibro.benchmark import metrics
from vibro_plugins.metrics import decisions, ranking

COMPONENTS: list = []
ranking.register_metrics(COMPONENTS.append)
decisions.register_metrics(COMPONENTS.append)


@pytest.mark.parametrize("cls", COMPONENTS, ids=lambda cls: cls.name)
def test_plugins_give_the_core_s_numbers(cls):
    rng = np.random.default_rng(4)
    y = (rng.random(200) < 0.2).astype(np.int16)
    score = y + rng.standard_normal(200)
    flag = score > 1.5
    table = {**metrics.score_table(y, score), **metrics.flag_table(y, flag)}
    assert cls.make({}, Context()).compute(y, score, flag) == table[cls.name][0]


def test_plugins_check_their_settings():
    make = {cls.name: cls for cls in COMPONENTS}
    with pytest.raises(ConfigError):
        make["recall_at_budget"].make({"budget": 2}, Context())
    y, score = np.array([1, 0, 0], np.int16), np.array([3.0, 2.0, 1.0])
    none = np.zeros(3, bool)
    assert make["precision_at_k"].make({"k": 2}, Context()).compute(y, score, none) == 0.5
