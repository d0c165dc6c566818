"""``vibro benchmark run`` and ``compare`` end to end on toy detectors: results, resume, failures, refusals."""

from __future__ import annotations

import csv
import json
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from vibro.benchmark.grid import COLUMNS
from vibro.benchmark.regression import Limit, _difference, _noise
from vibro.benchmark.suite import read_suite
from vibro.benchmark.trial import standardised
from vibro.cli import run
from vibro.errors import ConfigError
from vibro.io.tensors import load_tensors

PLUGIN = """
import numpy as np
from vibro import hookimpl
from vibro.api import Detector

class Level(Detector):
    name = "toy_level"
    view = "raw"
    item = "c t"
    def fit(self, x, y=None):
        self.middle = np.asarray(np.median(x.std(axis=(1, 2))))
    def score(self, x):
        return np.abs(x.std(axis=(1, 2)) - self.middle).astype(np.float64)
    def state(self):
        return {"middle": self.middle}
    def load_state(self, state):
        self.middle = state["middle"]

class Peak(Level):
    name = "toy_peak"
    def score(self, x):
        return np.abs(x).max(axis=(1, 2)).astype(np.float64)

class Fragile(Peak):
    name = "toy_fragile"
    def fit(self, x, y=None):
        if self.params is not None and x.shape[0] % 2 == ODD:
            raise RuntimeError("not today")
        super().fit(x)

@hookimpl
def register_detectors(register):
    for cls in (Level, Peak, Fragile):
        register(cls)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with toy recordings of two machines, their labels, a suite and a plugin."""
    rng = np.random.default_rng(0)
    n = 160
    label = np.zeros(n, np.int8)
    label[[5, 6, 45, 46, 85, 86, 125, 126]] = 1
    signals = rng.standard_normal((n, 64)).astype(np.float32) * np.where(label, 2.0, 1.0)[:, None].astype(np.float32)
    machine = np.array([f"m{i // 40}" for i in range(n)])
    np.savez(
        tmp_path / "toy.npz",
        signals=signals,
        fs=100.0,
        label=label,
        sensor_id=machine,
        machine_id=machine,
        source_file=np.array([f"r{i // 20}" for i in range(n)]),
        fault_type=np.where(label, "loud", "normal"),
    )
    rows = "\n".join(f"toy.npz,{i},{label[i]},loud" for i in range(n))
    (tmp_path / "labels.csv").write_text(f"source,row,label,fault_type\n{rows}\n")
    (tmp_path / "toy.py").write_text(PLUGIN.replace("ODD", "2"))
    (tmp_path / "toy_ensemble.toml").write_text(
        textwrap.dedent(
            """
            detectors = [{ use = "toy_level" }, { use = "toy_peak" }]
            fuser = { use = "weighted_mean" }
            """
        )
    )
    (tmp_path / "suite.toml").write_text(
        textwrap.dedent(
            """
            summary = "toys"
            ensembles = ["toy_ensemble.toml"]
            plugins = ["toy.py"]
            fusers = ["weighted_mean", "auto"]
            seeds = 2
            [[sets]]
            name = "toy"
            path = "toy.npz"
            """
        )
    )
    monkeypatch.setenv("VIBRO_TEST_DATA", str(tmp_path))
    monkeypatch.setenv("VIBRO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("VIBRO_REGISTRY", raising=False)
    return tmp_path


def bench(place, *more, out="out", suite="suite.toml"):
    return run(["benchmark", "run", str(place / suite), "-o", str(place / out), "--quiet", *more])


def results(place, out="out"):
    with (place / out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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
    from vibro.core import views

    fit, judged, calls = module.fit_trial, module._judged, []

    def interrupted(bench, plan, made, **how):
        if made.key.seed == 1:
            raise KeyboardInterrupt
        return judged(bench, plan, made, **how)

    monkeypatch.setattr(module, "fit_trial", lambda *a, **s: (calls.append(1), fit(*a, **s))[1])
    monkeypatch.setattr(trial, "code_of", views.code_of.__wrapped__)
    monkeypatch.setattr(views, "_sources", views._sources.__wrapped__)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_judged", interrupted)
        assert bench(place) == 130
    assert len(calls) == 2
    if change == "plugin":
        (place / "toy.py").write_text(PLUGIN.replace("ODD", "2").replace("np.median", "np.mean"))
    elif change == "vibro":
        sources = views._sources
        monkeypatch.setattr(views, "_sources", lambda package: f"{sources(package)}{'edited' * (package == 'vibro')}")
    elif change == "covariates":
        suite = place / "suite.toml"
        suite.write_text(f"{suite.read_text()}covariates = false\n")
    elif change == "unseen":
        monkeypatch.setattr(trial, "code_of", lambda cls: "")
    assert bench(place, "--resume") == 0
    assert len(calls) == 2 + again


@pytest.mark.parametrize(
    "change",
    ["machine", "recordings", "machines", "time", "covariates", "covariate_names", "fs", "y", "split", "device"],
)
def test_the_key_of_a_trial_holds_whatever_its_rows_follow_from(change):
    from vibro.benchmark.datasets import SetEntry, load_set
    from vibro.benchmark.suite import PoolEntry, Suite
    from vibro.benchmark.trial import TrialKey, cache_key
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
    told = "not judged under toy_frail in 3 of 3 combinations: RuntimeError: not two"
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
    told = "not judged under toy_never in 6 of 6 combinations: ZeroDivisionError: no cut"
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
    assert told == "not judged under toy_never in 1 of 6 combinations: ZeroDivisionError: no cut"


def relabel(place, **changes):
    """The toy recordings with other arrays."""
    with np.load(place / "toy.npz") as file:
        arrays = dict(file)
    np.savez(place / "toy.npz", **arrays | changes)


def test_draws_of_one_class_count_for_no_row(place):
    label = np.zeros(160, np.int8)
    label[[5, 6, 7, 25, 26]] = 1  # one machine only: either the pool or the test has none
    with np.load(place / "toy.npz") as file:
        signals = file["signals"] / file["signals"].std(axis=1, keepdims=True)
    relabel(place, label=label, signals=signals * (1 + label)[:, None])
    assert bench(place, "--seeds", "4") == 0
    rows = results(place)
    assert all((r["roc_auc"] == "") == (r["n_anomalous"] == "0") for r in rows)
    assert {r["status"] for r in rows if r["n_anomalous"] == "0"} == {"one class only"}
    found = json.loads((place / "out" / "benchmark.json").read_text())
    told = [text for text in found["warnings"] if "one class only" in text]
    assert told and all(text.startswith(("toy/all/pool: ", "toy/all/test: ")) for text in told)
    for r in found["rows"]:
        assert r["average_precision"] > 0.9
        assert r["n_anomalous"] < 5  # the mean over the draws, not that of the first


def test_one_data_set_without_other_draws_gives_no_interval(place):
    assert bench(place, "--split", "none") == 0  # the toys are deterministic: both seeds are one draw
    found = json.loads((place / "out" / "benchmark.json").read_text())
    paired = {p["against"]: p for p in found["tests"]["all_blocks"]["paired"]}
    assert paired["kurtosis"]["diff"] > 0 and paired["kurtosis"]["lo"] is None and paired["kurtosis"]["p"] is None
    assert found["tests"]["all_blocks"]["data_sets"] == 1
    report = (place / "out" / "report.md").read_text()
    assert "the draws of one data set" in report
    assert report.count("Fewer than 6 data sets cannot show a difference at 5%, whatever the interval.") == 2
    assert all(r["average_precision_interval"] is None for r in found["rows"])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"label": np.zeros(160, int)}, "no anomalous record"),
        ({"label": np.array(["good"] * 160)}, "label should hold 0 (normal)"),
        ({"label": np.ones(7, int)}, "for 160 signals"),
        ({"signals": np.ones(160)}, "shape (160,)"),
        ({"signals": np.full((160, 64), np.nan)}, "no record is free of NaN"),
        ({"data_time": np.array(["yesterday"] * 160)}, "cannot be used"),
        ({}, "cannot be read"),
    ],
)
def test_a_bad_data_set_costs_itself_only(place, arrays, said):
    with np.load(place / "toy.npz") as file:
        np.savez(place / "bad.npz", **{**file, **arrays})
    if not arrays:
        (place / "bad.npz").write_bytes(b"PK\x03\x04 cut short")
    suite = place / "suite.toml"
    suite.write_text(suite.read_text().replace("[[sets]]", '[[sets]]\nname = "bad"\npath = "bad.npz"\n[[sets]]'))
    assert bench(place, "--seeds", "1", "--combinations", "1") == 0
    (failure,) = json.loads((place / "out" / "benchmark.json").read_text())["failures"]
    assert failure["trial"] == "bad" and said in failure["message"]
    assert {r["data"] for r in results(place)} == {"toy"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("simulate = { recrds = 60 }", "data set bad: simulate knows no recrds"),
        ('simulate = { records = "many" }', "data set bad: simulate = {'records': 'many'} cannot be used"),
        ("simulate = { records = 60.5 }", "data set bad: simulate = {'records': 60.5} cannot be used"),
        ('path = "toy.npz"\nmachine = "(.*"', "data set bad: machine = '(.*' cannot be used: missing )"),
        ('path = "toy.npz"\nmachine = "m."', "data set bad: machine = 'm.' cannot be used: it has no group"),
    ],
)
def test_a_bad_entry_of_a_suite_costs_itself_only(place, capsys, entry, said):
    suite = place / "suite.toml"
    text = suite.read_text()
    suite.write_text(text.replace("[[sets]]", f'[[sets]]\nname = "bad"\n{entry}\n[[sets]]'))
    assert bench(place, "--seeds", "1", "--combinations", "1") == 0
    (failure,) = json.loads((place / "out" / "benchmark.json").read_text())["failures"]
    assert (failure["trial"], failure["error"]) == ("bad", "ConfigError") and said in failure["message"]
    assert {r["data"] for r in results(place)} == {"toy"}
    suite.write_text(text.partition("[[sets]]")[0] + f'[[sets]]\nname = "bad"\n{entry}\n')
    capsys.readouterr()
    assert bench(place, out="alone") == 2  # nothing is left, so the hint is told too
    told = capsys.readouterr().err
    assert said in told and ("simulate takes records, units" in told or "group names" in told or "are whole" in told)


