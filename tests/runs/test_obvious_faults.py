"""Six unmistakable faults among 186 records, 3 %: each is an alarm and nothing else is."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from vibro.cli import run as vibro

CASE = Path(__file__).parent / "cases" / "obvious_faults.npz"


@pytest.mark.parametrize("method", ["auto", "quantile", "pot", "conformal"])
def test_obvious_faults_raise_alarms_and_fail_the_run(tmp_path, method):
    labels = CASE.with_suffix(".csv")
    line = ["ensemble", "run", str(CASE), "-o", str(tmp_path / "run"), "--ensemble", "quick", "--labels", str(labels)]
    assert vibro([*line, "--set", f"thresholder.use={method}", "--fail-on", "alarm", "--quiet"]) == 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["thresholds"]["cuts"]["alarm"] < 20.0  # the lowest fault has some 27, the highest sound record 3.2
    with (tmp_path / "run" / "scores.csv").open(encoding="utf-8", newline="") as handle:
        alarms = sum(row["level"] == "alarm" for row in csv.DictReader(handle))
    assert alarms == 6 if method == "auto" else 6 <= alarms <= 8
