"""What a Dask cluster costs: one task, and a run on workers beside the same run in one process and in worker processes.

    python -m benchmarks.scale.cluster [--records 2000] [--tasks 200]

Writes ``benchmarks/results/scale/cluster.json`` and ``.md``. Workers are processes of this machine: those of ``dask://local``, or
one that ran before. Seconds of processor count the command and the workers that it starts together; the scores of all runs are
compared byte by byte.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter, process_time
from typing import Any

import numpy as np
from benchmarks.common import RESULTS, table, where
from benchmarks.scale.pipeline import measured

from vibro.context import Context
from vibro.core.executors import make_executor
from vibro.core.task import ArrayRef, ScoreTask
from vibro.core.worker import score_task

ONE = "dask, one worker"
SPECS = ("serial", "processes:2", "dask://local", ONE)


def of_one_task(tasks: int, folder: Path) -> dict[str, float]:
    """Milliseconds of a task that has hardly anything to do: seen from here, and of this process's own processor time."""
    from vibro_plugins.detectors.mahalanobis import Mahalanobis

    x = np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32)
    np.save(folder / "x.npy", x)
    ctx = Context(seed=0)
    detector = Mahalanobis.make({}, ctx)
    detector.fit(x)
    task = ScoreTask("m", Mahalanobis, detector.params, ctx, ArrayRef(path=folder / "x.npy"), detector.state())
    with make_executor("dask://local") as executor:
        executor.submit(score_task, task).result()  # imports
        begun, used = perf_counter(), process_time()
        for job in [executor.submit(score_task, task) for _ in range(tasks)]:
            job.result()
        return {"task_ms": 1e3 * (perf_counter() - begun) / tasks, "client_ms": 1e3 * (process_time() - used) / tasks}


@contextmanager
def one_worker() -> Iterator[str]:
    """The address of a cluster of one worker process, which ends with the block."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield "dask://" + cluster.scheduler_address.removeprefix("tcp://")


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--tasks", type=int, default=200)
    args = parser.parse_args()
    folder = Path(mkdtemp(prefix="vibro-cluster-"))
    found: dict[str, Any] = {"about": where(), "records": args.records}
    try:
        found |= of_one_task(args.tasks, folder)
        data = str(folder / "data" / "data.npz")
        measured(["data", "simulate", "-o", str(folder / "data"), "--records", str(args.records), "--format", "npz"])
        scores = {}
        for spec in SPECS:
            os.environ["VIBRO_CACHE_DIR"] = str(folder / f"cache-{len(scores)}")
            for step, line in {
                "run": ["ensemble", "run", data, "--ensemble", "quick"],
                "score": ["score", str(folder / "run-0"), data],
            }.items():
                out = folder / f"{step}-{SPECS.index(spec)}"
                with one_worker() if spec == ONE else nullcontext(spec) as executor:
                    command = [*line, "-o", str(out), "--executor", executor, "--no-report", "--json"]
                    found[f"{step} {spec}"] = measured(command)
                scores[step, spec] = (out / "scores.csv").read_bytes()
        found["same"] = all(content == scores[step, "serial"] for (step, _), content in scores.items())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        (name, *(f"{row[key]:.0f}" for key in ("seconds", "cpu_seconds")), f"{row['anonymous'] / 1e6:.0f}")
        for name, row in found.items()
        if isinstance(row, dict) and "cpu_seconds" in row
    ]
    lines = [f"# A cluster of this machine, {args.records} records of 8,192 samples, load {found['about']['load']}", ""]
    lines += [f"One task: {found['task_ms']:.0f} ms, {found['client_ms']:.1f} ms of the client's processor.", ""]
    lines += [*table(("work", "s", "s of processor", "anonymous MB"), rows), "", f"Same bytes: {found['same']}.", ""]
    path = RESULTS / "scale" / "cluster.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    path.with_suffix(".md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
