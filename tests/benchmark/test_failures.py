"""Detectors, fusers and thresholders that fail cost their own rows, and are told."""

from __future__ import annotations

import json

import pytest

from .toys import PLUGIN, bench, results


def test_a_detector_that_fails_costs_its_own_rows_only(place):
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "0"))
    whole = '{ use = "toy_peak" }, { use = "toy_fragile" }'
    text = (place / "toy_ensemble.toml").read_text().replace('{ use = "toy_peak" }', whole)
    (place / "toy_ensemble.toml").write_text(text)
    assert bench(place) == 0
    rows = results(place)
    broken = [r for r in rows if "toy_fragile" in r["set"]]
    assert broken and all("not today" in r["status"] for r in broken)
    for r in rows:
        assert (r["roc_auc"] == "") == (r["set"] == "toy_fragile")

    def figures(name):
        wanted = [r for r in rows if r["set"] == name and r["fuser"] == "weighted_mean"]
        return [r["average_precision"] for r in wanted]

    assert figures("toy_level+toy_peak+toy_fragile") == figures("toy_level+toy_peak")  # as the engine does it
    (lost,) = json.loads((place / "out" / "benchmark.json").read_text())["lost"]
    assert (lost["detector"], lost["trials"], lost["of"]) == ("toy_fragile", 2, 2)
    told = (place / "out" / "report.md").read_text().partition("## Failures")[2].partition("##")[0]
    assert "no scores of toy_fragile in 2 of 2 trials: RuntimeError: not today" in told


def test_detectors_that_all_fail_are_an_error(place, capsys):
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "0"))
    (place / "toy_ensemble.toml").write_text('detectors = [{ use = "toy_fragile" }]')
    assert bench(place) == 5
    assert "no detector gave a score in any trial" in capsys.readouterr().err


def test_an_ensemble_that_cannot_be_fitted_counts_as_chance(place):
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "0"))
    (place / "other.toml").write_text((place / "toy_ensemble.toml").read_text())
    (place / "toy_ensemble.toml").write_text('detectors = [{ use = "toy_fragile" }]')
    suite = (place / "suite.toml").read_text()
    (place / "suite.toml").write_text(suite.replace('["toy_ensemble.toml"]', '["toy_ensemble.toml", "other.toml"]'))
    assert bench(place) == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert {f["trial"] for f in found["failures"]} == {f"toy-all-toy_ensemble-seed{s}" for s in (0, 1)}
    mean = found["tests"]["all_blocks"]["mean"]
    assert mean["toy_ensemble"] == pytest.approx(0.05) and mean["rms"] > 0.9
    report = (place / "out" / "report.md").read_text()
    assert "not today" in report
    (loss,) = [b for b in found["losses"] if b["subset"] == "test"]
    better = {b["name"] for b in loss["behind"]}
    assert {"rms", "other", "other: toy_peak"} <= better and not any("best_member" in name for name in better)
    assert "## Where toy_ensemble loses" in report and "In 2 of 2 blocks" in report


FRAIL = """
from vibro.api import Fuser, Thresholder

class Frail(Fuser):
    name = "toy_frail"
    def fit(self, z, y=None, usefulness=None):
        if z.shape[1] == 2:
            raise RuntimeError("not two")
    def fuse(self, z):
        return z.mean(axis=1)

class Never(Thresholder):
    name = "toy_never"
    def cut(self, scores, budget, y=None):
        raise ZeroDivisionError("no cut")

@hookimpl
def register_fusers(register):
    register(Frail)

@hookimpl
def register_thresholders(register):
    register(Never)
"""


def test_a_fuser_that_fails_costs_its_own_rows_only(place):
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "2") + FRAIL)
    assert bench(place, "--fusers", "weighted_mean,toy_frail") == 0
    rows = [r for r in results(place) if not r["set"].startswith("baseline:")]
    assert {r["fuser"] for r in rows} == {"weighted_mean", "toy_frail"}
    for r in rows:
        frail = r["fuser"] == "toy_frail"
        assert (r["roc_auc"] == "", r["status"]) == (frail, "RuntimeError: not two" if frail else "ok")
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert found["per_class"]
    told = "not evaluated under toy_frail in 3 of 3 combinations: RuntimeError: not two"
    assert [f["message"] for f in found["failures"]] == [told] * 2
    assert "not two" in (place / "out" / "report.md").read_text()


def test_a_thresholder_that_fails_costs_its_own_cuts_only(place):
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "2") + FRAIL)
    text = (place / "suite.toml").read_text()
    (place / "suite.toml").write_text(f'thresholders = ["toy_never", "quantile"]\n{text}')
    assert bench(place) == 0
    for r in (r for r in results(place) if r["fuser"]):
        never = r["thresholder"] == "toy_never"
        assert (r["f1"] == "", r["status"]) == (never, "ZeroDivisionError: no cut" if never else "ok")
        assert r["roc_auc"]
    found = json.loads((place / "out" / "benchmark.json").read_text())
    told = "not evaluated under toy_never in 6 of 6 combinations: ZeroDivisionError: no cut"
    assert [f["message"] for f in found["failures"]] == [told] * 2


def test_a_thresholder_that_fails_for_one_set_is_said_to_fail_for_one(place):
    flat = FRAIL.replace('raise RuntimeError("not two")', "self.flat = 0").replace(
        "axis=1)", 'axis=1) * vars(self).get("flat", 1)'
    )
    picky = flat.replace("raise Zero", "if np.ptp(scores):\n            return 1.0\n        raise Zero")
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "2") + picky)
    text = (place / "suite.toml").read_text()
    (place / "suite.toml").write_text(f'thresholders = ["toy_never"]\n{text}')
    assert bench(place, "--seeds", "1", "--fusers", "toy_frail") == 0
    (told,) = (f["message"] for f in json.loads((place / "out" / "benchmark.json").read_text())["failures"])
    assert told == "not evaluated under toy_never in 1 of 6 combinations: ZeroDivisionError: no cut"
