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
