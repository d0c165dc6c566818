"""Results do not depend on clock, time zone or language; nothing is asked of a network; cells are no formulas."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vibro.cli import run as vibro

from .made import FS, ensemble_run, signals

TABLES = ("scores.csv", "quarantine.csv", "machines.csv", "cases.csv")


def tables(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in TABLES}


@pytest.mark.parametrize("zone", ["Pacific/Auckland", pytest.param("America/St_Johns", marks=pytest.mark.slow)])
def test_the_time_zone_of_the_machine_changes_nothing(finished, tmp_path, monkeypatch, zone):
    times = [f"2024-0{1 + i // 30}-{1 + i % 28:02}T0{i % 3}:30:00" for i in range(80)]  # without a zone: UTC by rule
    pool = dict(np.load(finished.parent / "pool.npz"))
    np.savez(tmp_path / "pool.npz", **pool, data_time=np.array(times))
    assert ensemble_run(tmp_path / "pool.npz", tmp_path / "here") == 0
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert ensemble_run(tmp_path / "pool.npz", tmp_path / "there") == 0
    finally:
        monkeypatch.undo()
        time.tzset()
    assert tables(tmp_path / "there") == tables(tmp_path / "here")


def test_a_clock_that_jumps_back_changes_nothing(finished, tmp_path, monkeypatch):
    clock = iter(range(2_000_000_000, 0, -7_777))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    assert ensemble_run(finished.parent / "pool.npz", tmp_path / "run") == 0
    assert tables(tmp_path / "run") == tables(finished)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["tr_TR.UTF-8", "zh_CN.GB18030"])
def test_the_language_of_the_machine_changes_nothing(finished, tmp_path, language):
    line = ["ensemble", "run", str(finished.parent / "pool.npz"), "-o", str(tmp_path / "run"), "--ensemble", "quick"]
    done = subprocess.run(
        [sys.executable, "-m", "vibro", *line, "--detectors", "mahalanobis,knn", "--no-report", "--quiet"],
        env={**os.environ, "LC_ALL": language, "LANG": language, "PYTHONUTF8": "0"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "run") == tables(finished)


# --- a network --------------------------------------------------------------------------------------------------------

_WATCHED: list[str] | None = None  # what was asked of the network; None while nobody listens


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    asks = event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
    if _WATCHED is not None and asks:
        _WATCHED.append(f"{event} {arguments[-1]!r}")


@pytest.fixture
def asked():
    """What vibro asks of a network from here on."""
    global _WATCHED
    if not hasattr(_listen, "added"):
        sys.addaudithook(_listen)
        _listen.added = True
    _WATCHED = []
    yield _WATCHED
    _WATCHED = None


def test_nothing_is_asked_of_a_network(finished, tmp_path, asked):
    data, run = finished.parent / "pool.npz", tmp_path / "run"
    assert vibro([*f"ensemble run {data} -o {run} --ensemble quick --detectors mahalanobis,knn --quiet".split()]) == 0
    for line in (
        f"score {run} {data} -o {tmp_path / 'scored'}",
        f"explain {run} pool.npz:79 -o {tmp_path / 'page.html'}",
        f"threshold {run}",
    ):
        assert vibro([*line.split(), "--quiet"]) == 0, line
    assert asked == []


def test_the_listener_hears_an_attempt(asked):
    import socket

    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", 1), timeout=0.1):
        pass
    assert asked


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_run_without_any_network(finished, tmp_path):
    """In a namespace of its own, where there are no routes and not even a loopback device that is up."""
    apart = ["unshare", "-rn"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this machine permits no namespaces")
    line = ["ensemble", "run", str(finished.parent / "pool.npz"), "-o", str(tmp_path / "run"), "--ensemble", "quick"]
    more = ["--detectors", "mahalanobis,knn", "--executor", "processes:2", "--quiet"]
    done = subprocess.run([*apart, sys.executable, "-m", "vibro", *line, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "run")["scores.csv"] == tables(finished)["scores.csv"]


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
@pytest.mark.parametrize("kilobytes", [64, 256])
def test_a_disk_that_is_really_full(finished, tmp_path, kilobytes):
    """A small disk in memory takes the run, the cache and the temporary files: exit 8, and with more room the same bytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    line = f"{sys.executable} -m vibro ensemble run {finished.parent / 'pool.npz'} -o {disk}/run --ensemble quick"
    line += " --detectors mahalanobis,knn --quiet --no-report --executor serial"
    script = f"""
mount -t tmpfs -o size={kilobytes}k none {disk} || exit 77
mkdir {disk}/tmp && export TMPDIR={disk}/tmp VIBRO_CACHE_DIR={disk}/cache
{line}; echo "exit $?"
mount -o remount,size=64m {disk}
{line} --resume; echo "exit $?"
cp {disk}/run/scores.csv {tmp_path}
"""
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("this machine permits no disk in memory")
    assert "exit 8" in done.stdout and "exit 0" in done.stdout, done.stdout + done.stderr
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_map_of_a_file_on_a_full_disk_is_no_bus_error(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=1m none {disk} || exit 77; {sys.executable} -m vibro data simulate -o {disk}/s"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("this machine permits no disk in memory")
    assert done.returncode == 8 and "No space left on device" in done.stderr, done


def test_a_map_takes_its_room_at_once(tmp_path, monkeypatch):
    from vibro.data import new_map

    made = new_map(tmp_path / "a.npy", (1000, 3))
    assert made.shape == (1000, 3) and not made.any()
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= made.nbytes

    def full(handle: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        new_map(tmp_path / "b.npy", (3, 3))


# --- cells ------------------------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "＝1+1", "＠x", " =1+1", '"=1+1']


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    """Names of sensors and machines, kinds of faults and broken values that a spreadsheet would calculate."""
    data, run = tmp_path / "=data.jsonl", tmp_path / "run"
    with data.open("w") as out:
        for i, row in enumerate(signals(80)):
            name = FORMULAS[i % len(FORMULAS)]
            told = {"data_time": f"2024-01-01T{i // 60:02}:{i % 60:02}:00Z", "sensor_id": name, "machine_id": name}
            out.write(json.dumps({**told, "fs": FS, "signal_value": ",".join(f"{v:.5f}" for v in row)}) + "\n")
        out.write(json.dumps({"data_time": "=1", "sensor_id": "=x", "fs": FS, "signal_value": "=1,2"}) + "\n")
    assert ensemble_run(data, run, "--max-quarantine", "0.5") == 0
    assert vibro(["label", str(run), "=data.jsonl:79", "--as", "fault", "--type", "=cmd()", "--quiet"]) == 0
    assert vibro(["data", "check", str(data), "-o", str(tmp_path / "check.csv"), "--quiet"]) == 4
    seen = 0
    for path in (*(run / name for name in (*TABLES, "labels.csv")), tmp_path / "check.csv"):
        with path.open(newline="", encoding="utf-8") as table:
            for row in csv.reader(table):
                for cell in row:
                    seen += "1+1" in cell
                    assert not cell.startswith(("=", "+", "@", "\t", "\r", "＝", "＋", "－", "＠")), (path.name, cell)
                    assert not cell.startswith("-") or is_number(cell), (path.name, cell)
    assert seen > 80


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
