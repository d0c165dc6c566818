"""Seconds and memory of the whole way on many records: simulate, ingest, fit and score, each a command of its own.

    python -m benchmarks.scale.pipeline [--records 30000] [--ensemble quick] [--keep FOLDER] [STEP ...]

Writes ``benchmarks/results/scale/scale.json`` and ``.md``; named steps (``simulate check run score``) replace their rows
there. Memory is summed over the command and its workers every 20 ms: ``anonymous`` is what they hold of their own, the figure
that is bounded; ``resident`` adds mapped files, which the system takes back when it needs the room. ``largest`` is the
maximum resident size of the largest process. ``side by side``: the share of the time at work in which two threads or more
were ready to run, wherever they were in the queue, so that the load of others on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter, sleep
from typing import Any

from benchmarks.common import RESULTS, VIBRO, table, where

STEPS = ("simulate", "check", "run", "score")
GOALS = {  # seconds, MB at 30,000
    "simulate": (25, 600),
    "check": (6, 400),
    "run quick": (60, 1200),
    "run default": (240, 2000),
    "score quick": (30, 700),
}


def tree(pid: int) -> list[int]:
    """A process and all that it has started, and they in turn."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def look(pid: int) -> tuple[int, int, int]:
    """Anonymous and resident bytes of a process and what it has started, and how many of their threads are at work."""
    sums = [0, 0, 0]
    for one in tree(pid):
        try:
            lines = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines())
            for i, key in enumerate(("RssAnon", "VmRSS")):
                sums[i] += 1024 * int(lines[key].split()[0])
            for thread in Path(f"/proc/{one}/task").iterdir():
                sums[2] += (thread / "stat").read_text().rpartition(")")[2].split()[0] == "R"
        except (OSError, KeyError, ValueError):
            continue
    return sums[0], sums[1], sums[2]


def measured(command: list[str]) -> dict[str, Any]:
    """Runs a command and looks at its memory and threads until it ends."""
    begun, peaks, course, at_work = perf_counter(), [0, 0], [], [0, 0]
    with subprocess.Popen([*VIBRO, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        said: list[tuple[float, str]] = []

        def listen() -> None:
            assert process.stderr is not None
            said.extend((perf_counter() - begun, line) for line in process.stderr)

        threading.Thread(target=listen, daemon=True).start()
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            anonymous, resident, running = look(process.pid)
            at_work = [at_work[0] + (running > 0), at_work[1] + (running > 1)]
            course.append((perf_counter() - begun, anonymous))
            peaks = [max(peaks[0], anonymous), max(peaks[1], resident)]
            sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {''.join(t for _, t in said)[-2000:]}")
    at = max(course, key=lambda point: point[1], default=(0.0, 0))[0]
    stages = [(time, json.loads(line)) for time, line in said if line.startswith("{")]
    begun_stages = [event["stage"] for time, event in stages if event.get("event") == "StageStarted" and time <= at]
    return {
        "seconds": perf_counter() - begun,
        "cpu_seconds": ended[2].ru_utime + ended[2].ru_stime,
        "anonymous": peaks[0],
        "resident": peaks[1],
        "largest": 1024 * ended[2].ru_maxrss,
        "side_by_side": at_work[1] / max(1, at_work[0]),
        "peak_in": begun_stages[-1] if begun_stages else "",
    }


def commands(folder: Path, records: int, ensemble: str) -> dict[str, list[str]]:
    """The command of each step."""
    data, run = str(folder / "data" / "data.jsonl"), str(folder / "run")
    told = ["--covariates", str(folder / "data" / "covariates.csv"), "--json"]
    return {
        "simulate": ["data", "simulate", "-o", str(folder / "data"), "--records", str(records), "--json"],
        "check": ["data", "check", data, "--json"],
        "run": ["ensemble", "run", data, "-o", run, "--ensemble", ensemble, *told, "--force"],
        "score": ["score", run, data, "-o", str(folder / "scored"), *told, "--force"],
    }


def main() -> None:
    """Measures the steps that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="*", default=list(STEPS))
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--ensemble", default="quick")
    parser.add_argument("--keep", type=Path, help="folder of the data and runs; by default a temporary one")
    args = parser.parse_args()
    folder = args.keep or Path(mkdtemp(prefix="vibro-scale-"))
    os.environ["VIBRO_CACHE_DIR"] = str(folder / "cache")
    path = RESULTS / "scale" / "scale.json"
    rows: dict[str, Any] = json.loads(path.read_text())["rows"] if path.is_file() else {}
    try:
        for step in args.steps:
            if step != "simulate":
                shutil.rmtree(folder / "cache", ignore_errors=True)  # every step from the text files on
            elif (folder / "data").exists():
                shutil.rmtree(folder / "data")
            found = measured(commands(folder, args.records, args.ensemble)[step])
            name = f"{step} {args.ensemble}" if step in ("run", "score") else step
            rows[f"{name}, {args.records}"] = {**found, "about": where()}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    finally:
        if args.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    headers = (
        "work",
        "s",
        "s of processor",
        "anonymous MB",
        "resident MB",
        "largest MB",
        "side by side",
        "load",
        "at most",
    )
    lines = table(headers, [
        (
            name,
            *(f"{row[key]:.0f}" for key in ("seconds", "cpu_seconds")),
            *(f"{row[key] / 1e6:.0f}" for key in ("anonymous", "resident", "largest")),
            f"{row['side_by_side']:.0%}" if "side_by_side" in row else "",
            row["about"]["load"],
            "{} s, {} MB".format(*GOALS[step]) if records == "30000" and step in GOALS else "",
        )
        for name, row in sorted(rows.items())
        for step, _, records in [name.partition(", ")]
    ])  # fmt: skip
    path.with_suffix(".md").write_text("\n".join(["# scale", "", *lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
