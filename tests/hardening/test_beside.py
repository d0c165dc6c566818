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


def test_side_by_side(tmp_path, finished):
    """Three runs on one folder and one on another, which share a cache; two of ``score`` on one folder, beside ``watch``."""
    data, model, scores = finished.parent / "pool.npz", str(finished / "model"), (finished / "scores.csv").read_bytes()
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    save_pool(inbox / "a.npz")
    watch = ["watch", str(inbox), "--model", model, "-o", str(tmp_path / "watched"), "--once", "--settle", "0.1"]
    score = ["score", model, str(data), "-o", str(tmp_path / "scored"), "--no-report"]
    run = small(data, tmp_path / "one")
    found = at_once(tmp_path, [run, run, run, small(data, tmp_path / "two"), score, score, watch])
    codes = [code for code, _ in found]
    assert (sorted(codes[:3]), codes[3], sorted(codes[4:6]), codes[6]) == ([0, 7, 7], 0, [0, 7], 0), found
    assert all("in use by" in said or "given up" in said for code, said in found if code == 7), found
    for name in ("one", "two", "scored"):
        manifest.verify(tmp_path / name)
    assert (tmp_path / "one" / "scores.csv").read_bytes() == scores == (tmp_path / "two" / "scores.csv").read_bytes()
    watched = np.loadtxt(tmp_path / "watched" / "scores.csv", str, delimiter=",", ndmin=2, skiprows=1)
    assert len(watched) == json.loads((tmp_path / "scored" / "summary.json").read_text())["records"]["accepted"]
    seals = list((tmp_path / "cache").rglob("seal"))
    assert seals and not list((tmp_path / "cache").rglob(".tmp-*"))
    for entry in (seal.parent for seal in seals):
        assert ViewCache(entry.parent).get(entry.name) is not None, entry


@pytest.mark.slow
def test_one_of_eight_runs(tmp_path, finished):
    found = at_once(tmp_path, [small(finished.parent / "pool.npz", tmp_path / "run")] * 8)
    assert sorted(code for code, _ in found) == [0] + [7] * 7, found
    manifest.verify(tmp_path / "run")


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
