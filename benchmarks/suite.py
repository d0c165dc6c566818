"""Runs one suite through ``vibro benchmark run`` in a process of its own and keeps what is worth committing."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.common import VIBRO, measure, where

KEPT = ("benchmark.json", "report.md", "report.html")


def run(suite: Path, results: Path) -> int:
    """Writes reports and ``measured.json`` (wall seconds, peak memory) to ``results``."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        m = measure([*VIBRO, "benchmark", "run", str(suite), "-o", str(out)], threads=1)
        print(m.output)
        if m.code:
            return m.code
        results.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copyfile(out / name, results / name)
    figures = {"seconds": m.seconds, "cpu_seconds": m.cpu_seconds, "peak_mb": m.peak_mb}
    (results / "measured.json").write_text(json.dumps({"about": where(), **figures}, indent=1) + "\n")
    return 0
