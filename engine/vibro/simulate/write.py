"""Simulated records as a batch in memory, or as the files that ``vibro data`` and ``vibro ensemble run`` read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch, let_go, make_batch, record_id
from vibro.errors import ConfigError
from vibro.simulate.simulate import BLOCK, STEPS_A_UNIT, Simulated

LABEL_COLUMNS = ("record_id", "sensor_id", "data_time", "label", "kind", "fault_type", "severity")


def to_batch(sim: Simulated) -> SignalBatch:
    """The records as a batch with their covariates, in the order of ``sim``."""
    names = tuple(sim.covariates)
    table = np.stack([sim.covariates[name] for name in names], axis=1).astype(np.float32)
    return make_batch(
        sim.x,
        fs=sim.fs,
        sensor=list(map(str, sim.sensor)),
        machine=list(map(str, sim.machine)),
        time=list(sim.time),
        covariates=table,
        covariate_names=names,
        unit=sim.unit,
    )


def write(sim: Simulated, folder: Path, format: str = "jsonl") -> None:
    """Writes ``data.jsonl`` or ``data.npz``, ``labels.csv``, ``covariates.csv`` and ``README.txt`` into ``folder``."""
    writers = {"jsonl": _write_jsonl, "npz": _write_npz}
    if format not in writers:
        raise ConfigError(f"unknown format {format!r}", hint="formats: jsonl, npz")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    writers[format](sim, folder)
    times = iso(sim.time)
    ids = [record_id(str(s), t, v[0]) for s, t, v in zip(sim.sensor, sim.time, _in_turn(sim.x), strict=True)]
    keys = [ids, sim.sensor, times]
    truth = [sim.label, sim.kind, sim.fault_type, sim.severity]
    _write_csv(folder / "labels.csv", LABEL_COLUMNS, zip(*keys, *truth, strict=True))
    header = ("record_id", "sensor_id", "data_time", *sim.covariates)
    _write_csv(folder / "covariates.csv", header, zip(*keys, *sim.covariates.values(), strict=True))
    (folder / "README.txt").write_text(_readme(sim, format), encoding="utf-8")


def iso(time: NDArray[np.datetime64]) -> list[str]:
    """Times as text, in whole seconds with zone."""
    return [f"{text}Z" for text in np.datetime_as_string(time, unit="s")]


def _write_jsonl(sim: Simulated, folder: Path) -> None:
    """One object per line; the samples are decimal text that reads back as the same float32."""
    ends = [(float(row.min()), float(row.max())) for row in _in_turn(sim.x)]
    low, high = (round(end * STEPS_A_UNIT) for end in (min(a for a, _ in ends), max(b for _, b in ends)))
    words = np.array([f"{k / STEPS_A_UNIT:.6f}".rstrip("0").rstrip(".") for k in range(low, high + 1)], dtype=object)
    with (folder / "data.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for time, sensor, machine, signal in zip(iso(sim.time), sim.sensor, sim.machine, _in_turn(sim.x), strict=True):
            row = np.rint(signal[0].astype(np.float64) * STEPS_A_UNIT).astype(np.int64)
            head = {
                "data_time": time,
                "sensor_id": str(sensor),
                "machine_id": str(machine),
                "fs": sim.fs,
                "unit": sim.unit,
            }
            file.write(json.dumps(head)[:-1] + ', "signal_value": "' + ",".join(words[row - low]) + '"}\n')


def _in_turn(x: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The records (1, T) one by one; those behind do not stay in memory where they lie in a file."""
    for i, signal in enumerate(x):
        yield signal
        if i % BLOCK == 0:
            let_go(x)


def _write_npz(sim: Simulated, folder: Path) -> None:
    """Arrays of the names that the npz reader knows."""
    np.savez(
        folder / "data.npz",
        signals=sim.x[:, 0],
        fs=np.float64(sim.fs),
        sensor_id=sim.sensor,
        machine_id=sim.machine,
        data_time=np.array(iso(sim.time)),
    )


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """A plain table with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def _readme(sim: Simulated, format: str) -> str:
    """What the folder holds, in a few lines."""
    kinds = ", ".join(f"{kind} {int((sim.kind == kind).sum())}" for kind in ("normal", "benign", "machine", "sensor"))
    return (
        f"Simulated records (preset {sim.preset}); no real machine was measured.\n"
        f"{len(sim)} records of {sim.x.shape[2]} samples at {sim.fs:g} Hz in {sim.unit}: {kinds}.\n\n"
        f"data.{format}      the records\n"
        "labels.csv      the truth, for metrics only: label 0 normal, 1 anomalous; kind benign = tap-changer operation\n"
        f"covariates.csv  {', '.join(sim.covariates)} at the time of each record\n\n"
        f"vibro ensemble run data.{format} -o out --labels labels.csv --covariates covariates.csv\n"
    )
