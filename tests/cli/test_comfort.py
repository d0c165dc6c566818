"""Options before a command, errors as JSON, completion, and ``vibro init`` with ``vibro run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from vibro import __version__
from vibro.cli import run as vibro
from vibro.ingest.settings import read_settings


@pytest.fixture
def here(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x = np.sin(0.3 * np.arange(300) + rng.uniform(0, 6, (60, 1))) + 0.3 * rng.standard_normal((60, 300))
    np.savez(tmp_path / "data.npz", signals=x, fs=1000.0)
    (tmp_path / "one.toml").write_text('detectors = [{ use = "mahalanobis", view = "spectrum" }]\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_help_of_the_program_names_the_options_of_every_command(capsys):
    assert vibro(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(option in told for option in ("--version", "--json", "--lang", "--quiet", "--install-completion"))
    assert vibro(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"vibro {__version__}"


def test_options_may_stand_before_the_command(capsys):
    for line in (
        ["--json", "ensemble", "list"],
        ["ensemble", "list", "--json"],
        ["--lang", "zh", "--json", "ensemble", "list"],
    ):
        assert vibro(line) == 0
        assert {row["name"] for row in json.loads(capsys.readouterr().out)["ensembles"]} >= {"quick", "default"}
    assert vibro(["--lang", "xx", "ensemble", "list"]) == 2


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        (["score", "nowhere", "nothing", "-o", "out"], 6, "nowhere"),
        (["ensemble", "show", "quik"], 2, "quik"),
        (["ensemble", "run"], 2, "Missing"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_errors_are_json_with_json(line, code, text, here, capsys):
    assert vibro([*line, "--json"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    found = json.loads(told.err.splitlines()[-1])
    assert found["event"] == "error" and text in found["message"] and found["exit_code"] == code
    assert vibro(line) == code
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "wanted"), [("vibro sc", "score"), ("vibro ensemble ru", "run"), ("vibro ", "watch")]
)
def test_a_shell_completes_commands(words, wanted):
    typed = words.split(" ")
    env = {**os.environ, "_VIBRO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1)}
    code = "import sys; sys.argv = ['vibro']; from vibro.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert wanted in done.stdout.split(), done.stderr


def test_init_writes_what_run_repeats(here, capsys):
    assert vibro(["init", "data.npz", "-o", "mine", "--ensemble", "one.toml", "--budget", "0.02"]) == 0
    written = tomllib.loads((here / "vibro.toml").read_text())["run"]
    assert written == {
        **{"data": ["data.npz"], "out": "mine", "ensemble": "one.toml", "budget": 0.02, "fit_on": "all", "seed": 0}
    }
    assert vibro(["run", "--quiet"]) == 0
    line = ["ensemble", "run", "data.npz", "-o", "other", "--ensemble", "one.toml", "--budget", "0.02", "--quiet"]
    assert vibro(line) == 0
    assert (here / "mine" / "scores.csv").read_bytes() == (here / "other" / "scores.csv").read_bytes()
    assert vibro(["run"]) == 2  # a finished run is not replaced unasked
    assert vibro(["run", "--force", "--quiet"]) == 0
    capsys.readouterr()
    assert vibro(["init", "data.npz"]) == 2 and "says already what to run" in capsys.readouterr().err
    assert vibro(["init", "data.npz", "--force"]) == 0


def test_how_to_read_may_stand_in_the_same_file(here):
    x = np.random.default_rng(1).standard_normal((60, 300))
    np.savez(here / "bare.npz", signals=x)
    (here / "vibro.toml").write_text("[read]\nfs = 500.0\n")
    assert vibro(["init", "bare.npz", "-o", "mine", "--ensemble", "one.toml"]) == 0
    assert read_settings(here / "vibro.toml") == {"fs": 500.0}
    assert vibro(["run", "--quiet"]) == 0
    assert json.loads((here / "mine" / "summary.json").read_text())["signal"]["fs"] == 500.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "holds no vibro.toml"),
        ("[read]\nfs = 1.0\n", "no table [run]"),
        ("[run]\n", "data"),
        ('[run]\ndata = ["data.npz"]\nbudget = 3\n', "budget"),
        ('[run]\ndata = ["data.npz"]\ncommand = "rm -rf /"\n', "unknown parameter"),
        ('[run]\ndata = ["gone.npz"]\n', "gone.npz"),
        ('[watch]\nwebhook = "http://x"\n[run]\ndata = ["data.npz"]\n', "watch"),
        ("[run", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_run_says_why(text, said, here, capsys):
    if text is not None:
        (here / "vibro.toml").write_text(text)
    assert vibro(["run"]) == 2
    assert said in capsys.readouterr().err
