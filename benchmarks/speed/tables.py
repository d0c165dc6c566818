"""A folder of recordings as CSV, by vibro and by a loop of pandas.read_csv, in turns on one core.

    python -m benchmarks.speed.tables

Writes ``benchmarks/results/speed/tables.json`` and ``.md``. 3,000 files of 4,096 rows and three columns with a header, five
decimals. pandas gives tables of float64; the reader gives records of float32 with every number checked; whole ingest adds
hashes, quality verdicts, the index and the matrix on disk. Processor time is that of all threads.

A second table compares ingest without and with a worker process round by round, on three times as many files: below
``ahead.MANY`` none is started, for its start (imports, loading the compiled parser) would cost more than it gives. Of the
two processes the busier counts, which is what both would take on two cores of their own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

FILES, LARGE, ROWS, CHANNELS, ROUNDS = 3000, 9000, 4096, 3, 5
PANDAS, READER, INGEST = "pandas.read_csv", "vibro: reader table", "vibro: whole ingest"
WORKER = "vibro: whole ingest, a worker process"


def written(folder: Path, files: int) -> list[Path]:
    """Recordings of noise; a hundred different ones, each written several times with another first row."""
    rng = np.random.default_rng(0)
    bodies = [
        "".join(f"{a:.5f},{b:.5f},{c:.5f}\n" for a, b, c in rng.normal(0, 1, (ROWS - 1, CHANNELS))) for _ in range(100)
    ]
    paths = []
    for i in range(files):
        path = folder / f"{i + 1}.csv"
        path.write_text(f"acc_x,acc_y,acc_z\n{i / 1000:.5f},{10 + i / 1000:.5f},{20 + i / 1000:.5f}\n{bodies[i % 100]}")
        paths.append(path)
    return paths


def ways(paths: list[Path], folder: Path) -> dict[str, Callable[[], int]]:
    """What reads all files and returns how many samples it has got."""
    import pandas as pd

    from vibro.api import Context, Record
    from vibro.ingest import IngestOptions, ingest
    from vibro_plugins.readers.table import Table

    table = Table.make({}, Context())

    def frames() -> int:
        return sum(pd.read_csv(path).size for path in paths)

    def records() -> int:
        found = 0
        for path in paths:
            with path.open("rb") as stream:
                if not Table.accepts(path, stream.read(512)):
                    raise AssertionError(f"{path.name} is not accepted")
            found += sum(item.signal.size for item in table.read(path) if isinstance(item, Record))
        return found

    def whole(*, side_by_side: bool = False) -> int:
        options = IngestOptions(fs=25600.0)
        got = ingest([paths[0].parent], [table], options, folder, lambda event: None, side_by_side=side_by_side)
        return int(got.batch.x.size)

    if len(paths) == LARGE:
        return {INGEST: whole, WORKER: partial(whole, side_by_side=True)}
    return {PANDAS: frames, READER: records, INGEST: whole}


def spent() -> np.ndarray:
    """Processor time of this process and of its children that have ended, in seconds."""
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return np.array([usage.ru_utime + usage.ru_stime for usage in found])


def start_of_worker() -> float:
    """Processor time of a process until it has parsed its first table."""
    code = (
        "import vibro.ingest.worker, vibro_plugins.readers.table\n"
        "from vibro_plugins.readers.text import digits, fast\n"
        "fast.Table(digits, b'1.5,2.5\\n3.5,4.5', 2).exact(0)"
    )
    begun = spent()[1]
    subprocess.run([sys.executable, "-c", code], check=True)
    return float(spent()[1] - begun)


def timed(files: int) -> tuple[dict[str, list[float]], int]:
    """Processor time of every way in every round, and the bytes of the files."""
    taken: dict[str, list[float]] = {}
    with TemporaryDirectory() as name:
        data, work = Path(name, "data"), Path(name, "work")
        data.mkdir()
        paths = written(data, files)
        for turn in range(ROUNDS + 1):  # the first one warms up and does not count
            for way, run in ways(paths, work).items():
                begun = spent()
                if (count := run()) != files * ROWS * CHANNELS:
                    raise AssertionError(f"{way} got {count} samples")
                if turn:
                    taken.setdefault(way, []).append(float(max(spent() - begun)))
        return taken, sum(path.stat().st_size for path in paths)


def main() -> int:
    """Measures and writes the results."""
    from benchmarks.common import RESULTS, table, where

    (taken, size), (large, _) = timed(FILES), timed(LARGE)
    base = np.array(taken[PANDAS])
    rows, ratios = [], {}
    for way, seconds in taken.items():
        ratio = base / np.array(seconds)
        ratios[way] = {"median": float(np.median(ratio)), "low": float(ratio.min()), "high": float(ratio.max())}
        rows.append(
            [
                way,
                float(np.median(seconds)),
                min(seconds),
                max(seconds),
                size / 1e6 / np.median(seconds),
                *ratios[way].values(),
            ]
        )
    about = where()
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    lines = [
        f"{FILES} files of {ROWS} x {CHANNELS} samples, {size / 1e6:.0f} MB, {ROUNDS} rounds in turns, processor time.",
        "",
    ]
    lines += table(["way", "s", "low", "high", "MB/s", "x pandas", "low", "high"], rows)
    both = np.array(large[INGEST]) / np.array(large[WORKER])
    two = {"median": float(np.median(both)), "low": float(both.min()), "high": float(both.max())}
    two["best of each"] = min(large[INGEST]) / min(large[WORKER])
    two["start of a worker, s"] = float(np.median([start_of_worker() for _ in range(ROUNDS)]))
    lines += ["", f"Whole ingest of {LARGE} such files on one core over that with a worker process:", ""]
    lines += table(list(two), [list(two.values())])
    folder = RESULTS / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "files": FILES,
        "rows": ROWS,
        "channels": CHANNELS,
        "bytes": size,
        "seconds": taken,
        "large": {"files": LARGE, "seconds": large},
        "ratios": ratios,
        "two": two,
    }
    (folder / "tables.json").write_text(json.dumps({"about": about, **found}, indent=1) + "\n")
    (folder / "tables.md").write_text("\n".join(["# speed of tables", "", head, "", *lines, ""]))
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
