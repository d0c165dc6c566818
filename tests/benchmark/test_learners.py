"""A few labels a class: who sees them, and that no shown record is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.io.tensors import load_tensors

from .toys import PLUGIN, bench, compared, relabel, results


def test_few_labels_reach_learners_and_are_not_judged(place):
    overlay = place / "overlay.toml"
    overlay.write_text('[plugins.stacked]\nmodule = "vibro_plugins.fusers.stacked"\nprovides = ["fuser:stack"]\n')
    relabel(place, source_file=np.full(160, "one"))
    more = ["--labelled-k", "2", "--fusers", "stack", "--split", "none", "--registry", str(overlay)]
    assert bench(place, *more) == 0
    rows = results(place)
    assert {r["labelled_k"] for r in rows} == {"0", "2"}
    assert {(r["n"], r["n_anomalous"]) for r in rows if r["labelled_k"] == "2"} == {("156", "6")}


def test_shares_and_labels_that_cannot_be_had_are_told(place):
    more = ["--split", "none", "--seeds", "1", "--combinations", "1", "--labelled-k", "2,2,8"]
    assert bench(place, *more, "--contamination", "0.5") == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert "toy/c50: 5.0% anomalous, not 50.0%: there are no more anomalous records" in found["warnings"]
    (failure,) = found["failures"]
    assert failure["message"] == (
        "toy, pool c50: 8 labels per class and their recordings leave no anomalous record to evaluate"
    )
    assert {r["labelled_k"] for r in results(place)} == {"0", "2"}


LEARNER = """
class Told(Level):
    name = "toy_told"
    needs_labels = True
    def fit(self, x, y=None):
        if y is None:
            raise NotApplicableError("no labels")
        (FOLDER / f"{self.ctx.seed}.txt").write_text(f"{(y == 0).sum()} {(y == 1).sum()} {(y == -1).sum()}")
        super().fit(x)

"""


@pytest.fixture
def learner(place):
    """The plugin and the ensemble with a detector that learns from labels."""
    told = LEARNER.replace("FOLDER", f"__import__('pathlib').Path({str(place)!r})")
    head, register = PLUGIN.split("@hookimpl")
    register = register.replace("Fragile)", "Fragile, Told)")
    text = f"{head}from vibro.errors import NotApplicableError\n{told}@hookimpl{register}".replace("ODD", "2")
    (place / "toy.py").write_text(text)
    (place / "toy_ensemble.toml").write_text('detectors = [{ use = "toy_told" }, { use = "toy_level" }]')


def scored(place, k):
    """The scores of seed 0 with k labels a class, by ensemble."""
    files = (place / "out" / "scores").glob(f"*-k{k}-seed0*" if k else "*e-seed0*")
    return {file.name.split("-")[2]: load_tensors(file) for file in files}


@pytest.mark.usefixtures("learner")
def test_few_labels_reach_detectors_that_learn_and_no_shown_row_is_judged(place):
    more = ["--split", "none", "--labelled-k", "3", "--seeds", "1", "--combinations", "1"]
    assert bench(place, *more) == 0
    seen = sorted(file.read_text().split() for file in place.glob("*.txt"))
    assert [*map(int, max(seen, key=lambda t: sum(map(int, t))))] == [3, 3, 154]  # the final fit
    assert all(int(unknown) <= 154 for _, _, unknown in seen)
    trial = scored(place, 3)["toy_ensemble"]
    shown, judged, recording = trial["known"] >= 0, trial["part"] > 0, trial["groups"][:, 2]
    assert shown.sum() == 6 and judged.any() and not set(recording[shown]) & set(recording[judged])
    assert np.isnan(trial["z"][shown, 0]).all() and np.isfinite(trial["z"][:, 1]).all()
    rows = [r for r in results(place) if r["set"] == "toy_told"]
    assert {(r["labelled_k"], r["n"], r["roc_auc"] == "") for r in rows} == {
        ("0", "160", True),
        ("3", str(judged.sum()), False),
    }


@pytest.mark.usefixtures("learner")
@pytest.mark.parametrize("protocol", ["pool", "normals"])
def test_who_learns_changes_nothing_for_the_members_beside_it(place, protocol):
    (place / "alone.toml").write_text('detectors = [{ use = "toy_level" }]')
    suite = (place / "suite.toml").read_text()
    (place / "suite.toml").write_text(suite.replace('["toy_ensemble.toml"]', '["toy_ensemble.toml", "alone.toml"]'))
    text = (place / "toy.py").read_text()
    (place / "toy.py").write_text(text.replace("np.median(x.std(axis=(1, 2)))", "x.std(axis=(1, 2)).mean()"))
    more = ["--protocol", protocol, "--split", "machine", "--labelled-k", "2", "--combinations", "1", "--seeds", "1"]
    assert bench(place, *more) == 0
    beside, alone, plain = scored(place, 2)["toy_ensemble"], scored(place, 2)["alone"], scored(place, 0)["alone"]
    for name in ("raw", "z", "reference"):
        np.testing.assert_array_equal(beside[name][:, -1], alone[name][:, -1])
    np.testing.assert_array_equal(alone["reference"], plain["reference"])
    assert (beside["known"] == 1).sum() == 2 and not beside["part"][beside["known"] >= 0].any()
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert sum("2 labels per class are shown" in how for how in found["splits"]) == 1
    told = any("toy_told: sees labels of normal records only" in text for text in found["warnings"])
    assert told == (protocol == "normals")


@pytest.mark.usefixtures("learner")
def test_each_number_of_labels_is_told_by_itself(place, capsys):
    assert bench(place, "--seeds", "1", "--split", "none", out="without") == 0
    assert bench(place, "--seeds", "1", "--split", "none", "--labelled-k", "2") == 0
    found, plain = (json.loads((place / o / "benchmark.json").read_text()) for o in ("out", "without"))
    assert found["tests"] == plain["tests"] and found["losses"] == plain["losses"]
    curve = {r["name"]: r for r in found["learning"]}
    assert {r["labelled_k"] for r in found["learning"]} == {2} and not plain["learning"]
    assert curve["toy_told"]["gain"] > 0.9 and curve["toy_level"]["gain"] == pytest.approx(0, abs=1e-12)
    for kind in ("leave_one_out", "shapley", "best", "pareto", "per_class", "per_sensor", "lost"):
        mine, alone = ([r | {"seconds": 0} for r in many[kind] if not r["labelled_k"]] for many in (found, plain))
        assert mine == alone or kind == "pareto"
        assert {r["labelled_k"] for r in found[kind]} == ({0} if kind == "lost" else {0, 2})
    assert {r["labelled_k"] for r in found["confound"]["rows"]} == {0, 2}
    rows = compared(place, capsys, "out", "out")["rows"]
    assert {(r["set"], r["labelled_k"]) for r in rows} >= {("toy_told", 2), ("toy_level", 0), ("toy_level", 2)}
    worth = {(r["labelled_k"], r["detector"]): r["value"] for r in found["shapley"] if r["fuser"] == "weighted_mean"}
    assert worth[0, "toy_told"] == 0 < worth[2, "toy_told"]
    report = (place / "out" / "report.md").read_text()
    assert "| 2 | toy_told | 1.00 |" in report.partition("## Learning curve")[2]
