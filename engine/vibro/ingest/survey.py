"""What ``vibro data check`` says about data: files, sensors, times, sampling rate, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import Quality, SignalBatch
from vibro.ingest.accounting import Accounting
from vibro.ingest.nothing import NothingAccepted
from vibro.ingest.preview import refusals
from vibro.ingest.reader import Ingested
from vibro.ingest.tables import Labels
from vibro.io.files import iso_time
from vibro.scoring.regression import sensor_rows

GAP = 2.5  # times the usual step of a sensor


def file_table(books: Accounting) -> list[dict[str, Any]]:
    """One entry per file; ``by_code`` counts what was quarantined, ``remarks`` what was not."""
    return [
        {
            "source": source,
            "read": count.read,
            "accepted": count.accepted,
            "quarantined": count.quarantined,
            "invalid": count.invalid,
            "by_code": dict(sorted(count.by_code.items())),
            "remarks": dict(sorted(count.others.items())),
        }
        for source, count in books.files.items()
    ]


def survey(got: Ingested, batch: SignalBatch, labels: Labels | None, warnings: Sequence[str]) -> dict[str, Any]:
    """What ``vibro data check --json`` prints; ``batch`` is that of ``got`` with its tables joined."""
    total = got.accounting.total
    known = batch.time[~np.isnat(batch.time)]
    return {
        "preview": got.preview,
        "refused": refusals(got.accounting, got.window),
        "files": file_table(got.accounting),
        "ignored": [{"source": source, "reason": reason} for source, reason in got.ignored],
        "records": got.accounting.summary(),
        "sensors": [
            _sensor(batch, code, rows) for code, rows in enumerate(sensor_rows(batch.sensor, len(batch.sensors)))
        ],
        "machines": len(batch.machines),
        "recordings": len(batch.recordings),
        "time": {
            "first": iso_time(known.min()) if len(known) else None,
            "last": iso_time(known.max()) if len(known) else None,
            "without": len(batch) - len(known),
        },
        "duplicates": {"exact": total.by_code["Q012"], "conflicting": total.by_code["Q011"]},
        "signal": {
            "fs": batch.fs or None,
            "fs_source": got.fs_source,
            "fs_check": _fs_check(got),
            "unit": batch.unit,
            "length": batch.length,
            "channels": batch.channels,
            "mains_hz": got.mains_hz or None,
        },
        "covariates": {
            name: int(np.isfinite(batch.covariates[:, j]).sum()) for j, name in enumerate(batch.covariate_names)
        },
        "labels": None if labels is None else _labels(labels),
        "warnings": list(warnings),
    }


def failed_survey(error: NothingAccepted) -> dict[str, Any]:
    """The same where no record was accepted: what was found, and what was refused."""
    return {
        "preview": error.preview,
        "refused": refusals(error.accounting, error.window),
        "files": file_table(error.accounting),
        "ignored": [{"source": source, "reason": reason} for source, reason in error.ignored],
        "records": error.accounting.summary(),
    }


def _sensor(batch: SignalBatch, code: int, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Records, times and gaps of one sensor, of which are these rows."""
    machines = sorted({batch.machines[m] for m in np.unique(batch.machine[rows])})
    time = batch.time[rows]
    times = np.unique(time[~np.isnat(time)])
    steps = np.diff(times).astype(np.int64) / 1e9
    step = float(np.median(steps)) if len(steps) else None
    gaps = steps[steps > GAP * step] if step else steps[:0]
    return {
        "sensor_id": batch.sensors[code],
        "machine_id": machines[0] if len(machines) == 1 else machines,
        "records": len(rows),
        "invalid": int(np.count_nonzero(batch.quality[rows] & int(Quality.INVALID))),
        "first": iso_time(times[0]) if len(times) else None,
        "last": iso_time(times[-1]) if len(times) else None,
        "step_seconds": step,
        "gaps": len(gaps),
        "longest_gap_seconds": float(gaps.max()) if len(gaps) else None,
    }


def _fs_check(got: Ingested) -> str:
    """What the comb of the mains says about fs."""
    if got.batch.fs == 0:
        return "unknown"
    if got.mains_hz:
        return "agrees"
    return "disagrees" if np.any(got.batch.quality & int(Quality.FS_COMB)) else "no comb"


def _labels(labels: Labels) -> dict[str, Any]:
    counts = np.bincount(labels.y + 1, minlength=3)
    return {
        "key": labels.key,
        "matched": labels.matched,
        "unmatched": labels.unmatched,
        "normal": int(counts[1]),
        "anomalous": int(counts[2]),
        "unknown": int(counts[0]),
    }
