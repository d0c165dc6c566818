"""What the main job costs: ``vibro ensemble run --ensemble default`` from start to report, and ``vibro score`` after it.

    python -m benchmarks.run cost

2,000 simulated records of 8,192 samples with covariates, from a folder of text files to the report, calibration and
fault injection included; then as many records that the model has not seen. Memory is the sum over the command and its workers of
each one's share (PSS), looked at every fifth of a second.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.common import VIBRO, measure, table, write

RECORDS, ROUNDS = 2000, 3
GOALS = {"run": (300.0, 2500.0), "score": (30.0, 2500.0)}  # seconds, MB
PERIOD = 0.2


class TreeMemory(threading.Thread):
    """Highest sum of the PSS, in MB, of a process and all below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0.0, threading.Event()

    def run(self) -> None:
        """Samples the memory until stopped."""
        while not self.over.wait(PERIOD):
            self.peak = max(self.peak, sum(_pss(pid) for pid in _tree(self.pid)) / 1024)


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def _pss(pid: int) -> float:
    """Share of the memory in kB that a process holds, 0 once it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return float(next((line.split()[1] for line in text.splitlines() if line.startswith("Pss:")), 0))


def timed(command: Sequence[str]) -> dict[str, Any]:
    """Wall seconds, peak memory and exit code of a command with the settings that a user gets."""
    begun = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        memory = TreeMemory(process.pid)
        memory.start()
        output = process.communicate()[0]
        memory.over.set()
    tail = "" if process.returncode == 0 else output[-400:]
    return {"seconds": perf_counter() - begun, "peak_mb": memory.peak, "code": process.returncode, "tail": tail}


def main() -> int:
    """Measures, writes ``results/cost`` and says which figure was missed."""
    found: dict[str, list[dict[str, Any]]] = {"run": [], "score": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(ROUNDS):
            data, new, model = (folder / f"{part}{seed}" for part in ("data", "new", "out"))
            # one plant, twice as many records: the later half is what the model has not seen
            made = measure(
                [*VIBRO, "data", "simulate", "-o", str(data), "--records", str(2 * RECORDS), "--seed", str(seed)]
            )
            if made.code:
                print(made.output)
                return made.code
            _halve(data, new)
            given = ["--covariates", str(data / "covariates.csv")]
            os.environ["VIBRO_CACHE_DIR"] = str(folder / f"cache{seed}")  # nothing kept from an earlier run
            run = [
                *VIBRO,
                "ensemble",
                "run",
                str(data / "data.jsonl"),
                "-o",
                str(model),
                "--ensemble",
                "default",
                *given,
            ]
            score = [*VIBRO, "score", str(model), str(new / "data.jsonl"), "-o", str(folder / f"new-out{seed}"), *given]
            found["run"].append(timed(run))
            found["score"].append(timed(score))
    missed = []
    rows = []
    for what, runs in found.items():
        for key, goal in zip(("seconds", "peak_mb"), GOALS[what], strict=True):
            values = [r[key] for r in runs]
            rows.append([what, key, statistics.median(values), min(values), max(values), goal])
            if statistics.median(values) > goal or any(r["code"] for r in runs):
                missed.append(f"{what}: {key}")
    lines = table(["command", "", "median", "least", "most", "goal"], rows)
    lines += [f"- missed: {what}" for what in missed] or ["Every goal is met."]
    write("cost", {**found, "records": RECORDS, "missed": missed}, lines)
    return 1 if missed else 0


def _halve(data: Path, new: Path) -> None:
    """Moves the later half of the records to a folder of their own."""
    lines = (data / "data.jsonl").read_text().splitlines(keepends=True)
    new.mkdir()
    (data / "data.jsonl").write_text("".join(lines[: len(lines) // 2]))
    (new / "data.jsonl").write_text("".join(lines[len(lines) // 2 :]))


if __name__ == "__main__":
    raise SystemExit(main())
