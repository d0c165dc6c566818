"""Seconds, memory and size of the report of a run of many sensors with few, short records each.

    python -m benchmarks.scale.fleet [--machines 1000] [--each 60] [--detectors mahalanobis,rise]

Machines have five sensors, records 1,024 samples. Writes ``benchmarks/results/scale/fleet.json`` and ``.md``, one row for each
size and choice of detectors; memory as in ``benchmarks.scale.pipeline``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.common import RESULTS, table, where
from benchmarks.scale.pipeline import measured

GOAL = "5,000 sensors x 60, quick: at most 300 s, 2000 MB, a report of 6 MB."


def main() -> None:
    """Simulates, runs, measures and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--detectors", help="of quick; all by default")
    args = parser.parse_args()
    folder, path = Path(mkdtemp(prefix="vibro-fleet-")), RESULTS / "scale" / "fleet.json"
    os.environ["VIBRO_CACHE_DIR"] = str(folder / "cache")
    rows: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    records = args.machines * 5 * args.each
    made = ["data", "simulate", "-o", str(folder / "data"), "--units", str(args.machines), "--sensors", "5"]
    command = ["ensemble", "run", str(folder / "data" / "data.npz"), "-o", str(folder / "run"), "--ensemble", "quick"]
    command += ["--detectors", args.detectors] if args.detectors else []
    try:
        measured([*made, "--records", str(records), "--fs", "1024", "--format", "npz"])
        found = measured([*command, "--json"])
        report = (folder / "run" / "report.html").stat().st_size
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = f"{5 * args.machines} sensors x {args.each}, {args.detectors or 'quick'}"
    rows[name] = {**found, "report": report, "about": where()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n")
    lines = table(("run", "s", "s of processor", "anonymous MB", "largest MB", "report MB", "load"), [
        (
            name,
            *(f"{row[key]:.0f}" for key in ("seconds", "cpu_seconds")),
            *(f"{row[key] / 1e6:.0f}" for key in ("anonymous", "largest")),
            f"{row['report'] / 1e6:.1f}",
            row["about"]["load"],
        )
        for name, row in sorted(rows.items())
    ])  # fmt: skip
    path.with_suffix(".md").write_text("\n".join(["# fleet", "", *lines, "", GOAL, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
