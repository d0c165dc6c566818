"""``vibro score``: what the data do not state comes from the model, what they state counts, and strangers are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro

FS, SAMPLES = 4096, 448


def signals(n: int, seed: int = 0, samples: int = SAMPLES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / FS
    return np.sin(2 * np.pi * 200 * t + rng.uniform(0, 6, (n, 1))) + 0.3 * rng.standard_normal((n, samples))


def records(path: Path, x, sensor="a", **more) -> str:
    """A ``.jsonl`` of records of one sensor, or of one each, an hour apart."""
    with path.open("w") as handle:
        for i, row in enumerate(x):
            name = sensor if isinstance(sensor, str) else sensor[i]
            time = f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z"
            item = {"sensor_id": name, "data_time": time, "signal_value": np.round(row, 5).tolist(), **more}
            handle.write(json.dumps(item) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    data = records(folder / "fit.jsonl", signals(60), fs=FS, unit="g")
    line = ["ensemble", "run", data, "-o", str(folder / "run"), "--ensemble", "quick", "--detectors", "mahalanobis"]
    assert vibro([*line, "--no-report", "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def score(model, tmp_path, capsys):
    def call(data: str, *more: str, code: int = 0) -> dict:
        line = ["score", str(model), data, "-o", str(tmp_path / "out"), "--no-report", "--force", "--json", *more]
        assert vibro(line) == code
        said = capsys.readouterr()
        return {"error": said.err} if code else json.loads(said.out)

    return call


def about(found: dict, word: str) -> list[str]:
    return [text for text in found["warnings"] if word in text]


def test_rate_and_unit_of_the_model_stand_in_for_what_is_not_stated(score, tmp_path):
    found = score(records(tmp_path / "new.jsonl", signals(20, seed=1)))
    assert (found["signal"]["fs"], found["signal"]["fs_source"], found["signal"]["unit"]) == (FS, "model", "g")
    assert about(found, "model's is taken") == [
        "the data state none, so the model's is taken: sampling rate 4096 Hz, unit g"
    ]


def test_what_the_data_state_is_never_overridden(score, tmp_path):
    same = score(records(tmp_path / "same.jsonl", signals(20, seed=1), fs=FS, unit="g"))
    assert same["signal"]["fs_source"] == "data" and not about(same, "model's is taken")
    fs = score(records(tmp_path / "fs.jsonl", signals(20, seed=1), fs=5000), code=9)
    assert "fs is 5000, the model was fitted at 4096" in fs["error"]
    unit = score(records(tmp_path / "unit.jsonl", signals(20, seed=1), fs=FS, unit="V"), code=9)
    assert "unit is V, the model was fitted on g" in unit["error"]
    option = score(records(tmp_path / "option.jsonl", signals(20, seed=1)), "--fs", "5000", code=9)
    assert "fs is 5000" in option["error"]
    length = score(records(tmp_path / "length.jsonl", signals(20, seed=1, samples=300)), code=9)
    assert "length is 300, the model was fitted at 448" in length["error"]


def test_of_several_lengths_that_of_the_model_stays(score, tmp_path):
    x = [*signals(10, seed=1), *signals(15, seed=2, samples=300)]
    found = score(records(tmp_path / "mixed.jsonl", x), "--max-quarantine", "0.7")
    assert found["records"]["accepted"] == 10 and found["records"]["by_code"] == {"Q008": 15}


def test_channels_and_windows_of_the_model_count_where_the_command_says_none(tmp_path, capsys):
    def recordings(name: str, count: int, seed: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for i in range(count):
            x = signals(2, seed=seed + i, samples=4096).round(5)
            np.savetxt(folder / f"{i}.csv", x.T, fmt="%.5f", delimiter=",", header="de (g),fe (g)", comments="")
        return folder

    fit = ["ensemble", "run", str(recordings("fit", 6, 0)), "-o", str(tmp_path / "run"), "--ensemble", "quick"]
    fit += ["--detectors", "mahalanobis", "--fs", str(FS), "--channels", "d*", "--window", "0.125s", "--hop", "0.0625s"]
    assert vibro([*fit, "--no-report", "--quiet"]) == 0
    capsys.readouterr()
    score = ["score", str(tmp_path / "run"), str(recordings("new", 2, 50)), "--no-report", "--json"]
    assert vibro([*score, "-o", str(tmp_path / "a")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["records"]["accepted"] == 2 * 15 and found["signal"]["length"] == 512
    assert about(found, "of the model were") == [
        "read as the data of the model were: --channels d* --window 512 --hop 256"
    ]
    assert vibro([*score, "-o", str(tmp_path / "b"), "--channels", "fe", "--window", "512"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["records"]["accepted"] == 2 * 8 and not about(found, "of the model were")


def test_records_of_as_many_channels_as_the_model_stay(score, tmp_path):
    two = [np.stack([row, row]) for row in signals(15, seed=3)]
    found = score(records(tmp_path / "mixed.jsonl", [*two, *signals(10, seed=1)]), "--max-quarantine", "0.7")
    assert found["records"]["accepted"] == 10 and found["records"]["by_code"] == {"Q008": 15}


def test_sensors_that_the_model_has_not_seen_are_told_as_a_group(score, tmp_path):
    known = score(records(tmp_path / "known.jsonl", signals(20, seed=1)))
    assert not about(known, "does not know")
    names = ["a"] * 5 + [f"new{i}" for i in range(15)]
    (said,) = about(score(records(tmp_path / "new.jsonl", signals(20, seed=1), sensor=names)), "does not know")
    assert said == (
        "the model does not know 15 sensors (new0, new1, new10 and 12 more):"
        " 15 records judged by the calibration of all its sensors"
    )
