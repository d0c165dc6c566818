"""The verdict from the command line: confidence, fault injection, missing plugins, cuts from labels, odd inputs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.injection.faults import KINDS, SEVERITIES
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write

ENSEMBLE = """
[ensembles.two]
summary = "two detectors"
detectors = [
  { use = "mahalanobis", view = { use = "per_sensor", of = "spectrum" } },
  { use = "pyod", id = "knn", model = "KNN", view = { use = "per_sensor", of = "spectrum" } },
]
calibration = { method = "robust", linear = 10.0, on = "auto" }
fuser = { use = "auditioned" }
thresholder = { use = "quantile" }
budgets = { attention = 0.1, alarm = 0.02 }
quorum = QUORUM
"""


def overlay(folder: Path, name: str, *, quorum: float = 0.1, off: str = "") -> str:
    path = folder / name
    without = f"[plugins.{off}]\nenabled = false\n" if off else ""
    path.write_text(without + ENSEMBLE.replace("QUORUM", str(quorum)))
    return str(path)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """120 simulated records of 1,024 samples of one machine with three sensors."""
    folder = tmp_path_factory.mktemp("plant")
    write(simulate(records=120, units=1, sensors=3, fs=1024, faults=0.08), folder)
    return folder


@pytest.fixture(scope="module")
def finished(plant, tmp_path_factory):
    """A run of two detectors weighted by what they catch of injected faults."""
    out = tmp_path_factory.mktemp("runs") / "run"
    registry = overlay(plant, "two.toml")
    line = ["ensemble", "run", "--registry", registry, str(plant / "data.jsonl"), "-o", str(out), "--fs", "1024"]
    assert vibro([*line, "--ensemble", "two", "--quiet"]) == 0
    return out


def test_every_level_has_a_confidence_and_every_machine_the_mean_of_its_records(finished):
    rows = table(finished / "scores.csv")
    judged = [row for row in rows if row["level"] in ("normal", "attention", "alarm")]
    sure = np.array([float(row["confidence"]) for row in judged])
    assert len(judged) > 100 and ((sure >= 0) & (sure <= 1)).all() and sure.mean() > 0.8
    assert all(row["confidence"] == "" for row in rows if row not in judged)
    cut = summary(finished)["thresholds"]["cuts"]["attention"]
    nearest = min(judged, key=lambda row: abs(float(row["score"]) - cut))
    assert float(nearest["confidence"]) < 0.95
    (machine,) = table(finished / "machines.csv")
    assert 0 < float(machine["confidence"]) <= 1


def test_the_run_states_the_smallest_fault_it_would_catch_on_each_sensor(finished):
    found = summary(finished)["fault_injection"]
    assert found["taught"] and not set(found["taught"]) & set(found["kinds"])
    assert found["kinds"] == list(KINDS) and found["severities"] == list(SEVERITIES)
    *sensors, everyone = found["smallest"]
    assert [row["sensor_id"] for row in sensors] == ["U1-S1", "U1-S2", "U1-S3"] and everyone["sensor_id"] is None
    assert found["records"] == everyone["records"] == sum(row["records"] for row in sensors) == 9
    assert {row["dropout"] for row in sensors} <= {None, *SEVERITIES} and everyone["dropout"] is not None
    assert set(found["detectors"]) == {"mahalanobis", "knn"}
    weight = {row["id"]: row["weight"] for row in summary(finished)["detectors"]}
    order = sorted(found["detectors"], key=lambda name: -found["detectors"][name])
    assert weight[order[0]] >= weight[order[1]]  # the fuser follows the trial
    page = (finished / "report.html").read_text("utf-8")
    assert "Fault-injection trial" in page and "Smallest severity detected on each sensor" in page


def test_scoring_goes_on_with_the_confidence_and_trial_of_the_model(plant, finished, tmp_path):
    out = tmp_path / "scored"
    line = ["score", str(finished), str(plant / "data.jsonl"), "-o", str(out), "--fs", "1024", "--quiet"]
    assert vibro([*line, "--registry", str(plant / "two.toml")]) == 0
    assert table(out / "scores.csv") == table(finished / "scores.csv")
    assert summary(out)["fault_injection"] == summary(finished)["fault_injection"]


def test_a_missing_plugin_is_exit_5_or_an_empty_column(plant, finished, tmp_path, capsys):
    def score(registry: str, *more: str) -> int:
        line = ["score", str(finished), str(plant / "data.jsonl"), "-o", str(tmp_path / "o"), "--fs", "1024", "--quiet"]
        return vibro([*line, "--registry", registry, "--force", *more])

    without_knn = overlay(tmp_path, "no_knn.toml", off="pyod_baselines")
    assert score(without_knn) == 5
    assert "needs detector knn" in capsys.readouterr().err
    assert score(without_knn, "--allow-missing") == 0
    rows = table(tmp_path / "o" / "scores.csv")
    assert {row["z_knn"] for row in rows} == {""} and all(row["z_mahalanobis"] for row in rows)
    (row,) = [d for d in summary(tmp_path / "o")["detectors"] if d["id"] == "knn"]
    assert row["status"] == "absent" and row["reason"]
    without_fuser = overlay(tmp_path, "no_fuser.toml", off="auditioned")
    assert score(without_fuser, "--allow-missing") == 5


def test_without_the_quorum_scoring_is_exit_5(plant, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "o"
    data = [str(plant / "data.jsonl"), "--fs", "1024", "--quiet"]
    registry = overlay(tmp_path, "strict.toml", quorum=0.9)
    assert vibro(["ensemble", "run", "--registry", registry, *data, "-o", str(run), "--ensemble", "two"]) == 0
    without = overlay(tmp_path, "less.toml", quorum=0.9, off="mahalanobis")
    assert vibro(["score", "--registry", without, str(run), *data, "-o", str(out), "--allow-missing"]) == 5
    said = capsys.readouterr().err
    assert "no record got a verdict" in said and "mahalanobis" in said
    assert json.loads((out / "manifest.json").read_text())["status"] == "failed"


def test_threshold_says_what_changed_and_moves_the_trial_with_the_cuts(plant, finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = {row["record_id"]: row["level"] for row in table(run / "scores.csv")}
    assert vibro(["threshold", str(run), "--budget", "0.3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    after = {row["record_id"]: row["level"] for row in table(run / "scores.csv")}
    assert (
        said["changed"]
        == sum(move["records"] for move in said["moves"])
        == sum(after[k] != before[k] for k in before)
        > 0
    )
    for move in said["moves"]:
        pairs = [(before[k], after[k]) for k in before]
        assert move["records"] == pairs.count((move["before"], move["after"]))
    old, new = summary(finished)["fault_injection"], summary(run)["fault_injection"]
    assert sum(map(sum, new["caught"].values())) > sum(map(sum, old["caught"].values()))
    assert vibro(["threshold", str(run), "--budget", "0.02", "--quiet"]) == 0
    assert summary(run)["fault_injection"] == old and summary(run)["warnings"] == summary(finished)["warnings"]


def test_cuts_from_labels_name_the_rows_they_learned_from(plant, finished, tmp_path, capsys):
    run, labels = tmp_path / "run", tmp_path / "labels.csv"
    shutil.copytree(finished, run)
    rows = table(plant / "labels.csv")
    known = {row["record_id"] for row in table(run / "scores.csv")}

    def say(rows: list[dict[str, str]], *more: str) -> int:
        with labels.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, ["record_id", "label"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return vibro(["threshold", str(run), "--method", "labelled", "--labels", str(labels), *more])

    assert say(rows) == 0
    learned = json.loads((run / "manifest.json").read_text())["decisions"][-1]["learned"]
    assert learned["rows"] == learned["normal"] + learned["anomalous"] <= len(known) and learned["anomalous"] > 0
    assert [float(r["confidence"]) for r in table(run / "scores.csv") if r["level"] == "alarm"]
    stranger = {"record_id": "0" * 16, "label": "1"}
    capsys.readouterr()
    assert say([*rows, stranger]) == 2 and "--labels-partial" in capsys.readouterr().err
    assert say([*rows, stranger], "--labels-partial") == 0
    assert any("no record, the first on line" in line for line in summary(run)["warnings"])
    for label in ("0", "1"):
        assert say([{**row, "label": label} for row in rows]) == 2
        assert "both classes" in capsys.readouterr().err


def test_label_rows_of_quarantined_records_are_no_error(plant, tmp_path):
    lines = (plant / "data.jsonl").read_text().splitlines()
    lines[11] = lines[11][:40]
    (tmp_path / "bad.jsonl").write_text("\n".join(lines) + "\n")
    run, labels = tmp_path / "run", tmp_path / "labels.csv"
    line = ["ensemble", "run", str(tmp_path / "bad.jsonl"), "-o", str(run), "--fs", "1024", "--quiet", "--no-report"]
    assert vibro([*line, "--registry", overlay(tmp_path, "two.toml"), "--ensemble", "two"]) == 0
    truth = [row["label"] for row in table(plant / "labels.csv")]
    labels.write_text("source,row,label\n" + "".join(f"bad.jsonl,{i},{label}\n" for i, label in enumerate(truth)))
    assert vibro(["threshold", str(run), "--method", "labelled", "--labels", str(labels)]) == 0


@pytest.mark.parametrize("budget", ["0", "1", "-0.1", "nan"])
def test_a_budget_that_asks_for_none_or_all_is_refused(plant, finished, tmp_path, capsys, budget):
    assert vibro(["threshold", str(finished), "--budget", budget, "--dry-run"]) == 2
    line = ["ensemble", "run", str(plant / "data.jsonl"), "-o", str(tmp_path / "o"), "--fs", "1024", "--budget", budget]
    assert vibro(line) == 2
    assert capsys.readouterr().err.count("error:") == 2


def test_records_that_are_all_alike_give_no_guessed_verdict(tmp_path, capsys):
    signal = ",".join(f"{np.sin(i / 7):.6f}" for i in range(256))
    rows = [
        json.dumps({"sensor_id": "s", "data_time": f"2026-01-01T00:{i:02d}:00Z", "fs": 1000.0, "signal_value": signal})
        for i in range(60)
    ]
    (tmp_path / "same.jsonl").write_text("\n".join(rows) + "\n")
    out = tmp_path / "o"
    line = ["ensemble", "run", str(tmp_path / "same.jsonl"), "-o", str(out), "--ensemble", "two", "--quiet"]
    code = vibro([*line, "--registry", overlay(tmp_path, "two.toml")])
    if code:
        assert code == 5 and capsys.readouterr().err.count("error:") == 1
    else:
        assert not {row["level"] for row in table(out / "scores.csv")} & {"alarm", "attention"}
