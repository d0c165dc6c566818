"""Runs one suite through ``vibro benchmark run`` in a process of its own and keeps what is worth committing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from benchmarks.common import VIBRO, measure, where

KEPT = ("report.md", "report.html")  # the rows behind them stay in WORK
WORK = Path(__file__).parent.parent / "build" / "benchmarks"
OPTIONS = "VIBRO_BENCH_OPTIONS"  # more options of the command, for instance --executor processes:2


def run(suite: Path, results: Path) -> int:
    """Writes reports and ``measured.json`` (wall and processor seconds, peak memory) to ``results``.

    Works in ``build/benchmarks``; an unfinished run there goes on where it stopped, and its figures are those of the last
    call alone.
    """
    from vibro.store.place import run_status

    out = WORK / suite.stem
    resumed = out.is_dir() and run_status(out) not in (None, "complete")
    command = [*VIBRO, "benchmark", "run", str(suite), "-o", str(out), "--resume" if resumed else "--force"]
    m = measure([*command, *os.environ.get(OPTIONS, "").split()], threads=1)
    print(m.output)
    if m.code:
        return m.code
    results.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(out / name, results / name)
    figures = {"resumed": resumed, "seconds": m.seconds, "cpu_seconds": m.cpu_seconds, "peak_mb": m.peak_mb}
    (results / "measured.json").write_text(json.dumps({"about": where(), **figures}, indent=1) + "\n")
    return 0