def test_records_that_the_pattern_does_not_name_keep_their_machine(place):
    suite = place / "suite.toml"
    suite.write_text(suite.read_text() + 'machine = "m[01]|(m2)"\n')
    assert bench(place, "--seeds", "1", "--combinations", "1", "--split", "none") == 0
    assert json.loads((place / "out" / "benchmark.json").read_text())["data"][0]["machines"] == 4


def test_records_with_samples_that_are_no_numbers_are_left_out(place):
    with np.load(place / "toy.npz") as file:
        signals = file["signals"]
    signals[[3, 50], 7] = np.nan, np.inf
    relabel(place, signals=signals)
    assert bench(place, "--seeds", "1", "--split", "none") == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert any("toy: 2 of 160 records are left out" in text for text in found["warnings"])
    assert found["data"][0]["records"] == 158


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
    assert {f["message"] for f in found["failures"]} == {"not judged under toy_broken: KeyError: 'no metric'"}
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


@pytest.mark.parametrize("group", ["machine", "sensor", "recording"])
def test_labels_that_follow_from_the_group_are_told(place, group):
    label = (np.arange(160) // 20 % 4 == 1).astype(np.int8)
    mixed = np.array([f"x{i % 4}" for i in range(160)])
    names = {"machine": "machine_id", "sensor": "sensor_id", "recording": "source_file"}
    arrays = dict.fromkeys(names.values(), mixed) | {names[group]: np.array([f"g{i // 20}" for i in range(160)])}
    relabel(place, label=label, **arrays)
    assert bench(place, "--split", "none", "--seeds", "1", "--combinations", "1") == 0
    (told,) = (
        w for w in json.loads((place / "out" / "benchmark.json").read_text())["warnings"] if "all normal or" in w
    )
    assert told.startswith(f"toy: every {group} is all normal or all anomalous")


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


def test_standardised_scores():
    fit = np.array([[0.0, 0.1, np.nan], [2.0, 0.1, np.nan], [np.nan, 0.1, np.nan]])
    raw = np.array([[3.0, 5.0, 1.0], [np.nan, 0.1, 1.0], [99.0, 0.0, 1.0]])
    expected = [[2.0, 0.0, np.nan], [np.nan, 0.0, np.nan], [30.0, 0.0, np.nan]]
    np.testing.assert_array_equal(standardised(raw, fit, (-5.0, 30.0)), expected)


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


def test_few_labels_reach_learners_and_are_not_judged(place):
    overlay = place / "overlay.toml"
    overlay.write_text('[plugins.stacked]\nmodule = "vibro_plugins.fusers.stacked"\nprovides = ["fuser:stack"]\n')
    relabel(place, source_file=np.full(160, "one"))
    more = ["--labelled-k", "2", "--fusers", "stack", "--split", "none", "--registry", str(overlay)]
    assert bench(place, *more) == 0
    rows = results(place)
    assert {r["labelled_k"] for r in rows} == {"0", "2"}
    assert {(r["n"], r["n_anomalous"]) for r in rows if r["labelled_k"] == "2"} == {("156", "6")}


POOLS = '[[pools]]\nname = "p"\n'


@pytest.mark.parametrize(
    ("options", "pool", "said"),
    [
        (["--protocol", "nope"], "", "'pool' or 'normals'"),
        (["--split", "window"], "", "'machine', 'recording'"),
        (["--ensemble", ""], "", "names no ensemble"),
        (["--thresholders", ""], "", "names no thresholder"),
        (["--fs", "100", "--max-quarantine", "0.5"], "", "--fs, --max-quarantine would have no effect"),
        ([], 'variant = "light"\n', "no pool can be drawn"),
        ([], 'variant = "noisy"\ncontamination = 0.05\n', "add snr_db"),
        ([], 'variant = "episode"\n', "add contamination"),
    ],
)
def test_options_that_mean_nothing_are_refused(place, capsys, options, pool, said):
    if pool:
        (place / "suite.toml").write_text((place / "suite.toml").read_text() + POOLS + pool)
    assert bench(place, *options) == 2
    assert said in capsys.readouterr().err


def test_a_missing_option_is_named(capsys):
    assert run(["benchmark", "run", "toy.npz"]) == 2
    assert "Missing option" in (told := capsys.readouterr().err) and "--out" in told


def test_shares_and_labels_that_cannot_be_had_are_told(place):
    more = ["--split", "none", "--seeds", "1", "--combinations", "1", "--labelled-k", "2,2,8"]
    assert bench(place, *more, "--contamination", "0.5") == 0
    found = json.loads((place / "out" / "benchmark.json").read_text())
    assert "toy/c50: 5.0% anomalous, not 50.0%: there are no more anomalous records" in found["warnings"]
    (failure,) = found["failures"]
    assert failure["message"] == (
        "toy, pool c50: 8 labels a class and their recordings leave no anomalous record to judge"
    )
    assert {r["labelled_k"] for r in results(place)} == {"0", "2"}


def test_off_a_terminal_each_stage_is_told_once_with_its_tasks_counted(place, capsys):
    assert run(["benchmark", "run", str(place / "suite.toml"), "-o", str(place / "out")]) == 0
    told = capsys.readouterr()
    assert told.err.count("benchmark ...") == 1
    assert "  2 of 2  toy-all-toy_ensemble-seed1" in told.err
    assert "xa0" not in told.out and " ± " in told.out


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
    assert sum("2 labels a class are shown" in how for how in found["splits"]) == 1
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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 0}, "no anomalous record"),
        ({"machine": "one"}, "one machine only"),
        ({"suite": 'sets = [{ name = "a", pathh = "x" }]'}, "unknown parameter"),
        ({"suite": "seeds = 0\n[[sets]]\nname = 'a'"}, "out of bounds"),
        ({"suite": "seeds = 1"}, "names no data set"),
        ({"missing": True}, "is missing"),
        ({"fuser": "nothing"}, "nothing"),
        ({"combinations": "²"}, "all, pairs, or the largest number of members"),
    ],
)
def test_bad_input_is_one_clear_sentence(place, capsys, change, said):
    with np.load(place / "toy.npz") as file:
        arrays = dict(file)
    more = []
    if "label" in change:
        arrays["label"][:] = 0
    if "machine" in change:
        arrays["machine_id"][:] = arrays["sensor_id"][:] = "m0"
        more = ["--split", "machine"]
    if "fuser" in change:
        more = ["--fusers", "nothing"]
    if "combinations" in change:
        more = ["--combinations", change["combinations"]]
    np.savez(place / "toy.npz", **arrays)
    if "suite" in change:
        (place / "suite.toml").write_text(change["suite"])
    if "missing" in change:
        (place / "toy.npz").unlink()
    assert bench(place, *more) in (2, 3)
    text = capsys.readouterr().err
    assert said in text and "Traceback" not in text


