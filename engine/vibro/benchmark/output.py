"""Writes the results of a benchmark: results as CSV and Parquet, benchmark.json, the reports, the score matrices."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from vibro import __version__
from vibro.api import settings_of
from vibro.benchmark.grid import AT_CUT, COLUMNS, METRICS, Table
from vibro.benchmark.report import html, markdown
from vibro.benchmark.run import Outcome
from vibro.benchmark.summary import summarise
from vibro.errors import StateError
from vibro.io import files
from vibro.store import manifest
from vibro.store.tables import write_table

SCHEMA = 1
NAME = "benchmark.json"


def write_outcome(folder: Path, outcome: Outcome, *, bom: bool = False, lang: str = "en") -> dict[str, Any]:
    """Writes every public file of a benchmark but the manifest; returns the content of ``benchmark.json``."""
    suite = outcome.suite
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "name": suite.name,
        "summary": suite.summary,
        "vibro": __version__,
        "libraries": manifest.libraries(),
        "machine": manifest.machine(),
        "protocol": suite.protocol,
        "budget": suite.budget,
        "limit": suite.limit,
        "pools": [settings_of(pool) for pool in suite.pools],
        **summarise(outcome),
    }
    write_results(folder, outcome.table, bom=bom)
    found = files.plain(found)
    files.write_text(folder / NAME, files.to_json(found))
    files.write_text(folder / "report.md", markdown(found))
    files.write_text(folder / "report.html", html(found, lang))
    scores = folder / "scores"
    shutil.rmtree(scores, ignore_errors=True)
    scores.mkdir()
    for name, path in outcome.trials.items():
        shutil.copyfile(path, scores / f"{name}.safetensors")
    return found


def write_results(folder: Path, table: Table, *, bom: bool = False) -> None:
    """Writes ``results.csv`` and ``results.parquet``, one row per detector set, fuser, thresholder, part and seed."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: values.tolist() for name, values in table.items()}
    rows = ({name: values[i] for name, values in columns.items()} for i in range(len(table["set"])))
    write_table(folder / "results.csv", tuple(columns), rows, bom=bom)
    with files.atomic(folder / "results.parquet") as handle:
        arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
        parquet.write_table(pa.table(arrays), handle, compression="zstd")


def read_results(folder: Path) -> Table:
    """The columns of ``results.parquet``; StateError if it cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "results.parquet"
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StateError(f"cannot read {path}: {error}", hint="run the benchmark again") from None
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise StateError(f"{path} lacks the column(s) {', '.join(missing)}")
    found = {name: np.array(table.column(name).to_pylist()) for name in COLUMNS}
    return found | {name: found[name].astype(np.float64) for name in (*METRICS, *AT_CUT)}
