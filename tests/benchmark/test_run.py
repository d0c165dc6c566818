"""``vibro benchmark run`` and ``compare`` end to end on toy detectors: results, resume, failures, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.benchmark.grid import COLUMNS
from vibro.cli import run
from vibro.io.tensors import load_tensors

from .toys import PLUGIN, bench, relabel, results


def test_results_report_and_manifest(place):
    assert bench(place) == 0
    rows = results(place)
    assert tuple(rows[0]) == COLUMNS
    sets = {r["set"] for r in rows if not r["set"].startswith("baseline:")}
    assert sets == {"toy_level", "toy_peak", "toy_level+toy_peak"}
    assert {"rms", "kurtosis", "mean_template", "random", "rank_consensus", "mean_member", "best_member"} <= {
        r["set"].removeprefix("baseline:") for r in rows
    }
    whole = [r for r in rows if r["set"] == "toy_level+toy_peak" and r["fuser"] == "weighted_mean"]
    assert {(r["seed"], r["subset"]) for r in whole} == {(s, p) for s in "01" for p in ("pool", "test")}
    assert all(float(r["roc_auc"]) > 0.95 for r in whole)
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert set(found) >= {
        "schema", "data", "splits", "seeds", "rows", "baselines", "per_class", "leave_one_out", "confound", "tests"
    }  # fmt: skip
    assert found["splits"] == ["half of the machines; pool; five folds by time block"]
    assert {c["fault_type"] for c in found["per_class"]} == {"loud"}
    assert {c["detector"] for c in found["shapley"]} == {"toy_level", "toy_peak"}
    assert json.loads((place / "out" / "manifest.json").read_text())["status"] == "complete"
    assert len(list((place / "out" / "scores").glob("*.safetensors"))) == 2
    assert not (place / "out" / "stages").exists()
    page = (place / "out" / "report.html").read_text()
    assert "toy_level+toy_peak" in page and "http" not in page.replace("http-equiv", "").replace(
        "http://www.w3.org", ""
    )
    assert "| toy | all | test |" in (place / "out" / "report.md").read_text()


def test_trap_54_55_a_figure_stands_beside_chance_and_names_what_it_was_made_of(place):
    """A reference boasts an F1 of "all anomalous" at 78 % anomalies; another names one data set and reads a second."""
    assert bench(place, "--seeds", "1") == 0
    rows = results(place)
    for (part, prior), count in {(r["subset"], r["prior"]): r["n_anomalous"] for r in rows}.items():
        assert float(prior) == pytest.approx(0.05, abs=1e-6) and count == "4"
        beside = {r["set"] for r in rows if r["subset"] == part}
        assert {"baseline:random", "baseline:rms", "baseline:kurtosis", "toy_level+toy_peak"} <= beside
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert all(len(d["fingerprint"]) == 64 for d in found["data"]) and found["seeds"] == [0]
    assert found["vibro"] and {"python", "numpy", "torch"} <= set(found["libraries"])
    report = (place / "out" / "report.md").read_text()
    assert "| toy | all | test |  | 80 (4) |" in report and f"numpy {found['libraries']['numpy']}" in report


def test_same_seed_same_results(place):
    assert bench(place, out="a") == bench(place, out="b") == 0
    drop = ("fit_seconds", "score_seconds")
    a, b = ([{k: v for k, v in r.items() if k not in drop} for r in results(place, o)] for o in "ab")
    assert a == b


def test_resume_fits_only_what_is_missing(place, monkeypatch):
    import vibro.benchmark.run as module

    real, calls = module.fit_trial, []

    def interrupted(*args, **settings):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*args, **settings)

    monkeypatch.setattr(module, "fit_trial", interrupted)
    assert bench(place) == 130
    monkeypatch.setattr(module, "fit_trial", lambda *a, **s: (calls.append(1), real(*a, **s))[1])
    assert bench(place) == 2  # unfinished: say --resume or --force
    assert bench(place, "--resume") == 0
    assert len(calls) == 2
    assert {r["seed"] for r in results(place)} == {"0", "1"}


@pytest.mark.parametrize(
    ("change", "again"), [("nothing", 0), ("plugin", 2), ("vibro", 2), ("covariates", 2), ("unseen", 2)]
)
def test_a_resumed_run_fits_again_what_other_code_or_other_settings_made(place, monkeypatch, change, again):
    import vibro.benchmark.run as module
    from vibro.benchmark import trial
    from vibro.core import view_key

    fit, judged, calls = module.fit_trial, module._judged, []

    def interrupted(bench, plan, made, **how):
        if made.key.seed == 1:
            raise KeyboardInterrupt
        return judged(bench, plan, made, **how)

    monkeypatch.setattr(module, "fit_trial", lambda *a, **s: (calls.append(1), fit(*a, **s))[1])
    monkeypatch.setattr(trial, "code_of", view_key.code_of.__wrapped__)
    monkeypatch.setattr(view_key, "_sources", view_key._sources.__wrapped__)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_judged", interrupted)
        assert bench(place) == 130
    assert len(calls) == 2
    if change == "plugin":
        (place / "toy.py").write_text(PLUGIN.replace("ODD", "2").replace("np.median", "np.mean"))
    elif change == "vibro":
        sources = view_key._sources
        monkeypatch.setattr(
            view_key, "_sources", lambda package: f"{sources(package)}{'edited' * (package == 'vibro')}"
        )
    elif change == "covariates":
        suite = place / "suite.toml"
        suite.write_text(f"{suite.read_text()}covariates = false\n")
    elif change == "unseen":
        monkeypatch.setattr(trial, "code_of", lambda cls: "")
    assert bench(place, "--resume") == 0
    assert len(calls) == 2 + again


METRICS = """
from vibro import hookimpl
from vibro.api import Metric

