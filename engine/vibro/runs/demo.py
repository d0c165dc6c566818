"""``vibro demo``: simulated records, an ensemble run on them, a report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions
from vibro.io import files
from vibro.runs.fit import run_ensemble
from vibro.runs.options import DataOptions, RunOptions
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write
from vibro.store.place import real_path


def run_demo(
    host: PluginHost,
    out: Path,
    *,
    records: int = 2000,
    options: RunOptions,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Simulates into OUT/data and runs the ensemble into OUT, labels for metrics only, covariates given."""
    out = real_path(out)
    with files.disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=".vibro-demo-", dir=out.parent))
    try:
        folder = made / "data"
        say(f"simulating {records} records of a power transformer's tank")
        write(simulate(records=records, seed=options.seed), folder)
        data = DataOptions(
            paths=(folder / "data.jsonl",),
            reading=IngestOptions(fs=8192.0, unit="g"),
            labels=folder / "labels.csv",
            covariates=folder / "covariates.csv",
        )
        found = run_ensemble(host, data, options, out, say)
        with files.disk_errors(out):
            if (out / "data" / "covariates.csv").is_file():  # of an earlier demo
                shutil.rmtree(out / "data")
            folder.rename(out / "data")
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return found
