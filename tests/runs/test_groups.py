"""Sensors of few records in groups, given or found: fewer false alarms than compared with all sensors, faults still found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.core.folds import make_rows
from vibro.data import make_batch
from vibro.report.messages import known
from vibro.runs import groups
from vibro.runs.groups import with_groups
from vibro.simulate.simulate import simulate

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
    """Records to fit on, later ones that are normal, and later ones with a fault; tables with one group, groups or none."""
    folder, rng = tmp_path_factory.mktemp("groups"), np.random.default_rng(0)
    records(folder / "fit.jsonl", rng, SENSORS)
    records(folder / "normal.jsonl", rng, {**dict.fromkeys(SENSORS, 12), "c9": 3})
    records(folder / "fault.jsonl", rng, dict.fromkeys(SENSORS, 12), tone=1.5)
    given = {"p": "pumps", "c": "crushers", "x": "lone"}
    for name, cells in (("one", dict.fromkeys(given, "all")), ("given", given), ("found", {})):
        rows = [f"{sensor},{sensor},{cells.get(sensor[0], '')}" for sensor in SENSORS]
        (folder / f"{name}.csv").write_text("\n".join(["sensor_id,machine_id,group", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def found(plant, two):
    """The summaries of a run and of its scoring of normal records: all in one group, groups given or found; then of faults."""
    told = {}
    for name in ("one", "given", "found"):
        run = plant / name
        line = ["ensemble", "run", str(plant / "fit.jsonl"), "-o", str(run), "--sensors", str(plant / f"{name}.csv")]
        assert vibro([*line, *two]) == 0
        told[name, "fit"] = json.loads((run / "summary.json").read_text())
        for kind in ("normal", "fault")[: 1 + (name == "found")]:
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
    assert alarms(found["one", "normal"], "c") > 0.5  # compared with pumps
    for name in ("given", "found"):
        assert alarms(found[name, "normal"], "c") < 0.2 and alarms(found[name, "normal"], "p") < 0.1
    assert alarms(found["found", "fault"], "c") > 0.8 and alarms(found["found", "fault"], "p") > 0.9


def test_the_summary_tells_who_is_compared_with_whom(found):
    summary = found["given", "fit"]
    told = summary["fusion"]["calibration"]
    assert told["groups"] == {"own": 0, "pooled": 1, "group": 28} and told["alike"] == {"crushers": 8, "pumps": 20}
    baselines = {row["sensor_id"]: row["calibration"] for row in summary["sensors"]}
    assert baselines == {sensor: "pooled" if sensor == "x" else "group" for sensor in SENSORS}
    lone = "1 group (lone) of fewer than 2 sensors or 20 records to fit on: compared with all sensors"
    assert lone in summary["warnings"] and known(lone)
    later = found["given", "normal"]
    assert later["fusion"]["calibration"] == told
    assert any(
        "does not know 1 sensor (c9): 3 records judged by the calibration of all" in w for w in later["warnings"]
    )


def test_groups_that_are_found_are_told_and_those_that_are_given_overrule_them(found):
    summary = found["found", "fit"]
    told = summary["fusion"]["calibration"]
    assert told["groups"] == {"own": 0, "pooled": 0, "group": 29} and told["alike"] == {"like c0": 8, "like p0": 21}
    sentence = (
        "2 groups of sensors with like spectra were found, those of c0, p0: sensors with few records borrow from their"
        " group; a column group of --sensors overrules this"
    )
    assert sentence in summary["warnings"] and known(sentence)
    for name in ("one", "given"):
        assert not any("were found" in text for text in found[name, "fit"]["warnings"])
    assert found["found", "normal"]["fusion"]["calibration"] == told


def test_new_cuts_leave_the_baselines_as_they_were(found, plant):
    line = ["threshold", str(plant / "given"), "--method", "quantile", "--budget", "0.05", "--quiet"]
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


def fleet(each: int, more=()):
    """A simulated fleet of 24 machines with a sensor each, ``each`` records of it, and the records (name, x) of ``more``."""
    made = simulate(records=24 * each, units=24, sensors=1, faults=0, fs=1024, length=256)
    sensor = [*made.sensor.tolist(), *(name for name, x in more for _ in x)]
    return make_batch(np.concatenate([made.x, *(x for _, x in more)]), fs=1024.0, sensor=sensor)


def test_a_fleet_of_one_kind_has_no_groups_and_its_rows_stay_as_they_were():
    batch = fleet(10)
    rows = make_rows(batch)
    same, used, said = with_groups(batch, rows, {})
    assert same is rows and used == {} and said == []


@pytest.mark.parametrize(("few", "sizes"), [(12, [8, 24]), (10, [8, 24]), (9, [])])
def test_groups_are_sought_only_where_sensors_have_few_records(few, sizes, monkeypatch):
    rng = np.random.default_rng(3)
    batch = fleet(12, [(f"n{i}", 50 * rng.standard_normal((10, 1, 256)).astype(np.float32)) for i in range(8)])
    monkeypatch.setattr(groups, "FEW", few)
    _, used, _ = with_groups(batch, make_rows(batch), {})
    assert sorted(map(len, used.values())) == sizes
