"""Sensors of few records with the column ``group``: fewer false alarms than compared with all sensors, faults still found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.core.folds import make_rows
from vibro.data import make_batch
from vibro.report.messages import known
from vibro.runs.groups import with_groups

FS, SAMPLES = 4096, 448
SENSORS = {**{f"p{i}": 20 for i in range(20)}, **{f"c{i}": 6 for i in range(8)}, "x": 6}


def signals(rng, sensor: str, n: int, tone: float) -> np.ndarray:
    """Pumps hum; crushers, sensors ``c``, are a band of noise whose level changes; a fault is one tone more."""
    t = np.arange(SAMPLES) / FS
    if sensor[0] == "c":
        x = 5 * np.exp(0.3 * rng.standard_normal((n, 1))) * rng.standard_normal((n, SAMPLES + 2))
        x = x[:, 2:] - 1.6 * x[:, 1:-1] + 0.9 * x[:, :-2]
    else:
        x = np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, SAMPLES))
    fault = np.sin(2 * np.pi * 900 * t + rng.uniform(0, 6, (n, 1)))
    return x + tone * x.std(axis=1, keepdims=True) * fault


def records(path: Path, rng, counts: dict[str, int], tone: float = 0.0) -> str:
    with path.open("w") as handle:
        for sensor, n in counts.items():
            for i, row in enumerate(signals(rng, sensor, n, tone)):
                time = f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z"
                item = {"sensor_id": sensor, "data_time": time, "signal_value": np.round(row, 4).tolist(), "fs": FS}
                handle.write(json.dumps(item) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Records to fit on, later ones that are normal, and later ones with a fault; tables without and with groups."""
    folder, rng = tmp_path_factory.mktemp("groups"), np.random.default_rng(0)
    records(folder / "fit.jsonl", rng, SENSORS)
    records(folder / "normal.jsonl", rng, {**dict.fromkeys(SENSORS, 12), "c9": 3})
    records(folder / "fault.jsonl", rng, dict.fromkeys(SENSORS, 12), tone=1.5)
    group = {"p": "pumps", "c": "crushers", "x": "lone"}
    for name, cells in (("without", {}), ("with", group)):
        rows = [f"{sensor},{sensor},{cells.get(sensor[0], '')}" for sensor in SENSORS]
        (folder / f"{name}.csv").write_text("\n".join(["sensor_id,machine_id,group", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def found(plant, two):
    """The summaries of a run and of its scoring of normal records and of faults, without and with groups."""
    told = {}
    for name in ("without", "with"):
        run = plant / name
        line = ["ensemble", "run", str(plant / "fit.jsonl"), "-o", str(run), "--sensors", str(plant / f"{name}.csv")]
        assert vibro([*line, *two]) == 0
        told[name, "fit"] = json.loads((run / "summary.json").read_text())
        for kind in ("normal", "fault"):
            out = plant / f"{name}-{kind}"
            registry = two[:2]
            line = ["score", str(run), str(plant / f"{kind}.jsonl"), "-o", str(out), "--no-report", "--quiet"]
            assert vibro([*line, *registry]) == 0
            told[name, kind] = json.loads((out / "summary.json").read_text())
    return told


def alarms(summary, kind: str) -> float:
    """Share of alarms among the records of the fitted sensors of a kind."""
    rows = [row for row in summary["sensors"] if row["sensor_id"] in SENSORS and row["sensor_id"][0] == kind]
    return sum(row["alarm"] for row in rows) / sum(row["records"] for row in rows)


def test_false_alarms_on_sensors_of_few_records_fall_and_faults_are_found(found):
    assert alarms(found["without", "normal"], "c") > 0.5  # compared with pumps
    assert alarms(found["with", "normal"], "c") < 0.2
    assert alarms(found["with", "fault"], "c") > 0.8
    assert alarms(found["with", "normal"], "p") < 0.1 and alarms(found["with", "fault"], "p") > 0.9


def test_the_summary_tells_who_is_compared_with_whom(found):
    summary = found["with", "fit"]
    told = summary["fusion"]["calibration"]
    assert told["groups"] == {"own": 0, "pooled": 1, "group": 28} and told["alike"] == {"crushers": 8, "pumps": 20}
    baselines = {row["sensor_id"]: row["calibration"] for row in summary["sensors"]}
    assert baselines == {sensor: "pooled" if sensor == "x" else "group" for sensor in SENSORS}
    lone = "1 group (lone) of fewer than 2 sensors or 20 records to fit on: compared with all sensors"
    assert lone in summary["warnings"] and known(lone)
    later = found["with", "normal"]
    assert later["fusion"]["calibration"] == told
    assert any(
        "does not know 1 sensor (c9): 3 records judged by the calibration of all" in w for w in later["warnings"]
    )


def test_without_the_column_nothing_is_told_of_groups(found):
    told = found["without", "fit"]["fusion"]["calibration"]
    assert told["groups"] == {"own": 0, "pooled": 29} and "alike" not in told
    assert not any("group" in text for text in found["without", "fit"]["warnings"])


def test_new_cuts_leave_the_baselines_as_they_were(found, plant):
    line = ["threshold", str(plant / "with"), "--method", "quantile", "--budget", "0.05", "--quiet"]
    assert vibro([*line, "-o", str(plant / "recut")]) == 0
    summary = json.loads((plant / "recut" / "summary.json").read_text())
    assert {row["calibration"] for row in summary["sensors"]} == {"group", "pooled"}


def test_a_group_that_is_given_but_has_no_records_here_is_no_group():
    x = np.random.default_rng(0).standard_normal((60, 32))
    batch = make_batch(x, fs=1000.0, sensor=["a", "b", "c"] * 20)
    rows = make_rows(batch)
    same, used, said = with_groups(batch, rows, {"z": "gone"})
    assert same is rows and used == {} and said == []
    grouped, used, _ = with_groups(batch, rows, {"a": "g", "b": "g", "z": "g"})
    assert used == {"g": ["a", "b"]} and grouped.alike.tolist() == [0, 0, -1]
