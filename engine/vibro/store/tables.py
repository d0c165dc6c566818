"""The tables of a run: scores as CSV and Parquet, quarantine and machines as CSV, events as JSON."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ContractError, StateError
from vibro.events import Event
from vibro.io import files

SCORE_COLUMNS = (
    "record_id",
    "source",
    "row",
    "sensor_id",
    "data_time",
    "score",
    "persistent_score",
    "p_value",
    "level",
    "reason",
    "agreement",
    "confidence",
)
QUARANTINE_COLUMNS = (
    "source",
    "row",
    "line",
    "pointer",
    "byte_offset",
    "record_id",
    "sensor_id",
    "data_time",
    "code",
    "reason",
    "disposition",
    "detail",
    "excerpt",
)
MACHINE_COLUMNS = (
    "machine_id",
    "level",
    "reason",
    "since",
    "growth_per_day",
    "records_alarm",
    "sensors_alarm",
    "sensors_total",
    "score",
    "confidence",
)
CASE_COLUMNS = (
    "case",
    "machine_id",
    "level",
    "sensors",
    "since",
    "until",
    "open",
    "instants",
    "instants_total",
    "records",
    "record_id",
    "score",
    "confidence",
    "hypothesis",
)
EXCERPT = 120  # characters
_TEXT = ("record_id", "source", "sensor_id", "level", "reason")
_CHUNK = 1 << 16  # rows converted to text at a time
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_TO_QUOTE = re.compile('[",\r\n]')
Columns = Mapping[str, NDArray[Any]]


def write_scores(folder: Path, columns: Columns, *, bom: bool = False) -> None:
    """Writes ``scores.csv`` and ``scores.parquet``, sorted by source and row.

    ``columns`` holds those of docs/run-directory.md as arrays of equal length: texts, int64 ``row``, datetime64 ``data_time``,
    float64 for the rest, then ``z_<detector>`` in ensemble order. NaN and NaT are written as empty, in Parquet as null.
    """
    columns = _in_order(columns)
    with files.atomic(folder / "scores.csv") as handle:
        handle.write(b"\xef\xbb\xbf" if bom else b"")
        handle.write(_line(columns))
        for rows in _chunks(columns):
            handle.write(_lines(columns, rows))
    _write_parquet(folder / "scores.parquet", columns)


def score_lines(columns: Columns) -> tuple[bytes, bytes]:
    """The header of ``scores.csv`` and the lines of these rows, for a table that grows."""
    columns = _in_order(columns)
    return _line(columns), b"".join(_lines(columns, rows) for rows in _chunks(columns))


def quarantine_lines(findings: Iterable[Mapping[str, Any]]) -> tuple[bytes, bytes]:
    """The header of ``quarantine.csv`` and the lines of these findings, for a table that grows."""
    rows = _quarantine_rows(findings)
    return _line(QUARANTINE_COLUMNS), b"".join(_table_line(QUARANTINE_COLUMNS, row) for row in rows)


def read_scores(folder: Path) -> dict[str, NDArray[Any]]:
    """The columns of ``scores.parquet`` as ``write_scores`` took them; StateError if the file cannot be read."""
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "scores.parquet"
    columns: dict[str, NDArray[Any]] = {}
    try:
        with parquet.ParquetFile(path) as file:
            missing = [name for name in SCORE_COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise StateError(f"{path} lacks the column(s) {', '.join(missing)}")
            for (
                name
            ) in file.schema_arrow.names:  # some rows of a column at a time: the whole table would lie in memory twice
                parts = file.iter_batches(_CHUNK, columns=[name], use_threads=False)
                nothing = pa.array([], file.schema_arrow.field(name).type)
                columns[name] = np.concatenate(
                    [_cells(name, nothing), *(_cells(name, part.column(0)) for part in parts)]
                )
    except (OSError, pa.ArrowException) as error:
        raise StateError(f"cannot read {path}: {error}", hint="score the data again") from None
    return columns


def _cells(name: str, cells: Any) -> NDArray[Any]:
    """Some cells of a Parquet column as an array of its type."""
    if name in _TEXT:
        return np.array(cells.to_pylist(), dtype=np.str_)
    if name == "data_time":
        return np.asarray(cells.cast("timestamp[ns]").to_numpy(zero_copy_only=False).astype("datetime64[ns]"))
    return np.asarray(cells.to_numpy(zero_copy_only=False).astype(np.int64 if name == "row" else np.float64))


def write_quarantine(folder: Path, findings: Iterable[Mapping[str, Any]], *, bom: bool = False) -> None:
    """Writes ``quarantine.csv``, one row per finding in the given order; -1 as row, line or offset is left empty."""
    write_table(folder / "quarantine.csv", QUARANTINE_COLUMNS, _quarantine_rows(findings), bom=bom)


def _quarantine_rows(findings: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for finding in findings:
        row = dict(finding)
        for name in ("row", "line", "byte_offset"):
            row[name] = None if row.get(name) == -1 else row.get(name)
        row["detail"] = printable(str(row.get("detail") or ""))
        row["excerpt"] = printable(str(row.get("excerpt") or ""))[:EXCERPT]
        yield row


def write_machines(folder: Path, machines: Iterable[Mapping[str, Any]], *, bom: bool = False) -> None:
    """Writes ``machines.csv``, one row per machine in the given order."""
    write_table(folder / "machines.csv", MACHINE_COLUMNS, machines, bom=bom)


def write_cases(folder: Path, cases: Iterable[Mapping[str, Any]], *, bom: bool = False) -> None:
    """Writes ``cases.csv``, one row per case in the given order; several sensors are joined by ``;``."""

    def told(case: Mapping[str, Any]) -> dict[str, Any]:
        looks = case["hypothesis"]
        return {
            **case,
            "sensors": ";".join(case["sensors"]),
            "open": "yes" if case["open"] else "no",
            "hypothesis": f"{looks['name']}, {looks['grade']}" if looks else "",
        }

    write_table(folder / "cases.csv", CASE_COLUMNS, map(told, cases), bom=bom)


def write_table(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, Any]], *, bom: bool = False) -> None:
    """Writes a CSV table in the style of all of them; a value that is None, NaN, NaT or not given is empty."""
    with files.atomic(path) as handle:
        handle.write(b"\xef\xbb\xbf" if bom else b"")
        handle.write(_line(names))
        for row in rows:
            unknown = set(row) - set(names)
            if unknown:
                raise ContractError(f"{path.name} has no column {', '.join(sorted(unknown))}")
            handle.write(_table_line(names, row))


def _table_line(names: Sequence[str], row: Mapping[str, Any]) -> bytes:
    return (",".join(cell(row.get(name)) for name in names) + "\n").encode("utf-8", "backslashreplace")


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table that vibro wrote, as text, one by one; StateError if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.DictReader(handle, strict=True):
                yield {name: _plain(value) for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StateError(f"cannot read {path}: {error}") from None


def _plain(value: Any) -> Any:
    """A text without the apostrophe that keeps it from being a formula."""
    return value[1:] if isinstance(value, str) and value[:1] == "'" and value[1:].startswith(_FORMULA) else value


def event_line(event: Event, time: str | None = None) -> str:
    """An event as one line of JSON: ``time`` if given, ``event`` = its name, then its fields."""
    head = {"event": type(event).__name__} if time is None else {"time": time, "event": type(event).__name__}
    return json_line({**head, **asdict(event)})


def json_line(value: Mapping[str, Any]) -> str:
    """A table as one line of strict JSON."""
    return json.dumps(files.plain(value), ensure_ascii=False, allow_nan=False) + "\n"


def cell(value: Any) -> str:
    """One CSV cell: floats with 9 significant digits, times in ISO 8601; formulae and invisible characters escaped."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, np.datetime64):
        return files.iso_time(value)
    if isinstance(value, float | np.floating):
        return _number(float(value))
    return _text(str(value)) if not isinstance(value, int | np.integer) else str(value)


