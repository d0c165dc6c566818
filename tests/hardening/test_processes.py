"""However a run ends, none of its worker processes is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .made import save_pool

SOON = 3.0  # seconds


def children(pid: int) -> list[int]:
    """Processes that this one has started and that have not ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(tmp_path: Path, executor: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A run whose two workers are at work on fits of many minutes."""
    data = save_pool(tmp_path / "pool.npz", 400)
    line = [
        "ensemble",
        "run",
        str(data),
        "-o",
        str(tmp_path / "run"),
        "--ensemble",
        "default",
        "--no-report",
        "--debug",
    ]
    line += ["--detectors", "lstm_ae,tadgan", "--executor", executor]
    for name in ("lstm_ae", "tadgan"):
        line += ["--set", f"{name}.epochs=10000", "--set", f"{name}.patience=10000"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen([sys.executable, "-m", "vibro", *line], stdout=said, stderr=said, text=True)
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        workers = [pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        ticks = [sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15])) for pid in workers]
        if len(workers) == 2 and min(ticks) > 3 * os.sysconf("SC_CLK_TCK"):  # past their imports
            return process, children(process.pid)
        time.sleep(0.1)
    process.kill()
    raise AssertionError((tmp_path / "said").read_text()[-2000:])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize(
    ("executor", "number"),
    [
        ("processes:2", signal.SIGKILL),
        ("processes:2", signal.SIGTERM),
        pytest.param("processes:2", signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param("processes:2", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("dask://local", signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("dask://local", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_workers_end_with_their_run(tmp_path, executor, number):
    process, workers = started(tmp_path, executor)
    clock = time.monotonic()
    process.send_signal(number)
    code = process.wait(60)
    while any(map(alive, workers)) and time.monotonic() - clock < 60:
        time.sleep(0.05)
    seconds = time.monotonic() - clock
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [] and seconds < SOON
    assert code == {signal.SIGKILL: -9, signal.SIGINT: 130}.get(number, 143)
