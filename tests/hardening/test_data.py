"""Data that no detector can learn from: a clear sentence, or a run that says so; never the error of a library."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro

from .made import FS, signals


def run(tmp_path: Path, x: np.ndarray, *more: str, **arrays: object) -> int:
    np.savez(tmp_path / "pool.npz", signals=x.astype(np.float32), fs=float(FS), **arrays)
    line = [
        "ensemble",
        "run",
        str(tmp_path / "pool.npz"),
        "-o",
        str(tmp_path / "out"),
        "--ensemble",
        "quick",
        "--quiet",
    ]
    return vibro([*line, "--no-report", "--force", *more])


LIBRARY = (
    "numpy",
    "scipy",
    "sklearn",
    "torch",
    "array",
    "axis",
    "broadcast",
    "SVD",
    "nan",
    "Traceback",
    "internal error",
)
ODD = {
    "all zero": np.zeros((60, 448)),
    "all the same constant": np.full((60, 448), 3.25),
    "constants": np.arange(60)[:, None] * np.ones((60, 448)),
    "one record sixty times": np.tile(signals(8)[:1], (60, 1)),
    "one sample": np.arange(60.0)[:, None],
    "two samples": np.random.default_rng(0).standard_normal((60, 2)),
    "three samples": np.random.default_rng(0).standard_normal((60, 3)),
    "no sample": np.zeros((60, 0)),
    "no record": np.zeros((0, 448)),
    "huge": signals(60) * 1e30,
    "tiny": signals(60) * 1e-38,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_pools_end_in_a_sentence_or_a_verdict(tmp_path, capsys, name):
    code = run(tmp_path, ODD[name])
    said = capsys.readouterr().err
    assert code in (0, 3, 4, 5), said
    assert [word for word in LIBRARY if word in said] == [], said
    if code:
        assert said.startswith("error: ") and len(said) < 1500
    else:
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert sum(summary["levels"].values()) == summary["records"]["accepted"] == 60
        assert all(row["status"] != "failed" for row in summary["detectors"])


@pytest.mark.parametrize("value", ["1e30", "-1e38", "3.4e38", "1e300"])
def test_huge_covariates_end_in_a_sentence_or_a_verdict(tmp_path, capsys, value):
    rows = [f"pool.npz,{i},{value if i % 7 == 0 else i / 10},{i % 3}" for i in range(60)]
    table = tmp_path / "covariates.csv"
    table.write_text("source,row,load,speed\n" + "\n".join(rows) + "\n")
    code = run(tmp_path, signals(60), "--covariates", str(table), sensor_id=np.array(["a", "b"] * 30))
    said = capsys.readouterr().err
    assert code == (2 if value == "1e300" else 0), said
    assert [word for word in LIBRARY if word in said] == [], said
    if code == 0:
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert [(row["id"], row["reason"]) for row in summary["detectors"] if row["status"] == "failed"] == []
