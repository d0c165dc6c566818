"""From table to plan: every mistake is an error before any work, with its path and the known names."""

from __future__ import annotations

import re

import pytest

from vibro.core.planning import make_plan
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "detectors"),
        ({"detectors": []}, "names no detector"),
        ({"detectors": [{"id": "x"}]}, r"detectors\[0\]: needs a 'use'"),
        ({"detectors": [{"use": "distanc"}]}, "no detector named 'distanc'"),
        ({"detectors": [{"use": "distance", "wrong": 1}]}, "unknown parameter"),
        ({"detectors": [{"use": "distance"}, {"use": "distance"}]}, "two detectors have the id 'distance'"),
        ({"detectors": [{"use": "distance"}], "fusser": {}}, "did you mean fuser"),
        ({"detectors": [{"use": "distance"}], "budgets": {"alarm": 0.5, "attention": 0.1}}, "0 < alarm <= attention"),
        ({"detectors": [{"use": "distance"}], "quorum": 2.0}, "quorum"),
        ({"detectors": [{"use": "distance", "view": "levl"}]}, "no feature named 'levl'"),
        ({"detectors": [{"use": "distance", "view": "raw"}]}, "takes items 'f', but view raw gives 'c t'"),
        ({"detectors": [{"use": "distance"}], "suspects": ["far"]}, "suspects: no detector has the id 'far'"),
        ({"detectors": [{"use": "distance"}], "calibration": {"method": "magic"}}, "calibration.method"),
    ],
)
def test_a_wrong_table_is_named(host, table, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(host, "mine", {"fuser": {"use": "mean"}, "thresholder": {"use": "plain"}, **table})


@pytest.mark.parametrize("use", ["per_sensor", "conditioned", "context", "modes", "zerone_image"])
@pytest.mark.parametrize(("of", "given"), [("raw", "c t"), ("cycles", "t f"), ("hetero", "c h w")])
def test_a_view_of_vectors_is_refused_records_and_pictures(use, of, given):
    host = PluginHost.create(autoload=False, environ={})
    view = {"use": use, "of": of}
    said = f"{use} takes items 'f', but view {of} gives '{given}'"
    for row in (
        {"use": "pyod", "model": "KNN", "view": view},
        {"use": "deviation", "view": {"use": "concat", "of": [view]}},
    ):
        with pytest.raises(ConfigError, match=re.escape(said)):
            make_plan(host, "mine", {"detectors": [row]})


def test_a_missing_detector_can_be_allowed(host, ensemble):
    plan = make_plan(host, "mine", ensemble({"use": "distance"}, {"use": "gone"}), allow_missing=True)
    assert [d.id for d in plan.detectors] == ["distance"]
    assert plan.absent[0][0] == "gone" and "no detector named" in plan.absent[0][1]
