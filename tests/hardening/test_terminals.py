"""Streams that are closed, full, narrow or gone: never a traceback, always a documented exit code."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from vibro.cli import run as vibro

from .made import save_pool

VIBRO = f"{sys.executable} -m vibro"


def shell(command: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("ensemble list >&-", 0),
        ("ensemble list >&- 2>&-", 0),
        ("--help >&-", 0),
        ("ensemble show nosuch 2>&-", 2),
        ("ensemble show nosuch 2>/dev/full", 2),
        ("ensemble list >/dev/full", 8),
        ("ensemble list --json >/dev/full", 8),
        ("--help >/dev/full", 8),
        ("--version >/dev/full", 8),
        ("ensemble list | true", 141),
        ("ensemble list --json | head -c 1 >/dev/null", 141),
        ("ensemble show quick >/dev/full 2>/dev/full", 8),
    ],
)
def test_streams_that_cannot_be_written(tmp_path, command, code):
    done = shell(f"{VIBRO} {command}", tmp_path)
    assert done.returncode == code or (code == 141 and done.returncode == 0), done.stderr  # a pipe may be read in time
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr and "Exception" not in done.stderr


def test_an_ascii_terminal_shows_chinese_names_as_escapes(tmp_path):
    save_pool(tmp_path / "中文😀.npz")
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = shell(f"{VIBRO} data check 中文😀.npz", tmp_path, **ascii_only)
    assert done.returncode == 0 and "\\u4e2d\\u6587" in done.stdout, done.stderr
    done = shell(f"{VIBRO} data check 中文😀.npz --json", tmp_path, **ascii_only)
    assert done.returncode == 0 and json.loads(done.stdout)["files"][0]["source"] == "中文😀.npz"
    done = shell(f"{VIBRO} ensemble list --lang zh", tmp_path, **ascii_only)
    assert done.returncode == 0, done.stderr
    done = shell(f"{VIBRO} data check 没有.npz --lang zh", tmp_path, **ascii_only)
    assert done.returncode == 2 and "\\u6ca1\\u6709" in done.stderr


NAMES = ["\x1b[31mred", "a\u202egpj", "x\u2066y", "bell\x07", "line\nfeed"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_cannot_steer_the_terminal_or_a_table(tmp_path, capsys, name):
    folder = tmp_path / f"in {name}"
    folder.mkdir()
    save_pool(folder / f"{name}.npz")
    bad = folder / f"{name}.jsonl"
    bad.write_text("{}\n" * 3)
    line = ["ensemble", "run", str(folder), "-o", str(tmp_path / "run"), "--ensemble", "quick"]
    code = vibro([*line, "--detectors", "mahalanobis,knn", "--max-quarantine", "0.5"])
    said = capsys.readouterr()
    assert code == 0, said.err
    commands = [["data", "check", str(folder)], ["explain", str(tmp_path / "run"), f"{name}.npz:79"]]
    commands += [["report", str(tmp_path / "run"), "-o", str(folder / "page.html")]]
    shown = said.out + said.err
    for command in commands:
        vibro(command)
        said = capsys.readouterr()
        shown += said.out + said.err
    hostile = [c for c in name if not c.isprintable() and c != "\n"]
    assert [c for c in hostile if c in shown] == []
    for table in ("scores.csv", "quarantine.csv", "report.html", "machines.csv"):
        text = (tmp_path / "run" / table).read_text("utf-8")
        assert [c for c in hostile if c in text] == [], table


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("megabytes", [600, pytest.param(900, marks=pytest.mark.slow), 1100])
def test_little_memory_is_exit_code_8_or_a_finished_run(finished, tmp_path, megabytes):
    line = [
        sys.executable,
        "-m",
        "vibro",
        "ensemble",
        "run",
        str(finished.parent / "pool.npz"),
        "-o",
        str(tmp_path / "o"),
    ]
    limits = (megabytes << 20, megabytes << 20)
    done = subprocess.run(
        [*line, "--ensemble", "quick", "--detectors", "mahalanobis,knn", "--no-report", "--quiet"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limits),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 8 or (done.returncode == 0 and megabytes > 1024), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        assert (tmp_path / "o" / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


def test_words_for_short_memory():
    from vibro.errors import PluginError, short_of_memory

    for error in (
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
    ):
        assert short_of_memory(error)
        try:
            raise PluginError("x") from error
        except PluginError as wrapped:
            assert short_of_memory(wrapped)
    for error in (ValueError("cannot allocate memory"), RuntimeError("x"), OSError(28, "No space left"), None):
        assert not short_of_memory(error)


@pytest.mark.parametrize("stage", ["fit", "score", "view"])
def test_a_detector_without_memory_ends_the_run_with_8(finished, tmp_path, monkeypatch, capsys, stage):
    from vibro_plugins.detectors import mahalanobis
    from vibro_plugins.features import per_sensor

    from .made import ensemble_run

    def out_of_memory(*args, **kwargs):
        raise MemoryError

    cls = {"fit": mahalanobis.Mahalanobis, "score": mahalanobis.Mahalanobis, "view": per_sensor.PerSensor}[stage]
    monkeypatch.setattr(cls, "transform" if stage == "view" else stage, out_of_memory)
    monkeypatch.setenv("VIBRO_CACHE_DIR", str(tmp_path / "cache"))
    assert ensemble_run(finished.parent / "pool.npz", tmp_path / "run", "--executor", "serial") == 8
    assert "memory" in capsys.readouterr().err
