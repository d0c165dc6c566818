"""Arguments that no one means: one sentence, the documented code, and no waiting for a pipe that never ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vibro.cli import run as vibro

LONG = "n" * 300
DEEP = "[" * 5000


@pytest.fixture
def place(tmp_path, monkeypatch, finished) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pool.npz").write_bytes((finished.parent / "pool.npz").read_bytes())
    os.mkfifo("pipe")
    os.mkfifo("pipe.toml")
    os.mkfifo("pipe.py")
    Path("device").symlink_to("/dev/zero")
    Path("device.toml").symlink_to("/dev/zero")
    Path("loop").symlink_to("loop")
    Path("deep.toml").write_text(f"x = {DEEP}")
    return tmp_path


RUN = ["ensemble", "run", "pool.npz", "-o", "out"]
TABLES = [
    f"{option} {file}"
    for option in ("--labels", "--covariates", "--sensors", "--registry")
    for file in ("pipe", "device")
]
WRONG = [
    *TABLES,
    "--ensemble pipe.toml",
    "--ensemble device.toml",
    "--ensemble deep.toml",
    "--registry deep.toml",
    f"--ensemble {LONG}.toml",
    f"--labels {LONG}",
    f"--set knn.k={DEEP}",
    "--memory 0",
    "--memory -1GB",
    "--memory 1",
    "--memory nan",
    "--sign pipe",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_option_is_a_usage_error(place, capsys, option):
    assert vibro([*RUN, *option.split(" ")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "internal" not in said and len(said) < 1000
    assert not (place / "out").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line",
    [
        "ensemble run pool.npz -o /",
        "ensemble run pool.npz -o //",
        f"ensemble run pool.npz -o {LONG}",
        f"ensemble run pool.npz -o {'n' * 250}",
        "ensemble run pool.npz -o loop",
        "ensemble run pool.npz -o pool.npz",
        "ensemble run pool.npz -o pool.npz/out",
        f"ensemble run {LONG} -o out",
        f"score {LONG} pool.npz -o out",
        f"report {LONG}",
        f"explain {LONG} x",
        f"threshold {LONG}",
        f"diff {LONG} {LONG}",
        f"accept {LONG} a --since 2020-01-01",
        f"data simulate -o {LONG}",
        f"data convert pool.npz -o {LONG}.npz",
        f"plugins check {LONG}.py",
    ],
)
def test_a_path_that_cannot_be_is_a_usage_error(place, capsys, line):
    assert vibro(line.split(" ")) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "internal" not in said


def test_pipes_end_at_once_in_a_process_of_their_own(place):
    done = subprocess.run([sys.executable, "-m", "vibro", *RUN, "--plugin", "pipe.py"], capture_output=True, timeout=60)
    assert done.returncode == 5 and b"no such plugin file" in done.stderr
