"""Peak memory of every view on 30,000 records of 8,192 samples, each view in a process of its own.

    python -m benchmarks.speed.memory [VIEW ...]

Writes ``benchmarks/results/speed/memory.json`` and ``.md``; named views replace their rows there. The records lie in a
temporary folder and are read as a run reads them, from a memory map, with the cache of views. Resident memory is what the
kernel counts: pages of the process's own (anonymous) and pages of mapped files, here records, libraries and views that
are too large to be kept in memory. Each is sampled every 10 ms, so that the peaks of the parts need not fall together.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from benchmarks.common import RESULTS, table, where
from benchmarks.speed.views import LENGTH, VIEWS, batch_of, compute, write_records

RECORDS = 30_000
BOUND = 1.5e9  # bytes resident
KINDS = {"resident": "VmRSS", "anonymous": "RssAnon", "files": "RssFile"}


class Watch(threading.Thread):
    """Highest values of this process's memory in bytes, from the moment it is started."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest = dict.fromkeys(KINDS, 0)
        self.done = threading.Event()

    def run(self) -> None:
        """Looks every 10 ms."""
        while not self.done.wait(0.01):
            found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            for name, key in KINDS.items():
                self.highest[name] = max(self.highest[name], 1024 * int(found[key].split()[0]))


def one(view: str, folder: Path) -> dict[str, float]:
    """Computes a view in this process and keeps it in a cache, as a run does."""
    batch = batch_of(folder / "x.npy")
    watch = Watch()
    watch.start()
    begun, cpu = perf_counter(), process_time()
    with TemporaryDirectory(dir=folder) as work:
        array = compute(view, batch, Path(work, "work"), Path(work, "cache"))
        seconds, cpu = perf_counter() - begun, process_time() - cpu
        watch.done.set()
        watch.join()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**watch.highest, "peak": peak, "array": array.nbytes, "seconds": seconds, "cpu_seconds": cpu}


def main(names: Sequence[str] = ()) -> int:
    """Measures the views named, or all, and writes the results after each; exit code 1 if one is above the bound."""
    if names and names[0] == "--one":
        print(json.dumps(one(names[1], Path(names[2]))))
        return 0
    with TemporaryDirectory() as folder:
        write_records(Path(folder, "x.npy"), RECORDS)
        for i, view in enumerate(names or VIEWS):
            command = [sys.executable, "-m", "benchmarks.speed.memory", "--one", view, folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            lines, worst = report({view: json.loads(done.stdout.splitlines()[-1])}, fresh=not (names or i))
    print("\n".join(lines))
    return int(worst > BOUND)


def report(found: Mapping[str, Mapping[str, float]], fresh: bool) -> tuple[list[str], float]:
    """Writes the results, beside those already there unless ``fresh``; returns the table and the highest peak."""
    target = RESULTS / "speed" / "memory.json"
    old = {} if fresh or not target.is_file() else json.loads(target.read_text())["views"]
    views = {view: (old | found)[view] for view in VIEWS if view in old | found}
    rows = [[view, *(v[k] / 1e9 for k in ("peak", *KINDS, "array")), v["cpu_seconds"]] for view, v in views.items()]
    about = where()
    target.write_text(
        json.dumps({"about": about, "records": RECORDS, "length": LENGTH, "views": views}, indent=1) + "\n"
    )
    head = f"{about['date']}, {about['cpu']}, load of the machine {about['load']}, Python {about['python']}"
    lines = [f"{RECORDS} records of {LENGTH} samples ({RECORDS * LENGTH * 4 / 1e9:.2f} GB), all rows fitted, GB:", ""]
    lines += table(["view", "peak resident", "resident, sampled", "anonymous", "files", "array", "CPU s"], rows)
    worst = max(views, key=lambda view: views[view]["peak"])
    lines.append(f"Most: {worst}, {views[worst]['peak'] / 1e9:.2f} GB of the {BOUND / 1e9:g} GB allowed.")
    if missing := [view for view in VIEWS if view not in views]:
        lines.append(f"Not measured: {', '.join(missing)}.")
    target.with_suffix(".md").write_text("\n".join(["# peak memory of views", "", head, "", *lines, ""]))
    return lines, views[worst]["peak"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
