"""Runs on machines whose sensors measure together: ``context`` and ``persistent_score`` from the fit to a single instant."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from vibro.cli import run as vibro
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write

UNITS, SENSORS = 1, 5


def plant(**settings):
    return simulate(units=UNITS, sensors=SENSORS, fs=1024, **{"records": 600, "faults": 0.06, **settings})


def jittered(found):
    """The same records, each some seconds after the beginning of its instant."""
    late = np.random.default_rng(4).integers(0, 40, len(found)) * np.timedelta64(1, "s")
    return replace(found, time=found.time + late)


def run(folder, *options, name="run"):
    line = ["ensemble", "run", str(folder / "data.jsonl"), "-o", str(folder / name), "--ensemble", "quick"]
    assert vibro([*line, "--no-report", "--quiet", *options]) == 0
    return told(folder / name)


def told(path):
    with (path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((path / "summary.json").read_text())


def some_lines(folder, name, chosen):
    """A file of the records (index) of ``data.jsonl`` that are chosen."""
    lines = (folder / "data.jsonl").read_text().splitlines()
    (folder / name).write_text("\n".join(lines[i] for i in chosen) + "\n")
    return str(folder / name)


def score(folder, data, name="scored"):
    line = ["score", str(folder / "run"), data, "-o", str(folder / name), "--no-report", "--quiet", "--force"]
    assert vibro(line) == 0
    return told(folder / name)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plant")
    found = jittered(plant())
    write(found, folder)
    rows, summary = run(folder, "--labels", str(folder / "labels.csv"))
    return folder, found, rows, summary


def by_id(rows, column):
    return {row["record_id"]: row[column] for row in rows}


def test_the_run_uses_both_and_says_so(fitted):
    _, found, rows, summary = fitted
    detectors = {d["id"]: d for d in summary["detectors"]}
    assert detectors["context"]["status"] == "ok" and detectors["context"]["sensitivity"]["passed"]
    assert summary["fault_injection"]["detectors"]["context"] > 0.2
    assert summary["persistence"]["on"] and summary["persistence"]["times_chance"] > 2.5
    (line,) = [w for w in summary["warnings"] if "persistent_score" in w]
    cut = summary["thresholds"]["cuts"]["alarm"]
    alone, near = (np.array([float(r[c] or "nan") for r in rows]) for c in ("score", "persistent_score"))
    judged = np.array([r["level"] in ("normal", "attention", "alarm") for r in rows])
    assert f" {(judged & (alone > cut) & (near <= cut)).sum()} record" in line
    assert (alone != near).any()
    for row, value in zip(rows, near, strict=True):
        if row["level"] == "alarm":
            assert value > cut
        elif row["level"] == "normal" and not row["reason"]:
            assert value <= cut
    y = found.label[[int(row["row"]) for row in rows]]
    for part, value in (("fused", alone), ("persistent", near)):
        stated = summary["metrics"][part]["average_precision"]
        assert stated == pytest.approx(
            average_precision_score(y[np.isfinite(value)], value[np.isfinite(value)]), abs=1e-6
        )


def test_one_new_instant_scores_as_in_the_batch(fitted):
    folder, _, rows, _ = fitted
    whole, scores = by_id(rows, "z_context"), by_id(rows, "score")
    chosen = np.arange(20 * SENSORS, 21 * SENSORS)
    one, _ = score(folder, some_lines(folder, "one.jsonl", chosen))
    assert len(one) == SENSORS and all(row["z_context"] for row in one if row["level"] != "invalid")
    for row in one:
        assert row["z_context"] == whole[row["record_id"]] and row["score"] == scores[row["record_id"]]
        assert row["persistent_score"] == row["score"]  # no neighbour in time


def test_a_record_without_its_companions_has_no_score_of_that_member_but_one_of_the_others(fitted):
    folder, _, rows, _ = fitted
    whole = by_id(rows, "z_mahalanobis")
    lone, summary = score(folder, some_lines(folder, "lone.jsonl", np.arange(10) * SENSORS + 1))
    for row in lone:
        assert row["z_context"] == "" and row["z_mahalanobis"] == whole[row["record_id"]]
        assert row["score"] and row["level"] in ("normal", "attention", "alarm")
    (line,) = [w for w in summary["warnings"] if "lack companions" in w]
    assert line.startswith("10 of 10 records")


def test_threshold_and_explain_follow_the_persistent_score(fitted, capsys):
    folder, _, rows, summary = fitted
    assert (
        vibro(["threshold", str(folder / "run"), "--method", "quantile", "-o", str(folder / "again"), "--quiet"]) == 0
    )
    again, changed = told(folder / "again")
    cut = changed["thresholds"]["cuts"]["alarm"]
    assert by_id(again, "persistent_score") == by_id(rows, "persistent_score")
    assert all(float(r["persistent_score"]) > cut for r in again if r["level"] == "alarm")
    cut = summary["thresholds"]["cuts"]["alarm"]
    moved = [r for r in rows if r["score"] and (float(r["score"]) > cut) != (float(r["persistent_score"]) > cut)]
    assert moved
    capsys.readouterr()
    assert vibro(["explain", str(folder / "run"), moved[0]["record_id"], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["persistent_score"] == pytest.approx(float(moved[0]["persistent_score"]))
    assert vibro(["explain", str(folder / "run"), moved[0]["record_id"]]) == 0
    assert "with its neighbours in time" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("case", ["three sensors", "unsynchronised"])
def test_without_common_instants_the_members_are_off_and_told_once(case, tmp_path):
    found = plant(records=300, faults=0.0)
    if case == "three sensors":
        names = np.unique(found.sensor)[:3]
        keep = np.isin(found.sensor, names)
        found = replace(
            found,
            **{
                name: getattr(found, name)[keep]
                for name in ("x", "sensor", "machine", "time", "label", "kind", "fault_type", "severity", "oltc")
            },
            covariates={name: column[keep] for name, column in found.covariates.items()},
        )
    else:  # each sensor measures in days of its own
        _, code = np.unique(found.sensor, return_inverse=True)
        found = replace(found, time=found.time + code * np.timedelta64(400, "D"))
    write(found, tmp_path)
    rows, summary = run(tmp_path)
    off = [w for w in summary["warnings"] if "measured at the same 40 instants" in w]
    assert len(off) == 1 and off[0].startswith("context and context_knn off: ")
    assert {d["id"]: d["status"] for d in summary["detectors"]}["context"] == "excluded"
    assert "z_context" not in rows[0] and all(row["score"] for row in rows)
