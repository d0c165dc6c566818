"""A batch in an exchange format that vibro reads again: the same records with the same ids."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.errors import ConfigError
from vibro.io.files import atomic, iso_time

_ROWS = 256  # records converted to text or columns at a time


def write_batch(batch: SignalBatch, path: Path) -> None:
    """Writes ``.npz``, ``.jsonl``, ``.jsonl.gz`` or ``.parquet``, by the ending of the name."""
    ending = check_ending(path)
    with atomic(path, need=batch.x.nbytes) as handle:
        WRITERS[ending](batch, handle)


def check_ending(path: Path) -> str:
    """The ending that names the format; ConfigError if there is none."""
    for ending in WRITERS:
        if path.name.lower().endswith(ending):
            return ending
    raise ConfigError(f"no format is known for {path.name}", hint=f"endings: {' '.join(WRITERS)}")


def _write_npz(batch: SignalBatch, handle: IO[bytes]) -> None:
    columns: dict[str, NDArray[Any]] = {
        "fs": np.array(batch.fs),
        "unit": np.array(batch.unit),
        "sensor_id": np.array(batch.sensors, dtype=np.str_)[batch.sensor],
        "machine_id": np.array(batch.machines, dtype=np.str_)[batch.machine],
        "recording": np.array(batch.recordings, dtype=np.str_)[batch.recording],
    }
    if not np.isnat(batch.time).all():
        columns["data_time"] = np.array([iso_time(time) for time in batch.time])
    if batch.covariate_names:
        columns["covariates"] = batch.covariates
        columns["covariate_names"] = np.array(batch.covariate_names)
    np.savez(handle, allow_pickle=False, signals=batch.x[:, 0] if batch.channels == 1 else batch.x, **columns)


def _write_jsonl(batch: SignalBatch, handle: IO[bytes]) -> None:
    _check_text(batch, ".jsonl")
    for i in range(len(batch)):
        values = ",".join(batch.x[i, 0].astype(np.str_).tolist())  # the shortest text of each float32
        line = json.dumps({**_fields(batch, i), "signal_value": values}, ensure_ascii=False)
        handle.write(line.encode() + b"\n")


def _write_jsonl_gz(batch: SignalBatch, handle: IO[bytes]) -> None:
    with gzip.GzipFile(filename="", mode="wb", fileobj=handle, mtime=0, compresslevel=6) as packed:
        _write_jsonl(batch, cast(IO[bytes], packed))


def _write_parquet(batch: SignalBatch, handle: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    _check_text(batch, ".parquet")
    texts = ("sensor_id", "data_time", "unit", "machine_id", "recording")
    schema = [(name, pa.string()) for name in texts] + [("fs", pa.float64())]
    if batch.covariate_names:
        schema.append(("covariates", pa.struct([(name, pa.float64()) for name in batch.covariate_names])))
    schema.append(("signal_value", pa.list_(pa.float32())))
    with parquet.ParquetWriter(handle, pa.schema(schema), compression="zstd") as writer:
        for rows in _chunks(len(batch)):
            fields = [_fields(batch, i) for i in rows]
            columns: list[Any] = [pa.array([f.get(name) for f in fields], kind) for name, kind in schema[:-1]]
            values = pa.array(batch.x[rows.start : rows.stop, 0].reshape(-1))
            offsets = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * batch.length)
            columns.append(pa.ListArray.from_arrays(offsets, values))
            writer.write_table(pa.Table.from_arrays(columns, schema=pa.schema(schema)))


def _fields(batch: SignalBatch, i: int) -> dict[str, Any]:
    """What a record says about itself besides its samples; nothing that was not given."""
    found: dict[str, Any] = {"data_time": iso_time(batch.time[i]), "sensor_id": batch.sensors[batch.sensor[i]]}
    if batch.fs:
        found["fs"] = batch.fs
    if batch.unit != "unknown":
        found["unit"] = batch.unit
    machine = batch.machines[batch.machine[i]]
    if machine != found["sensor_id"]:
        found["machine_id"] = machine
    found["recording"] = batch.recordings[batch.recording[i]]
    given = np.isfinite(batch.covariates[i])
    if given.any():
        found["covariates"] = {
            name: float(value)
            for name, value, known in zip(batch.covariate_names, batch.covariates[i], given, strict=True)
            if known
        }
    return found


def _check_text(batch: SignalBatch, ending: str) -> None:
    """ConfigError where the format cannot hold the batch."""
    problem = ""
    if batch.channels > 1:
        problem = f"records of {batch.channels} channels"
    elif np.isnat(batch.time).any():
        problem = "records without data_time"
    elif "" in {batch.sensors[code] for code in np.unique(batch.sensor)}:
        problem = "records without sensor_id"
    if problem:
        raise ConfigError(f"{ending} cannot hold {problem}", hint="write .npz")


def _chunks(n: int) -> Iterator[range]:
    for start in range(0, n, _ROWS):
        yield range(start, min(n, start + _ROWS))


WRITERS: dict[str, Callable[[SignalBatch, IO[bytes]], None]] = {
    ".npz": _write_npz,
    ".jsonl": _write_jsonl,
    ".jsonl.gz": _write_jsonl_gz,
    ".parquet": _write_parquet,
}
