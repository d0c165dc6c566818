"""What a plugin did in a process of its own it does there again; one that cannot be imported is left out on request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vibro.cli import run as vibro

PLUGIN = '''
import os
import numpy as np
from vibro import hookimpl
from vibro.api import Detector

class Loud(Detector):
    """Loudness."""
    name = "loud"
    summary = "loudness"
    view = "raw"
    item = "c t"
    def fit(self, x, y=None): return None
    def score(self, x):
        if os.path.exists({trap!r}):
            os._exit(0)
        return np.abs(np.asarray(x, np.float64)).reshape(len(x), -1).mean(axis=1)
    def state(self): return {{"n": np.ones(1)}}
    def load_state(self, state): return None

@hookimpl
def register_detectors(register):
    register(Loud)
'''


def write(path: Path, trap: Path) -> Path:
    path.write_text(PLUGIN.format(trap=str(trap)))
    return path


def ensemble(path: Path, *names: str) -> Path:
    path.write_text("detectors = [" + ", ".join(f'{{ use = "{name}" }}' for name in names) + "]\nquorum = 0.4\n")
    return path


@pytest.fixture
def isolated_run(finished, tmp_path) -> Path:
    """A run with a plugin in a process of its own, which ends that process once ``trap`` is there."""
    plugin = write(tmp_path / "loud_plugin.py", tmp_path / "trap")
    table = ensemble(tmp_path / "mine.toml", "mahalanobis", "loud")
    line = ["ensemble", "run", str(finished.parent / "pool.npz"), "-o", str(tmp_path / "run"), "--ensemble", str(table)]
    assert vibro([*line, "--plugin", str(plugin), "--isolate", "--no-report", "--quiet"]) == 0
    return tmp_path / "run"


@pytest.mark.parametrize("model", ["run", "run/model"])
def test_score_keeps_an_isolated_plugin_isolated(finished, isolated_run, tmp_path, model):
    (tmp_path / "trap").touch()
    line = [sys.executable, "-m", "vibro", "score", str(tmp_path / model), str(finished.parent / "pool.npz")]
    line += ["-o", str(tmp_path / "out"), "--plugin", str(tmp_path / "loud_plugin.py"), "--no-report", "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 5 and "plugin loud_plugin ended its process" in done.stderr, done.stderr
    assert vibro([*line[3:], "--allow-missing", "--force"]) == 0


BROKEN = ["raise ValueError('no')", "import there_is_no_such_module", "def f(:", "import sys; sys.exit(0)", ""]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("isolate", [True, False])
def test_allow_missing_covers_a_plugin_file_that_cannot_be_imported(finished, tmp_path, capsys, text, isolate):
    (tmp_path / "broken.py").write_text(text)
    table = ensemble(tmp_path / "mine.toml", "mahalanobis", "loud")
    line = ["ensemble", "run", str(finished.parent / "pool.npz"), "-o", str(tmp_path / "run"), "--ensemble", str(table)]
    line += ["--plugin", str(tmp_path / "broken.py"), "--no-report", *(["--isolate"] if isolate else [])]
    code = vibro(line)
    assert code == (5 if text else 2) and "Traceback" not in capsys.readouterr().err
    assert vibro([*line, "--allow-missing", "--force"]) == 0
    said = capsys.readouterr()
    assert "loud" in said.out
    if text:
        assert "broken" in said.err and "left out" in said.err
