"""Reads records where there is no vibro: .npy, .npz and .jsonl, with numpy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

KINDS = (".npy", ".npz", ".jsonl")
NO_TIME = np.datetime64("NaT", "ns")


class Records(NamedTuple):
    """Signals ``x`` (n, C, T), names of their sensors and machines (n,), "" = not given, ``time`` (n,), ``covariates`` (n, k)
    with NaN where not known, and ``fs`` in Hz, 0 = not given."""

    x: NDArray[np.float32]
    sensor: NDArray[np.str_]
    machine: NDArray[np.str_]
    time: NDArray[np.datetime64]
    covariates: NDArray[np.float64]
    fs: float


def read_records(path: Path, known: Sequence[str]) -> Records:
    """The records of a file, of their covariates the ``known`` ones; whatever numpy or json raise if it cannot be read."""
    rows: list[Mapping[str, Any]] = []
    if path.suffix == ".npy":
        x = np.load(path, allow_pickle=False)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            x = file["signals"]
            shared = {"fs": float(file["fs"])} if "fs" in file.files else {}
            columns = {n: file[n].tolist() for n in ("sensor_id", "machine_id", "data_time") if n in file.files}
            names = [str(name) for name in file["covariate_names"]] if "covariates" in file.files else []
            table = file["covariates"].tolist() if names else [()] * len(x)
        for i in range(len(x)):
            given = {"covariates": dict(zip(names, table[i], strict=True))}
            rows.append({**shared, **{n: column[i] for n, column in columns.items()}, **given})
    else:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        values = [row["signal_value"] for row in rows]
        x = np.array([[float(v) for v in s.split(",")] if isinstance(s, str) else s for s in values], np.float32)
    rows = rows or [{}] * len(x)
    rates = {float(row["fs"]) for row in rows if row.get("fs")}
    if len(rates) > 1:
        raise ValueError("records of different sampling rates")
    sensor = [str(row.get("sensor_id") or "") for row in rows]
    machine = [str(row.get("machine_id") or name) for row, name in zip(rows, sensor, strict=True)]
    covariates = np.full((len(x), len(known)), np.nan)
    for i, row in enumerate(rows):
        table_of = row.get("covariates") or {}
        covariates[i] = [np.nan if table_of.get(name) is None else float(table_of[name]) for name in known]
    return Records(
        np.asarray(x[:, None, :] if x.ndim == 2 else x, np.float32),
        np.array(sensor, np.str_),
        np.array(machine, np.str_),
        np.array([_time(row.get("data_time")) for row in rows], "datetime64[ns]"),
        covariates,
        rates.pop() if rates else 0.0,
    )


def _time(text: object) -> np.datetime64:
    """A time in UTC as text, such as 2024-01-31T12:00:00Z or +08:00; NaT where there is none."""
    from datetime import datetime

    if not text:
        return NO_TIME
    found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    found = found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    return np.datetime64(found, "ns")
