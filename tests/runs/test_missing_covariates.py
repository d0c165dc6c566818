"""A model that learned with load and temperature, and records that lack them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """600 simulated records and a run of ``quick`` fitted with their covariates."""
    folder = tmp_path_factory.mktemp("plant")
    write(simulate(records=600, units=1, sensors=3, fs=1024, faults=0.03), folder)
    line = ["ensemble", "run", str(folder / "data.jsonl"), "-o", str(folder / "run"), "--ensemble", "quick"]
    assert vibro([*line, "--covariates", str(folder / "covariates.csv"), "--no-report", "--quiet"]) == 0
    return folder


def scored(plant, name, *options):
    line = ["score", str(plant / "run"), str(plant / "data.jsonl"), "-o", str(plant / name), "--no-report", "--quiet"]
    assert vibro([*line, *options]) == 0
    with (plant / name / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((plant / name / "summary.json").read_text())


def flagged(rows):
    return sum(row["level"] in ("attention", "alarm") for row in rows)


def test_records_without_covariates_are_judged_by_a_calibration_of_their_own(plant):
    with_them, told = scored(plant, "with", "--covariates", str(plant / "covariates.csv"))
    without, said = scored(plant, "without")
    assert 0 < flagged(without) <= 2 * flagged(with_them)
    assert not any("lack" in line for line in told["warnings"])
    (line,) = [line for line in said["warnings"] if "which the model was fitted with" in line]
    assert line.startswith("600 of 600 records lack ") and "load" in line and "lack ," not in line


def test_only_the_records_that_lack_them_change(plant):
    with (plant / "covariates.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    column = rows[0].index("load")
    for row in rows[1:101]:
        row[column] = ""
    with (plant / "some.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    whole, _ = scored(plant, "whole", "--covariates", str(plant / "covariates.csv"))
    some, said = scored(plant, "some", "--covariates", str(plant / "some.csv"))
    changed = np.array([a["score"] != b["score"] for a, b in zip(whole, some, strict=True)])
    (line,) = [line for line in said["warnings"] if "which the model was fitted with" in line]
    count = int(line.split(" of ")[0])
    assert 0 < count < 600 and changed.sum() <= count and "lack load, which" in line


def test_a_watch_takes_covariates_and_says_where_they_are_missing(plant, tmp_path, capsys):
    inbox, table = tmp_path / "in", tmp_path / "covariates.csv"
    inbox.mkdir()
    lines = (plant / "data.jsonl").read_text().splitlines(keepends=True)
    head, *values = (plant / "covariates.csv").read_text().splitlines(keepends=True)
    line = ["watch", str(inbox), "--model", str(plant / "run"), "-o", str(tmp_path / "out"), "--once", "--settle", "0"]
    line += ["--covariates", str(table), "--json"]

    def arrives(name, first, last, known):
        (inbox / name).write_text("".join(lines[first:last]))
        table.write_text(head + "".join(values[:known]))
        capsys.readouterr()
        assert vibro(line) == 0
        return [e for e in map(json.loads, capsys.readouterr().out.splitlines()) if e["event"] == "covariates"]

    assert arrives("a.jsonl", 0, 300, 600) == []
    (event,) = arrives("b.jsonl", 300, 310, 0)
    assert event["source"] == "b.jsonl" and event["warning"].startswith("10 of 10 records lack ")
    assert arrives("c.jsonl", 310, 320, 0) == []  # told before
    assert arrives("d.jsonl", 320, 330, 600) == [] and len(arrives("e.jsonl", 330, 340, 0)) == 1
    batch, _ = scored(plant, "batch", "--covariates", str(plant / "covariates.csv"))
    with (tmp_path / "out" / "scores.csv").open(newline="") as file:
        found = list(csv.DictReader(file))[:300]
    score = {row["record_id"]: row["score"] for row in batch}
    same = sum(row["score"] == score[row["record_id"]] for row in found)
    assert same >= 295  # views of an instant see the records of their own file only


def test_a_watch_ends_where_its_table_of_covariates_cannot_be(plant, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text((plant / "data.jsonl").read_text().partition("\n")[0] + "\n")
    line = ["watch", str(tmp_path / "in"), "--model", str(plant / "run"), "-o", str(tmp_path / "out"), "--once"]
    line += ["--settle", "0"]
    assert vibro([*line, "--covariates", str(tmp_path / "none.csv")]) == 2
    (tmp_path / "bad.csv").write_text("load\n1\n")
    assert vibro([*line, "--covariates", str(tmp_path / "bad.csv")]) == 2
    assert "no such file" in (said := capsys.readouterr().err) and "no key column" in said