def test_a_suite_finds_its_sets_beside_itself_and_reads_those_with_a_label_table(place, monkeypatch):
    monkeypatch.setenv("VIBRO_TEST_DATA", str(place / "elsewhere"))
    with np.load(place / "toy.npz") as file:
        times = np.datetime64("2024-01-01T00:00:00") + 60 * np.arange(160)
        lines = [
            {"data_time": f"{t}Z", "signal_value": ",".join(f"{v:.5f}" for v in x), "sensor_id": "s"}
            for t, x in zip(times, file["signals"], strict=True)
        ]
        label = file["label"]
    (place / "own").mkdir()
    (place / "own" / "plain.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows = "\n".join(f"plain.jsonl,{i},{v}" for i, v in enumerate(label))
    (place / "own" / "truth.csv").write_text(f"source,row,label\n{rows}\n")
    suite = (place / "suite.toml").read_text()
    more = '[[sets]]\nname = "plain"\npath = "own/plain.jsonl"\nfs = 100.0\nlabels = "own/truth.csv"\n'
    bare = '[[sets]]\nname = "bare"\npath = "own/plain.jsonl"\n'
    (place / "suite.toml").write_text(suite + more + bare)
    assert bench(place, "--split", "none", "--seeds", "1", "--combinations", "1") == 0
    assert {(r["data"], r["n"], r["n_anomalous"]) for r in results(place)} == {
        ("toy", "160", "8"),
        ("plain", "160", "8"),
    }
    (failure,) = json.loads((place / "out" / "benchmark.json").read_text())["failures"]
    assert failure["message"] == "data set bare: plain.jsonl holds no labels"


def test_data_of_the_user_with_a_label_table(place, capsys):
    table = place / "own.csv"
    with np.load(place / "toy.npz") as file:
        table.write_text("source,row,label\n" + "".join(f"toy.npz,{i},{v}\n" for i, v in enumerate(file["label"])))
    common = ["--ensemble", str(place / "toy_ensemble.toml"), "--quiet", "--seeds", "1"]
    command = ["benchmark", "run", str(place / "toy.npz"), "-o", str(place / "own"), *common]
    assert run(command) == 2  # no labels
    assert "--labels" in capsys.readouterr().err
    assert run([*command, "--labels", str(table)]) == 2  # toy detectors are in no registry
    detectors = ["--ensemble", "quick", "--detectors", "mahalanobis"]
    assert (
        run(
            [
                "benchmark",
                "run",
                str(place / "toy.npz"),
                "-o",
                str(place / "own"),
                "--labels",
                str(table),
                "--seeds",
                "1",
                "--quiet",
                *detectors,
            ]
        )
        == 0
    )
    assert {r["data"] for r in results(place, "own")} == {"toy"}


def test_labels_that_match_nothing_are_an_error(place, capsys):
    table = place / "other.csv"
    table.write_text("source,row,label\nelsewhere.npz,0,1\nelsewhere.npz,1,0\n")
    command = ["benchmark", "run", str(place / "toy.npz"), "-o", str(place / "own"), "--labels", str(table), "--quiet"]
    assert run(command) in (2, 3)
    text = capsys.readouterr().err
    assert "no row of other.csv matches a record" in text and "Traceback" not in text


def test_compare_says_what_is_worse(place, capsys):
    assert bench(place, "--seeds", "6", out="a") == 0
    capsys.readouterr()
    assert run(["benchmark", "compare", str(place / "a"), str(place / "a"), "--json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["rows"] and all(r["diff"] == 0 for r in same["rows"])
    with np.load(place / "toy.npz") as file:
        arrays = dict(file)
    arrays["signals"] /= arrays["signals"].std(axis=1, keepdims=True)  # the level is gone
    np.savez(place / "toy.npz", **arrays)
    assert bench(place, "--seeds", "6", out="b") == 0
    pair = ["benchmark", "compare", str(place / "a"), str(place / "b")]
    assert run(pair) == 0
    assert "differences were tested: by chance alone, about" in capsys.readouterr().err
    assert run([*pair, "--fail-on-worse", "average_precision:0.1"]) == 1
    assert run([*pair[:2], pair[3], pair[2], "--fail-on-worse", "average_precision:0.1"]) == 0
    assert run([*pair, "--fail-on-worse", "speed:0.1"]) == 2
    assert run(["benchmark", "compare", str(place / "a"), str(place)]) == 6


def test_an_interval_of_too_few_draws_is_no_finding():
    rows = []
    for draws in (2, 6):
        a, b = np.linspace(0.90, 0.91, draws), np.linspace(0.88, 0.86, draws)
        rows.append({"set": f"of {draws}", "metric": "average_precision"} | _difference([(a, b)], ["x"]))
        assert rows[-1]["hi"] < 0
    assert [r["set"] for r in Limit("average_precision", 0.01).broken({"rows": rows})] == ["of 6"]
    assert _noise(rows, 1, 2) == ["2 draws of one data set cannot show a difference at 5%: it takes 6"]
    assert _noise(rows, 5, 2) == ["5 data sets cannot show a difference at 5%: it takes 6"]
    assert not _noise(rows, 1, 6)


def compared(place, capsys, a="a", b="b"):
    capsys.readouterr()
    assert run(["benchmark", "compare", str(place / a), str(place / b), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_detector_that_fails_in_b_is_worse(place, capsys):
    text = (place / "toy_ensemble.toml").read_text()
    (place / "toy_ensemble.toml").write_text(text.replace("toy_peak", "toy_fragile"))
    assert bench(place, out="a") == 0
    (place / "toy.py").write_text(PLUGIN.replace("ODD", "0"))
    assert bench(place, out="b") == 0
    lost = {r["set"] for r in compared(place, capsys)["rows"] if r["lost"]}
    assert "toy_fragile" in lost and "toy_level" not in lost
    pair = ["benchmark", "compare", str(place / "a"), str(place / "b"), "--fail-on-worse", "average_precision:0.9"]
    assert run(pair) == 1
    assert "worse: toy_fragile average_precision 4 draws are missing in B" in capsys.readouterr().out


def test_compare_tells_other_records_and_protocols_and_takes_one_ensemble_under_two_names(place, capsys):
    assert bench(place, "--combinations", "1", out="a") == 0
    (place / "toy_ensemble.toml").rename(place / "renamed.toml")
    suite = (place / "suite.toml").read_text().replace("toy_ensemble", "renamed")
    (place / "suite.toml").write_text(suite)
    with np.load(place / "toy.npz") as file:
        relabel(place, signals=file["signals"] + 1)
    assert bench(place, "--combinations", "1", "--split", "recording", out="b") == 0
    found = compared(place, capsys)
    assert {r["ensemble"] for r in found["rows"]} == {"toy_ensemble"}
    told = " ".join(found["warnings"])
    assert "toy: A and B hold other records" in told and "splits differs" in told


def test_what_cannot_be_judged_is_an_error_for_ci(place, capsys):
    assert bench(place, "--seeds", "1", out="a") == 0
    suite = (place / "suite.toml").read_text().replace('name = "toy"', 'name = "other"')
    (place / "suite.toml").write_text(suite)
    assert bench(place, "--seeds", "1", out="b") == 0
    pair = ["benchmark", "compare", str(place / "a"), str(place / "b")]
    assert run(pair) == 2
    assert "share no row" in capsys.readouterr().err
    for text in ("average_precision:nan", "average_precision:inf", "average_precision"):
        assert run([*pair[:3], str(place / "a"), "--fail-on-worse", text]) == 2
    rows = [{"set": "baseline:rms", "metric": "f1", "diff": -0.5, "lo": None, "hi": None, "lost": 0}]
    with pytest.raises(ConfigError, match="share no f1"):
        Limit("f1", 0.1).broken({"rows": rows})
    rows.append(rows[0] | {"set": "toy"})
    assert Limit("f1", 0.1).broken({"rows": rows}) == rows[1:]


@pytest.mark.parametrize("text", ["{}", "[]", '{"ensembles": {}, "data": []}'])
def test_what_is_no_benchmark_is_not_compared(place, capsys, text):
    assert bench(place, "--seeds", "1", "--combinations", "1", out="a") == 0
    (place / "b").mkdir()
    (place / "b" / "benchmark.json").write_text(text)
    capsys.readouterr()
    for pair in ("a", "b"), ("b", "a"):
        assert run(["benchmark", "compare", *(str(place / name) for name in pair)]) == 2
        told = capsys.readouterr().err
        assert "benchmark.json lacks" in told and "failures, seeds" in told and "run the benchmark again" in told


def test_suites_of_the_repository_are_valid():
    from pathlib import Path

    folder = Path(__file__).parents[2] / "benchmarks" / "suites"
    suites = sorted(folder.glob("*.toml"))
    assert suites
    for path in suites:
        suite = read_suite(path)
        assert suite.summary and suite.name == path.stem
        assert all(Path(e).is_file() for e in (*suite.ensembles, *suite.plugins) if e.endswith((".toml", ".py")))
    with pytest.raises(ConfigError, match="no such file"):
        read_suite(folder / "none.toml")
