"""Tables beside the data (labels, covariates, sensors): strict CSV, and how their rows find their records."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME, SignalBatch, parse_time
from vibro.errors import ConfigError
from vibro.io.named import check_plain

KEYS = (("record_id",), ("sensor_id", "data_time"), ("source", "row"), ("recording",), ("source",))
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """A CSV table as text; row k of the data stands on line ``lines[k]`` of the file."""

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """The cells of a column, without the blanks around them; all empty if there is no such column."""
        if name not in self.columns:
            return [""] * len(self)
        i = self.columns.index(name)
        return [row[i].strip() for row in self.rows]

    def place(self, k: int) -> str:
        """How a message names a row."""
        return f"{self.path.name} line {self.lines[k]}"


def read_table(path: Path, required: Sequence[str], what: str) -> Table:
    """A table with a header that names the required columns; ConfigError for anything else."""
    check_plain(path, what)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            header = next(reader, None)
            rows, lines = [], []
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {path} is no UTF-8", hint="save it as UTF-8") from None
    except csv.Error as error:
        raise ConfigError(f"{what} {path}: {error}") from None
    columns = tuple(name.strip() for name in header or ())
    for name in required:
        if name not in columns:
            hint = "cells are parted by commas" if ";" in "".join(columns) or "\t" in "".join(columns) else None
            raise ConfigError(
                f"{what} {path.name} lacks column {name} (it has: {', '.join(columns) or 'none'})", hint=hint
            )
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise ConfigError(f"{what} {path.name} names column {min(twice)} twice")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(columns):
            raise ConfigError(f"{path.name} line {line} has {len(row)} cells, the header {len(columns)}")
    return Table(path, columns, rows, lines)


@dataclass(frozen=True)
class Match:
    """The key that was used, and for every table row the records it belongs to: none, one, or those of its recording."""

    key: str
    records: list[Rows]


def match_rows(table: Table, batch: SignalBatch) -> Match | None:
    """The first of KEYS that is in the table and matches any record; None if none does.

    A source may be named without its folders where only one has that name. ConfigError where the table holds no key at
    all, or a time that cannot be read in the key that is used.
    """
    present = [key for key in KEYS if set(key) <= set(table.columns)]
    if not present:
        keys = ", ".join(" + ".join(key) for key in KEYS)
        raise ConfigError(f"{table.path.name} has no key column (one of: {keys})")
    for key in present:
        place, wanted, bad = _FINDERS[key](table, batch)
        records = [place.get(cell, _NOBODY) for cell in wanted]
        if any(map(len, records)):
            if bad:
                cell = table.column("data_time")[bad[0]]
                raise ConfigError(f"{table.place(bad[0])}: data_time {cell[:40]!r} is no ISO 8601 date and time")
            return Match(" + ".join(key), records)
    return None


def times_of(table: Table) -> tuple[list[np.datetime64], list[int]]:
    """The column ``data_time`` as instants (NaT where empty or wrong), and the rows where it is wrong."""
    times, bad = [], []
    for k, cell in enumerate(table.column("data_time")):
        try:
            times.append(parse_time(cell)[0] if cell else NO_TIME)
        except ValueError:
            times.append(NO_TIME)
            bad.append(k)
    return times, bad


Found = tuple[dict[Hashable, Rows], list[Hashable], list[int]]  # records by key, the key of each row, rows without one
_NOBODY = np.zeros(0, np.int64)


def _grouped(keys: Iterable[Hashable]) -> dict[Hashable, Rows]:
    """Indices by key."""
    found: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return {key: np.array(places, np.int64) for key, places in found.items()}


def _by_id(table: Table, batch: SignalBatch) -> Found:
    return _grouped(map(str, batch.ids)), list(table.column("record_id")), []


def _by_time(table: Table, batch: SignalBatch) -> Found:
    stamps = batch.time.astype("datetime64[ns]").astype(np.int64)
    place = _grouped((batch.sensors[code], int(stamp)) for code, stamp in zip(batch.sensor, stamps, strict=True))
    times, bad = times_of(table)
    wanted: list[Hashable] = [
        None if np.isnat(time) else (name, int(time.astype(np.int64)))
        for name, time in zip(table.column("sensor_id"), times, strict=True)
    ]
    return place, wanted, bad


def _by_row(table: Table, batch: SignalBatch) -> Found:
    place = _grouped((batch.sources[code], str(row)) for code, row in zip(batch.source, batch.row, strict=True))
    return place, list(zip(table.column("source"), table.column("row"), strict=True)), []


def _by_recording(table: Table, batch: SignalBatch) -> Found:
    return _grouped(batch.recordings[code] for code in batch.recording), list(table.column("recording")), []


def _by_source(table: Table, batch: SignalBatch) -> Found:
    bare = Counter(PurePosixPath(source).name for source in batch.sources)
    whole = {PurePosixPath(source).name: source for source in batch.sources if bare[PurePosixPath(source).name] == 1}
    wanted: list[Hashable] = [whole.get(cell, cell) for cell in table.column("source")]
    return _grouped(batch.sources[code] for code in batch.source), wanted, []


_FINDERS: dict[tuple[str, ...], Callable[[Table, SignalBatch], Found]] = {
    KEYS[0]: _by_id,
    KEYS[1]: _by_time,
    KEYS[2]: _by_row,
    KEYS[3]: _by_recording,
    KEYS[4]: _by_source,
}