def printable(text: str) -> str:
    """The text with control and other invisible characters (bidi marks, line separators) written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _in_order(columns: Columns) -> dict[str, NDArray[Any]]:
    """The columns in the contract's order, their rows sorted by source and row."""
    missing = [name for name in SCORE_COLUMNS if name not in columns]
    extra = [name for name in columns if name not in SCORE_COLUMNS and not name.startswith("z_")]
    if missing or extra:
        raise ContractError(f"scores: missing column(s) {missing}, unknown column(s) {extra}")
    names = [*SCORE_COLUMNS, *(name for name in columns if name.startswith("z_"))]
    sizes = {len(columns[name]) for name in names}
    if len(sizes) != 1:
        raise ContractError(f"scores: columns of different lengths {sorted(sizes)}")
    order = np.lexsort((columns["row"], columns["source"]))
    if np.array_equal(order, np.arange(len(order))):
        return {name: np.asarray(columns[name]) for name in names}
    return {name: np.asarray(columns[name])[order] for name in names}


def _chunks(columns: Columns) -> Iterator[slice]:
    size = len(columns["row"])
    for start in range(0, size, _CHUNK):
        yield slice(start, min(start + _CHUNK, size))


def _lines(columns: Columns, rows: slice) -> bytes:
    """A chunk of rows as CSV."""
    cells = [_column(name, columns[name][rows]) for name in columns]
    return "".join(",".join(row) + "\n" for row in zip(*cells, strict=True)).encode("utf-8", "backslashreplace")


