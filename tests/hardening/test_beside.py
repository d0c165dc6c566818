"""Processes side by side: one writes, the others are refused or read what is complete."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vibro.store import manifest
from vibro.store.viewcache import ViewCache

from .made import save_pool

AT_ONCE = """
import json, os, sys, time
import scipy.signal, torch, vibro.runs.fit, vibro.runs.score, vibro.runs.watch
from vibro.cli import run

go, answer = os.pipe()
folder, lines = sys.argv[1], json.loads(sys.argv[2])
for i, line in enumerate(lines):
    if os.fork() == 0:
        os.close(answer)
        said = os.open(f"{folder}/said-{i}", os.O_CREAT | os.O_WRONLY)
        os.dup2(said, 1), os.dup2(said, 2)
        os.read(go, 1)  # until the parent has closed its end: all begin at once
        os._exit(run(line))
os.close(answer)
codes = dict(os.wait() for _ in lines)
print(json.dumps([os.waitstatus_to_exitcode(codes[pid]) for pid in sorted(codes)]))
"""


def at_once(tmp_path: Path, lines: list[list[str]]) -> list[tuple[int, str]]:
    """Exit code and messages of command lines that begin at the same moment, in processes of their own."""
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, str(tmp_path), json.dumps(lines)],
        capture_output=True,
        text=True,
        env={**os.environ, "VIBRO_CACHE_DIR": str(tmp_path / "cache")},
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    said = [(tmp_path / f"said-{i}").read_text() for i in range(len(lines))]
    assert not any("Traceback" in text for text in said), said
    return list(zip(json.loads(done.stdout), said, strict=True))


def small(data: Path, out: Path, *more: str) -> list[str]:
    line = ["ensemble", "run", str(data), "-o", str(out), "--ensemble", "quick", "--detectors", "mahalanobis,knn"]
    return [*line, "--executor", "serial", "--no-report", "--json", *more]


@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_one_of_many_runs_and_the_others_exit_7(tmp_path, finished, count):
    out = tmp_path / "run"
    found = at_once(tmp_path, [small(finished.parent / "pool.npz", out)] * count)
    assert sorted(code for code, _ in found) == [0] + [7] * (count - 1), found
    assert all("in use by" in said or "given up" in said for code, said in found if code == 7), found
    assert (out / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()
    manifest.verify(out)


def test_two_runs_share_one_cache(tmp_path, finished):
    data = finished.parent / "pool.npz"
    found = at_once(tmp_path, [small(data, tmp_path / name) for name in ("one", "two")])
    assert [code for code, _ in found] == [0, 0], found
    for name in ("one", "two"):
        assert (tmp_path / name / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()
    entries = list((tmp_path / "cache").rglob("seal"))
    assert entries and not list((tmp_path / "cache").rglob(".tmp-*"))
    for seal in entries:
        entry = seal.parent
        assert ViewCache(entry.parent).get(entry.name) is not None, entry


def test_readers_beside_a_writer_see_whole_results(copy, finished, tmp_path):
    """A run is replaced with ``--force`` while it is read again and again; then its writer dies in the middle."""
    line = small(finished.parent / "pool.npz", copy, "--force", "--seed", "5")
    writer = subprocess.Popen(
        [sys.executable, "-m", "vibro", *line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    beside, before = copy.with_name(f".{copy.name}.vibro-new"), (copy / "scores.csv").read_bytes()
    while writer.poll() is None and not (beside / "quarantine.csv").exists():
        time.sleep(0.005)
    writer.send_signal(signal.SIGSTOP)  # half done
    for command in (["report", str(copy), "-o", str(tmp_path / "page.html")], ["explain", str(copy), "pool.npz:79"]):
        assert run_quietly(command) == 0
    assert run_quietly(["threshold", str(copy)]) == 7
    assert manifest.verify(copy)["seed"] == 0 and (copy / "scores.csv").read_bytes() == before
    writer.send_signal(signal.SIGKILL)
    writer.send_signal(signal.SIGCONT)
    writer.wait()
    manifest.verify(copy)
    assert run_quietly(["label", str(copy), "pool.npz:3", "--as", "normal"]) == 0  # nothing to clean by hand
    assert run_quietly(line) == 0
    assert manifest.verify(copy)["seed"] == 5 and not beside.exists()


def run_quietly(command: list[str]) -> int:
    from vibro.cli import run

    return run([*command, "--quiet"])


def test_watch_beside_score(tmp_path, finished):
    inbox, data = tmp_path / "inbox", finished.parent / "pool.npz"
    inbox.mkdir()
    save_pool(inbox / "a.npz")
    model = str(finished / "model")
    watch = ["watch", str(inbox), "--model", model, "-o", str(tmp_path / "watched"), "--once", "--settle", "0.1"]
    score = ["score", model, str(data), "-o", str(tmp_path / "scored"), "--no-report"]
    found = at_once(tmp_path, [watch, score, score])
    assert found[0][0] == 0 and sorted(code for code, _ in found[1:]) == [0, 7], found
    manifest.verify(tmp_path / "scored")
    watched = np.loadtxt(tmp_path / "watched" / "scores.csv", str, delimiter=",", ndmin=2, skiprows=1)
    assert len(watched) == json.loads((tmp_path / "scored" / "summary.json").read_text())["records"]["accepted"]