class Hits(Metric):
    name = "toy_hits"
    def compute(self, y, score, flag):
        return float((flag & (y == 1)).sum())

class Broken(Metric):
    name = "toy_broken"
    def compute(self, y, score, flag):
        raise KeyError("no metric")

@hookimpl
def register_metrics(register):
    register(Hits)
    register(Broken)
"""


def test_metrics_of_plugins_stand_in_results_and_report(place):
    (place / "measures.py").write_text(METRICS)
    more = ["--plugin", str(place / "measures.py"), "--thresholders", "quantile,pot", "--combinations", "1"]
    assert bench(place, *more, "--seeds", "1") == 0
    rows = results(place)
    assert tuple(rows[0])[: len(COLUMNS)] == COLUMNS
    whole = {r["toy_hits"] != "" for r in rows if r["set"] == "toy_level+toy_peak" and r["fuser"] == "weighted_mean"}
    assert whole == {True} and not any(r["toy_hits"] for r in rows if r["fuser"] != "weighted_mean")
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert {f["message"] for f in found["failures"]} == {"not evaluated under toy_broken: KeyError: 'no metric'"}
    assert "| toy_broken | toy_hits |" in (place / "out" / "report.md").read_text()


def test_sensors_and_what_the_score_tells_of_its_origin_are_reported(place):
    assert bench(place) == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert {(r["sensor_id"], r["n"], r["n_anomalous"]) for r in found["per_sensor"]} == {
        (f"m{i}", 40, 2) for i in range(4)
    }
    report = (place / "out" / "report.md").read_text()
    assert "## Sensors" in report and "the plain RMS level alone tells" in report
    for row in found["confound"]["rows"]:
        assert 0.5 <= row["recording_from_score_auc"] < 0.8 and 0.2 < row["machine_seen_auc"] < 0.8


def test_in_sample_ensembles_are_fitted_once_on_all_rows(place):
    text = (place / "suite.toml").read_text()
    (place / "suite.toml").write_text('in_sample = ["toy_ensemble.toml"]\n' + text)
    assert bench(place, "--split", "none") == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert all("in sample" in how for how in found["splits"])
    trial = load_tensors(next((place / "out" / "scores").glob("*seed0*")))
    assert len(trial["reference"]) == 160
    np.testing.assert_allclose(np.sort(trial["reference"][:, 0]), np.sort(trial["z"][:, 0]))
    (place / "suite.toml").write_text('in_sample = ["other"]\n' + text)
    assert bench(place, out="b") == 2


@pytest.mark.parametrize("protocol", ["pool", "normals"])
def test_in_sample_scores_are_standardised_over_all_fitted_rows(place, protocol):
    with np.load(place / "toy.npz") as file:
        loud = np.where(np.arange(160) < 80, 1.0, 3.0)[:, None]  # two of the four sensors
        relabel(place, signals=file["signals"] * loud)
    text = (place / "suite.toml").read_text()
    (place / "suite.toml").write_text('in_sample = ["toy_ensemble.toml"]\n' + text)
    split = "none" if protocol == "pool" else "recording"
    assert bench(place, "--split", split, "--protocol", protocol, "--combinations", "1") == 0
    trial = load_tensors(next((place / "out" / "scores").glob("*seed0*")))
    raw, z, reference = (trial[name] for name in ("raw", "z", "reference"))
    np.testing.assert_allclose(reference.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(reference.std(axis=0), 1)
    for x, found in zip(raw.T, z.T, strict=True):
        slope, offset = np.polyfit(x, found, 1)  # one line for all sensors
        np.testing.assert_allclose(found, slope * x + offset, atol=1e-9)
        if protocol == "pool":
            assert (slope, offset) == pytest.approx((1 / x.std(), -x.mean() / x.std()))
    assert (protocol == "pool") == np.allclose(z.mean(axis=0), 0)  # judged rows that were not fitted


def test_protocols_and_splits(place, capsys):
    assert bench(place, "--protocol", "normals", "--split", "recording", out="n") == 0
    assert {r["subset"] for r in results(place, "n")} == {"test"}
    assert bench(place, "--split", "none", "--contamination", "0.02", out="c") == 0
    assert {(r["n"], r["n_anomalous"]) for r in results(place, "c")} == {("155", "3")}
    assert bench(place, "--split", "record", out="r") == 0
    assert (
        "leak" in (place / "r" / "report.md").read_text()
        or "windows of one recording" in (place / "r" / "report.md").read_text()
    )
    assert bench(place, "--protocol", "normals", "--split", "none", out="x") == 2


def test_off_a_terminal_each_stage_is_told_once_with_its_tasks_counted(place, capsys):
    assert run(["benchmark", "run", str(place / "suite.toml"), "-o", str(place / "out")]) == 0
    told = capsys.readouterr()
    assert told.err.count("benchmark ...") == 1
    assert "  2 of 2  toy-all-toy_ensemble-seed1" in told.err
    assert "xa0" not in told.out and " ± " in told.out
