"""``vibro suggest``: a table of the records of a run whose labels would tell most, to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vibro.errors import ConfigError
from vibro.ingest.tables import read_labels
from vibro.runs.stored import Quarantined, open_run
from vibro.scoring.suggestions import suggest
from vibro.scoring.verdict import LEVELS
from vibro.store import tables

COLUMNS = (
    "record_id",
    "source",
    "row",
    "sensor_id",
    "data_time",
    "label",
    "fault_type",
    "score",
    "level",
    "kind",
    "reason",
)


def suggest_labels(
    path: Path, n: int, out: Path | None = None, labels: Path | None = None, labels_partial: bool = False
) -> list[dict[str, Any]]:
    """The rows of the table, which is also written to ``out``: ``label`` and ``fault_type`` are empty, for the user.

    Records that the user has labelled in the run, or in the table of ``labels``, are left out.
    """
    if out is not None and out.exists():
        raise ConfigError(f"{out} is there already", hint="choose another -o")
    run = open_run(path)
    batch, verdict = run.batch, run.verdict
    known = np.isin(batch.ids, list(run.marks))
    if labels is not None:
        known |= read_labels(labels, batch, labels_partial, Quarantined(path)).y >= 0
    found = suggest(batch, verdict, run.cuts, run.look, run.matrix.detectors, known, n, int(known.sum()))
    rows = [
        {
            **batch.named(s.row),
            "label": None,
            "fault_type": None,
            "score": float(verdict.persistent[s.row]),
            "level": LEVELS[verdict.level[s.row]],
            "kind": s.kind,
            "reason": s.reason,
        }
        for s in found
    ]
    if out is not None:
        tables.write_table(out, COLUMNS, rows)
    return rows
