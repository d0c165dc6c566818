"""``vibro pretrain``: weights from unlabelled records, and one sentence for what cannot be learned from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vibro.cli import run as vibro
from vibro.runs import pretrain
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write
from vibro_plugins.deep.weights import read_weights


@pytest.fixture
def plants(tmp_path, monkeypatch):
    """Two simulated plants, and a training that is over in a moment."""
    from vibro_plugins.detectors import pretrained

    monkeypatch.setattr(pretrained, "STEPS", 3)
    monkeypatch.setattr(pretrain, "POOLS", 4)
    for name, preset in (("tank", "transformer"), ("pump", "bearing")):
        write(simulate(records=60, units=1, sensors=3, fs=1024, preset=preset), tmp_path / name, "npz")
    return [str(tmp_path / name / "data.npz") for name in ("tank", "pump")]


def test_weights_say_what_they_were_learned_from_and_a_run_starts_from_them(plants, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    assert vibro(["pretrain", *plants, "-o", str(out), "--seed", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    _, about = read_weights(out)
    assert about["data"] == told["data"] and about["seed"] == 3 and out.stat().st_size == told["bytes"]
    assert all(50 < part["records"] <= 60 for part in about["data"]) and str(tmp_path) not in json.dumps(about)
    assert [part["pools"] for part in about["data"]] == [2, 2]
    run = [
        "ensemble",
        "run",
        plants[0],
        "-o",
        str(tmp_path / "run"),
        "--detectors",
        "pretrained",
        "--no-report",
        "--json",
    ]
    assert vibro([*run, "--set", f"pretrained.weights={out}"]) == 0
    (member,) = json.loads(capsys.readouterr().out)["detectors"]
    assert member["status"] == "ok" and member["params"]["weights"] == str(out)


def test_what_cannot_be_pretrained_is_one_sentence(plants, tmp_path, capsys):
    out = tmp_path / "w.safetensors"

    def refused(code, match, *more):
        assert vibro(["pretrain", plants[0], "-o", str(out), *more]) == code
        error = capsys.readouterr().err
        assert match in error and "Traceback" not in error

    refused(2, "detector mahalanobis cannot be pre-trained", "--detector", "mahalanobis")
    write(simulate(records=20, units=1, sensors=2, fs=1024), tmp_path / "few", "npz")
    plants[0] = str(tmp_path / "few" / "data.npz")
    refused(3, "fewer than the 36 of a pool")
    silent = tmp_path / "silent.npz"
    np.savez(silent, signals=np.zeros((50, 512), np.float32), fs=1000.0)
    plants[0] = str(silent)
    refused(3, "0 usable records")
    out.write_bytes(b"")
    refused(2, "is there already")
