"""Memory and open files of one process that scores again and again, as a service does.

    python -m benchmarks.scale.soak [--calls 1000]

Fits ``quick`` on 300 simulated records, then calls ``vibro score`` on 25 of them in one process, each tenth time with its
report. Writes ``benchmarks/results/scale/soak.json`` and ``.md``. What the first calls load and keep (libraries, compiled
code) is no leak, so growth is counted from the 50th call on. Exit code 1 if it is more than 1,000 calls may add.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

from benchmarks.common import RESULTS, table, where

from vibro.cli import run

BEGUN = 50  # calls after which growth is counted
MOST_BYTES, MOST_FILES = 20e6, 0  # that 1,000 calls may add


def held() -> tuple[int, int]:
    """Anonymous resident bytes of this process, and how many files it has open."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines["RssAnon"].split()[0]), len(list(Path("/proc/self/fd").iterdir()))


def called(*words: str) -> None:
    """One command, in this process."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = run([*words, "--quiet"])
    if code:
        raise SystemExit(f"vibro {' '.join(words)} ended with {code}: {said.getvalue()[-2000:]}")


def main() -> int:
    """Scores, measures, and writes what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1000)
    calls = parser.parse_args().calls
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        os.environ["VIBRO_CACHE_DIR"] = f"{folder}/cache"
        called("data", "simulate", "-o", f"{folder}/fitted", "--records", "300")
        called("ensemble", "run", f"{folder}/fitted/data.jsonl", "-o", f"{folder}/run", "--ensemble", "quick")
        records = Path(folder, "fitted", "data.jsonl").read_text().splitlines(keepends=True)
        new = Path(folder, "new.jsonl")
        new.write_text("".join(records[-25:]))
        begun = process_time()
        for call in range(1, calls + 1):
            report = () if call % 10 == 0 else ("--no-report",)
            called("score", f"{folder}/run", str(new), "-o", f"{folder}/scored", "--force", *report)
            if call in (1, 10, BEGUN) or call % 100 == 0 or call == calls:
                anonymous, files = held()
                rows.append({"call": call, "anonymous": anonymous, "files": files, "cpu": process_time() - begun})
                print(call, f"{anonymous / 1e6:.1f} MB, {files} files, {rows[-1]['cpu']:.0f} s", file=sys.stderr)
    since = next((row for row in rows if row["call"] >= BEGUN), rows[0])
    grown, opened = rows[-1]["anonymous"] - since["anonymous"], rows[-1]["files"] - since["files"]
    lines = table(
        ("calls", "anonymous MB", "open files", "s of processor"),
        [(row["call"], f"{row['anonymous'] / 1e6:.1f}", row["files"], f"{row['cpu']:.0f}") for row in rows],
    )
    lines.append(
        f"From call {since['call']} to call {calls}: {grown / 1e6:+.1f} MB and {opened:+d} open files;"
        f" at most {MOST_BYTES / 1e6:+.0f} MB and {MOST_FILES:+d} are wanted of 1,000 calls."
    )
    path, about = RESULTS / "scale" / "soak.json", where()
    path.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    work = "`vibro score` of 25 records in one process, each tenth time with its report"
    head = f"{about['date']}, {about['cpu']}, Python {about['python']}: {work}"
    path.with_suffix(".md").write_text("\n".join(["# soak", "", head, "", *lines, ""]))
    print("\n".join(lines))
    return int(grown > MOST_BYTES or opened > MOST_FILES)


if __name__ == "__main__":
    sys.exit(main())
