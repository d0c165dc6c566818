"""What a second run saves: views from the cache against views computed.

    python -m benchmarks.speed.cache

Writes ``benchmarks/results/speed/cache.json`` and ``.md``. Every view of ``benchmarks.speed.views`` is computed into an
empty cache and then taken from it by a fresh store, which checks every byte of it; processor time of one thread.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time

import numpy as np
from benchmarks.common import RESULTS, table, where
from benchmarks.speed.views import LENGTH, VIEWS, batch_of, compute, write_records

RECORDS, ROUNDS = 1200, 3
BOUND = 0.05
RUN = ("mains", "spectrum", "zerone", "cwt_image v2", "hetero", "cycles")  # taken together


def seconds(view: str, folder: Path, cache: Path) -> tuple[float, np.ndarray]:
    """Processor time of one view from the cache, or into it, and a copy of the array."""
    batch = batch_of(folder / "x.npy")
    with TemporaryDirectory(dir=folder) as work:
        begun = thread_time()
        array = compute(view, batch, Path(work), cache)
        return thread_time() - begun, np.array(array)


def main() -> int:
    """Measures and writes the results; exit code 1 if the views of a run take more than the bound allows."""
    first: dict[str, list[float]] = {view: [] for view in VIEWS}
    second: dict[str, list[float]] = {view: [] for view in VIEWS}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "x.npy", RECORDS)
        for view in VIEWS:
            seconds(view, folder, folder / "warm")  # imports, compiled code
        for i in range(ROUNDS):
            for view in VIEWS:
                cache = folder / f"cache-{i}-{list(VIEWS).index(view)}"
                taken, array = seconds(view, folder, cache)
                first[view].append(taken)
                taken, same = seconds(view, folder, cache)
                second[view].append(taken)
                if array.tobytes() != same.tobytes():
                    raise AssertionError(f"{view}: the cache gives another array")
    ratio = {view: np.array(second[view]) / np.array(first[view]) for view in VIEWS}
    whole = np.sum([second[view] for view in RUN], axis=0) / np.sum([first[view] for view in RUN], axis=0)
    us = 1e6 / RECORDS
    rows = [
        [view, np.median(first[view]) * us, np.median(second[view]) * us, *(100 * f(ratio[view]) for f in _SPREAD)]
        for view in VIEWS
    ]
    rows.append([f"together: {', '.join(RUN)}", "", "", *(100 * f(whole) for f in _SPREAD)])
    about = where()
    found = {"about": about, "records": RECORDS, "length": LENGTH, "rounds": ROUNDS, "first": first, "second": second}
    target = RESULTS / "speed" / "cache.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    lines = [f"{RECORDS} records of {LENGTH} samples, {ROUNDS} rounds, processor time of one thread, us a record:", ""]
    lines += table(["view", "first run", "second run", "second in % of first", "low", "high"], rows)
    target.with_suffix(".md").write_text("\n".join(["# views of a second run", "", head, "", *lines, ""]))
    print("\n".join(lines))
    return int(np.median(whole) > BOUND)


_SPREAD = (np.median, np.min, np.max)

if __name__ == "__main__":
    sys.exit(main())
