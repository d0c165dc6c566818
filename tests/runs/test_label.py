"""Transients and the user's labels from the command line: told, kept, learned by the model, and no run hurt by them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write
from vibro.store import bundle, manifest

ENSEMBLE = """
[ensembles.one]
summary = "one detector"
detectors = [{ use = "mahalanobis", view = { use = "per_sensor", of = "spectrum" } }]
fuser = { use = "auto" }
thresholder = { use = "quantile" }
budgets = { attention = 0.1, alarm = 0.02 }
"""


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def scores(run: Path) -> dict[str, dict[str, str]]:
    return {row["record_id"]: row for row in table(run / "scores.csv")}


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """500 simulated records of one machine with five sensors, tap changes and faults among them."""
    folder = tmp_path_factory.mktemp("plant")
    made = simulate(records=500, units=1, sensors=5, fs=8192, length=1024, faults=0.08, tap_changes=0.05, seed=3)
    write(made, folder, "npz")
    (folder / "one.toml").write_text(ENSEMBLE)
    return folder


@pytest.fixture(scope="module")
def finished(plant, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert fit(plant, out) == 0
    return out


def fit(plant: Path, out: Path, *more: str) -> int:
    line = ["ensemble", "run", str(plant / "data.npz"), "-o", str(out), "--registry", str(plant / "one.toml")]
    return vibro([*line, "--ensemble", "one", "--quiet", *more])


def score(plant: Path, model: Path, out: Path, registry: Path | None = None, *more: str) -> int:
    registry = registry or plant / "one.toml"
    line = ["score", str(model), str(plant / "data.npz"), "-o", str(out), "--registry", str(registry)]
    return vibro([*line, "--quiet", "--no-report", *more])


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def alarms(finished):
    """Ids of records in alarm."""
    return [ident for ident, row in scores(finished).items() if row["level"] == "alarm"]


def test_a_run_names_its_transients_and_they_raise_no_alarm(plant, finished):
    rows, truth = scores(finished), {row["record_id"]: row["kind"] for row in table(plant / "labels.csv")}
    transient = {ident for ident, row in rows.items() if row["reason"] == "transient"}
    taps = {ident for ident, kind in truth.items() if kind == "benign"}
    assert len(transient & taps) > 0.6 * len(taps) > 6 and len(transient - taps) <= 2
    assert {rows[ident]["level"] for ident in transient} == {"attention"}
    events = summary(finished)["transients"]
    assert sum(event["records"] for event in events) == len(transient)
    times = {row["data_time"] for ident, row in rows.items() if ident in transient}
    assert {event["time"] for event in events} == times and {event["machine_id"] for event in events} == {"U1"}
    (line,) = [text for text in summary(finished)["warnings"] if "gone at the next instant" in text]
    assert line.startswith(f"{len(events)} transients") and sorted(times)[0] in line
    page = (finished / "report.html").read_text("utf-8")
    assert 'id="transients"' in page and "<small>transient</small>" in page


def test_the_newest_instant_alarms_until_a_later_one_shows_that_it_was_a_transient(plant, finished, tmp_path):
    when = summary(finished)["transients"][-1]["time"]
    with np.load(plant / "data.npz") as data:
        arrays = dict(data)
    later = sorted(set(arrays["data_time"][arrays["data_time"] > when]))[0]
    for name, until in (("now", when), ("then", later)):
        rows = arrays["data_time"] <= until
        cut = {key: value[rows] if np.ndim(value) else value for key, value in arrays.items()}
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "data.npz", **cut)
        assert score(tmp_path / name, finished, tmp_path / f"{name}-out", plant / "one.toml") == 0
    now, then = (tmp_path / f"{name}-out" for name in ("now", "then"))
    hit = [row for row in table(then / "scores.csv") if row["data_time"] == when and row["reason"] == "transient"]
    before = scores(now)
    assert len(hit) >= 3 and {before[row["record_id"]]["level"] for row in hit} == {"alarm"}
    assert {before[row["record_id"]]["score"] for row in hit} == {row["score"] for row in hit}
    (line,) = [text for text in summary(now)["warnings"] if "its newest instant" in text]
    assert line.startswith(f"machine U1 at {when}") and not any("its newest" in t for t in summary(then)["warnings"])


def test_deciding_anew_keeps_the_transients(run):
    before = {ident for ident, row in scores(run).items() if row["reason"] == "transient"}
    assert vibro(["threshold", str(run), "--budget", "0.05", "--method", "mad", "--quiet"]) == 0
    assert {ident for ident, row in scores(run).items() if row["reason"] == "transient"} == before
    assert sum(event["records"] for event in summary(run)["transients"]) == len(before)


def test_what_is_labelled_benign_is_not_alarmed_again_by_the_run_nor_by_a_copy_of_its_model(
    plant, run, alarms, tmp_path, capsys
):
    marked, place = alarms[0], scores(run)[alarms[1]]
    words = ["label", str(run), marked[:12], f"{place['source']}:{place['row']}", "--as", "benign", "--type", "pump"]
    assert vibro([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"] == {"normal": 0, "fault": 0, "benign": 2} and said["warnings"] == []
    rows = table(run / "labels.csv")
    assert [row["record_id"] for row in rows] == alarms[:2]
    assert {(row["kind"], row["fault_type"], row["label"]) for row in rows} == {("benign", "pump", "0")}
    manifest.verify(run)
    bundle.load(run / "model")
    assert scores(run)[marked]["level"] == "alarm"  # nothing is decided anew until the user says so
    assert vibro(["threshold", str(run), "--quiet"]) == 0
    assert {(scores(run)[i]["level"], scores(run)[i]["reason"]) for i in alarms[:2]} == {("normal", "benign")}
    assert any("labelled normal or benign" in text for text in summary(run)["warnings"])
    assert sum(row["level"] == "alarm" for row in scores(run).values()) > 0  # others still are
    shutil.copytree(run / "model", tmp_path / "copy")
    assert score(plant, tmp_path / "copy", tmp_path / "scored") == 0
    assert scores(tmp_path / "scored") == scores(run)


def test_a_later_label_wins(run, alarms):
    for kind in ("benign", "fault"):
        assert vibro(["label", str(run), *alarms[:2], "--as", kind, "--quiet"]) == 0
    assert {(row["kind"], row["label"]) for row in table(run / "labels.csv")} == {("fault", "1")}
    assert vibro(["threshold", str(run), "--quiet"]) == 0
    assert {scores(run)[ident]["level"] for ident in alarms[:2]} == {"alarm"}


def test_labels_of_a_scoring_reach_the_model_that_scored(plant, run, alarms, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert score(plant, run, first) == 0
    assert vibro(["label", str(first), alarms[0], "--as", "benign", "--quiet"]) == 0
    manifest.verify(run)
    manifest.verify(first)
    assert [row["record_id"] for row in table(run / "labels.csv")] == alarms[:1]
    assert score(plant, run, second) == 0
    assert scores(second)[alarms[0]]["reason"] == "benign"
    assert vibro(["threshold", str(first), "--quiet"]) == 0
    assert scores(first)[alarms[0]]["reason"] == "benign"
    shutil.rmtree(run)
    capsys.readouterr()
    assert vibro(["label", str(first), alarms[1], "--as", "benign"]) == 0
    assert "does not know of this" in capsys.readouterr().err


def test_a_forced_run_keeps_the_labels(plant, run, alarms):
    assert vibro(["label", str(run), alarms[0], "--as", "benign", "--quiet"]) == 0
    assert fit(plant, run, "--force", "--no-report") == 0
    manifest.verify(run)
    assert [row["record_id"] for row in table(run / "labels.csv")] == alarms[:1]
    assert scores(run)[alarms[0]]["reason"] == "benign"


def test_a_forced_run_on_other_data_says_which_labels_it_cannot_obey(plant, run, alarms, tmp_path):
    assert vibro(["label", str(run), *alarms[:2], "--as", "benign", "--quiet"]) == 0
    with np.load(plant / "data.npz") as held:
        ids, arrays = [row["record_id"] for row in table(run / "scores.csv")], dict(held)
    kept = np.arange(len(ids)) != ids.index(alarms[0])
    np.savez(tmp_path / "fewer.npz", **{k: v[kept] if v.shape[:1] == kept.shape else v for k, v in arrays.items()})
    line = ["ensemble", "run", str(tmp_path / "fewer.npz"), "-o", str(run), "--registry", str(plant / "one.toml")]
    assert vibro([*line, "--ensemble", "one", "--quiet", "--force", "--no-report"]) == 0
    (said,) = [line for line in summary(run)["warnings"] if "in vain" in line]
    assert said.startswith("labels.csv marks 1 of its 2 records in vain") and said.endswith(alarms[0])


def test_a_forced_scoring_obeys_the_labels_that_its_model_does_not_know(plant, finished, run, alarms, tmp_path):
    out = tmp_path / "scored"
    assert score(plant, run, out) == 0
    assert vibro(["label", str(out), alarms[0], "--as", "benign", "--quiet"]) == 0
    assert score(plant, finished, out, None, "--force") == 0  # a model that was never told
    assert scores(out)[alarms[0]]["reason"] == "benign" and scores(out)[alarms[0]]["level"] == "normal"
    assert [row["record_id"] for row in table(out / "labels.csv")] == alarms[:1]


def test_wrong_labels_are_one_sentence_and_leave_the_run_alone(run, alarms, tmp_path, capsys):
    before = (run / "manifest.json").read_bytes()

    def refused(*words: str, code: int = 2) -> str:
        assert vibro(["label", *words]) == code
        return capsys.readouterr().err

    assert "no record 'ffffffffffff'" in refused(str(run), alarms[0], "ffffffffffff", "--as", "benign")
    assert "too short" in refused(str(run), "ab", "--as", "benign")
    assert "is not known" in refused(str(run), alarms[0], "--as", "good")
    assert "--as" in refused(str(run), alarms[0])
    assert "no type" in refused(str(run), alarms[0], "--as", "normal", "--type", "pump")
    assert "no such run" in refused(str(tmp_path / "nowhere"), alarms[0], "--as", "benign")
    assert (run / "manifest.json").read_bytes() == before and not (run / "labels.csv").exists()
    (run / "scores.csv").write_text("spoilt")
    assert "scores.csv is damaged" in refused(str(run), alarms[0], "--as", "benign", code=6)


def test_a_spoilt_table_of_labels_is_seen(run, alarms, capsys):
    assert vibro(["label", str(run), alarms[0], "--as", "benign", "--quiet"]) == 0
    (run / "labels.csv").write_text((run / "labels.csv").read_text().replace("benign", "nice"))
    assert vibro(["threshold", str(run)]) == 6
    assert "labels.csv is damaged" in capsys.readouterr().err
