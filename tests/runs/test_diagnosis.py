"""Machine knowledge through a run: checked, kept with run and model, read by score and explain; alarms carry a hypothesis."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.report.texts import texts
from vibro.store import bundle

FS, SECONDS, NORMAL = 12_000.0, 0.25, 40
SENSORS = "sensor_id,machine_id,balls,ball_d,pitch_d\nde,motor,9,7.94,39.04\n"
INNER = 4.5 * (1 + 7.94 / 39.04)  # shaft orders


def records(path: Path, faulty: int) -> tuple[str, str]:
    """Noise, then impacts at the inner race's rate of a shaft whose speed differs between records; with their speeds."""
    rng = np.random.default_rng(0)
    n, samples = NORMAL + faulty, round(SECONDS * FS)
    speeds = rng.uniform(28, 31, n)
    x = rng.normal(size=(n, samples))
    for row in range(NORMAL, n):
        for time in np.arange(0.001, SECONDS, 1 / (INNER * speeds[row])):
            t = np.arange(60) / FS
            first = int(time * FS)
            x[row, first : first + 60] += (9 * np.exp(-t / 0.001) * np.sin(2 * np.pi * 3000 * t))[: samples - first]
    times = [f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z" for i in range(n)]
    np.savez(path, signals=x.astype(np.float32), fs=FS, sensor_id=np.full(n, "de"), data_time=np.array(times))
    table = path.with_suffix(".csv")
    rows = [f"de,{time},{60 * speed:.3f}" for time, speed in zip(times, speeds, strict=True)]
    table.write_text("sensor_id,data_time,speed\n" + "\n".join(rows) + "\n")
    return str(path), str(table)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnosis")
    data, speeds = records(folder / "a.npz", 3)
    (folder / "sensors.csv").write_text(SENSORS)
    line = ["ensemble", "run", data, "-o", str(folder / "run"), "--ensemble", "quick", "--detectors", "mahalanobis"]
    assert vibro([*line, "--sensors", str(folder / "sensors.csv"), "--covariates", speeds, "--quiet"]) == 0
    return folder / "run"


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def test_alarms_carry_their_first_hypothesis(run, capsys):
    found = summary(run)
    alarms = [row for row in found["top"] if row["level"] == "alarm"]
    assert len(alarms) >= 3
    for row in alarms[:3]:
        assert (row["hypothesis"]["name"], row["hypothesis"]["grade"]) == ("bearing: inner race", "strong")
        assert found["hypotheses"][row["record_id"]] == row["hypothesis"]
    assert all(row["hypothesis"] is None for row in found["top"] if row["level"] != "alarm")
    assert "bearing: inner race, strong" in (run / "report.html").read_text("utf-8")


def test_knowledge_lies_with_run_and_model(run):
    known = {"de": {"balls": 9, "ball_d": 7.94, "pitch_d": 39.04}}
    assert summary(run)["machines_known"] == known
    assert bundle.load(run / "model").meta["schema"]["machines"] == known


def test_explain_says_what_it_looks_like_with_its_lines(run, tmp_path, capsys):
    row = summary(run)["top"][0]
    page = tmp_path / "page.html"
    assert vibro(["explain", str(run), row["record_id"], "-o", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hypotheses"][0] == row["hypothesis"]
    assert set(found["hypotheses"][0]) == {"name", "grade", "evidence", "against", "marks"}
    assert found["hypotheses"][0]["evidence"][0].startswith("6 lines at ")
    text = page.read_text("utf-8")
    assert texts("en")["h_envelope"] in text and text.count('class="named-line"') >= 6
    assert vibro(["explain", str(run), row["record_id"]]) == 0
    told = capsys.readouterr().out
    assert "bearing: inner race, strong" in told and "  for: 6 lines at " in told and "no evidence for: " in told


def test_a_record_like_no_fault_says_so(run, capsys):
    assert vibro(["explain", str(run), "a.npz:3"]) == 0
    assert "the record looks like none of the known faults" in capsys.readouterr().out


def test_the_model_knows_the_machine(run, tmp_path):
    data, speeds = records(tmp_path / "b.npz", 2)
    out = tmp_path / "scored"
    assert vibro(["score", str(run), data, "-o", str(out), "--covariates", speeds, "--quiet", "--no-report"]) == 0
    assert summary(out)["machines_known"] == summary(run)["machines_known"]
    assert summary(out)["top"][0]["hypothesis"]["name"] == "bearing: inner race"


def test_new_cuts_keep_the_hypotheses(run, tmp_path):
    out = tmp_path / "cut"
    assert vibro(["threshold", str(run), "--budget", "0.02", "-o", str(out), "--quiet"]) == 0
    assert summary(out)["hypotheses"] == summary(run)["hypotheses"]
    assert summary(out)["top"][0]["hypothesis"] == summary(run)["top"][0]["hypothesis"]


def test_geometry_that_cannot_be_stops_run_and_check(run, tmp_path, capsys):
    sensors = tmp_path / "sensors.csv"
    sensors.write_text(SENSORS.replace("7.94,39.04", "39.04,7.94"))
    data = str(run.parent / "a.npz")
    for line in (
        ["data", "check", data],
        ["ensemble", "run", data, "-o", str(tmp_path / "out"), "--ensemble", "quick"],
    ):
        assert vibro([*line, "--sensors", str(sensors)]) == 2
        assert "sensors.csv line 2: ball_d 39.04 is not smaller than pitch_d 7.94" in capsys.readouterr().err