def _column(name: str, values: NDArray[Any]) -> list[str]:
    """A chunk of a column as CSV cells: the same text as ``cell``, for whole arrays."""
    if name in _TEXT:
        texts: list[str] = values.tolist()
        cells = {value: _text(value) for value in set(texts)}
        return [cells[value] for value in texts]
    if name == "data_time":
        times = values.astype("datetime64[ns]")
        if np.isnat(times).any() or (times.astype(np.int64) % 1_000_000_000).any():
            return [files.iso_time(value) for value in times]
        return [f"{value}Z" for value in np.datetime_as_string(times, unit="s").tolist()]
    if name == "row":
        return [str(value) for value in values.tolist()]
    numbers = (values.astype(np.float64) + 0.0).tolist()
    return ["%.9g" % value if value == value else "" for value in numbers]  # noqa: UP031


def _text(value: str) -> str:
    value = "\n".join(map(printable, value.split("\n")))  # a line break is quoted instead
    if value.startswith(_FORMULA):
        value = "'" + value
    return '"' + value.replace('"', '""') + '"' if _TO_QUOTE.search(value) else value


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value + 0.0:.9g}"  # + 0.0 turns -0 into 0


def _line(names: Iterable[str]) -> bytes:
    return (",".join(_text(name) for name in names) + "\n").encode("utf-8", "backslashreplace")


def _write_parquet(path: Path, columns: Columns) -> None:
    """zstd, one row group per chunk, no clock and no host in the metadata: the same table gives the same bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    def kind(name: str) -> Any:
        if name in _TEXT:
            return pa.string()
        return {"data_time": pa.timestamp("ns", tz="UTC"), "row": pa.int64()}.get(name, pa.float64())

    def convert(name: str, values: NDArray[Any]) -> Any:
        if name in _TEXT:
            clean = [v.encode("utf-8", "backslashreplace").decode() for v in values.tolist()]
            return pa.array(clean, pa.string())
        if name == "data_time":
            return pa.array(values.astype("datetime64[ns]")).cast(kind(name))
        return pa.array(values, kind(name), from_pandas=name != "row")

    schema = pa.schema([(name, kind(name)) for name in columns])
    with files.atomic(path) as handle, parquet.ParquetWriter(handle, schema, compression="zstd") as writer:
        for rows in _chunks(columns):
            writer.write_table(pa.table([convert(name, columns[name][rows]) for name in columns], schema=schema))
