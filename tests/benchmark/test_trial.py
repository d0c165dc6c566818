"""One trial: what its key holds, and scores without a calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vibro.benchmark.trial import standardised


@pytest.mark.parametrize(
    "change",
    ["machine", "recordings", "machines", "time", "covariates", "covariate_names", "fs", "y", "split", "device"],
)
def test_the_key_of_a_trial_holds_whatever_its_rows_follow_from(change):
    from vibro.benchmark.datasets import SetEntry, load_set
    from vibro.benchmark.drawing import TrialKey
    from vibro.benchmark.suite import PoolEntry, Suite
    from vibro.benchmark.trial import cache_key
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost

    host = PluginHost.create(autoload=False, environ={})
    plan = make_plan(host, "one", {"detectors": [{"use": "rise"}], "fuser": {"use": "auto"}})
    entry = SetEntry("plant", simulate={"records": 40})
    data, device = load_set(entry, None, 0), "cpu"

    def key(data, device):
        trial = TrialKey("plant", "all", "one", 0, 0)
        return cache_key(plan, entry, data, PoolEntry("all"), Suite("s"), trial, device)

    before = key(data, device)
    assert before and before == key(load_set(entry, None, 0), "cpu")
    batch, value = data.batch, getattr(data.batch, change, None)
    if change == "device":
        device = "cuda"
    elif change == "y":
        data = replace(data, y=1 - data.y)
    elif change == "split":
        data = replace(data, split=np.full(len(data.y), "test"))
    elif isinstance(value, np.ndarray):
        data = replace(data, batch=replace(batch, **{change: np.roll(value, 1, axis=0)}))
    else:
        other = value + 1 if change == "fs" else tuple(f"{name}x" for name in value)
        data = replace(data, batch=replace(batch, **{change: other}))
    assert key(data, device) != before


def test_standardised_scores():
    fit = np.array([[0.0, 0.1, np.nan], [2.0, 0.1, np.nan], [np.nan, 0.1, np.nan]])
    raw = np.array([[3.0, 5.0, 1.0], [np.nan, 0.1, 1.0], [99.0, 0.0, 1.0]])
    far = 10.0 * (1.0 + np.arcsinh(98.0 / 10.0 - 1.0))  # compressed
    expected = [[2.0, 0.0, np.nan], [np.nan, 0.0, np.nan], [far, 0.0, np.nan]]
    np.testing.assert_array_equal(standardised(raw, fit, 10.0), expected)
