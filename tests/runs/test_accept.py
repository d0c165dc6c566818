"""``vibro accept``: after a repair a sensor's new normal is no alarm, and its faults still are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.errors import ConfigError
from vibro.runs.accept import accept_baseline
from vibro.runs.hosts import open_host

FS, SAMPLES = 4096, 448
REPAIRED, FAULTY = 1.5, 5.0  # gains


def write(path: Path, n: int, seed: int, gains=None, load: bool = False) -> str:
    """Records of sensors a and b, an hour apart; ``gains`` of sensor a."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01T00:00:00") + np.timedelta64(seed, "D") * 30
    with path.open("w") as handle:
        for i in range(n):
            for sensor in "ab":
                x = np.sin(2 * np.pi * 200 * np.arange(SAMPLES) / FS + rng.uniform(0, 6))
                x += 0.3 * rng.standard_normal(SAMPLES)
                gain = gains[i] if gains is not None and sensor == "a" else 1.0
                item = {"sensor_id": sensor, "data_time": f"{start + np.timedelta64(i, 'h')}Z", "fs": FS}
                item |= {"signal_value": np.round(gain * x, 5).tolist()}
                if load:
                    item["covariates"] = {"load": float(rng.uniform(0, 1))}
                handle.write(json.dumps(item) + "\n")
    return str(path)


@pytest.fixture(params=[False, True], ids=["plain", "with covariates"])
def place(request, tmp_path):
    load = request.param
    argv = ["ensemble", "run", write(tmp_path / "fit.jsonl", 80, 0, load=load), "-o", str(tmp_path / "fit")]
    assert vibro([*argv, "--ensemble", "quick", "--no-report", "--quiet"]) == 0
    write(tmp_path / "new.jsonl", 60, 1, np.full(60, REPAIRED), load)
    write(tmp_path / "later.jsonl", 40, 2, np.where(np.arange(40) < 30, REPAIRED, REPAIRED * FAULTY), load)
    return tmp_path


def levels(place: Path, data: str) -> dict[str, np.ndarray]:
    argv = [
        "score",
        str(place / "fit"),
        str(place / data),
        "-o",
        str(place / "out"),
        "--no-report",
        "--quiet",
        "--force",
    ]
    assert vibro(argv) == 0
    from vibro.store.tables import read_scores

    found = read_scores(place / "out")
    return {sensor: found["level"][found["sensor_id"] == sensor] for sensor in "ab"}


def test_the_new_normal_is_no_alarm_and_a_fault_still_is(place, capsys):
    before = levels(place, "new.jsonl")
    assert (before["a"] == "alarm").mean() > 0.9
    capsys.readouterr()
    assert vibro(["accept", str(place / "out"), "a", "--since", "2024-01-31", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == 60 and told["median_z"]["before"] > 5 > 1 > abs(told["median_z"]["after"])
    after = levels(place, "later.jsonl")
    assert (after["a"][:30] == "alarm").mean() < 0.1 and (after["a"][30:] == "alarm").mean() > 0.9
    assert np.array_equal(levels(place, "new.jsonl")["b"], before["b"])  # the other sensor is as it was


def test_what_cannot_be_accepted_is_an_error(place):
    levels(place, "new.jsonl")
    host = open_host(print)
    for run, sensor, since, text in (
        (place / "out", "c", "2024-01-31", "no sensor 'c'"),
        (place / "out", "a", "soon", "--since"),
        (place / "out", "a", "2024-02-02", "are needed"),
        (place, "a", "2024-01-31", "no run directory"),
    ):
        with pytest.raises(ConfigError, match=text):
            accept_baseline(host, run, sensor, since)
