"""A disk that fails and a process that dies at any call: a sample of ``python -m benchmarks.scale.faults``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs Linux and a C compiler"
)


def disturbed(*arguments: str) -> str:
    """What the command says; it has to end well, which it does if every promise held."""
    line = [sys.executable, "-m", "benchmarks.scale.faults", *arguments]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_and_a_label_survive_faults():
    said = disturbed("run", "label", "--errors", "ENOSPC,SIGKILL", "--stride", "250")
    assert said.count(" 2 tries, 0 wrong") == 2, said


@pytest.mark.slow
def test_ten_kills_at_random_moments():
    assert "10 tries" in disturbed("run", "--errors", "", "--times", "10")


@pytest.mark.slow
def test_every_command_survives_faults():
    disturbed("--errors", "ENOSPC,EIO,EACCES,SIGKILL", "--stride", "200")
