"""Label, covariate and sensor tables joined to a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch, encode
from vibro.errors import ConfigError
from vibro.ingest.accounting import QUARANTINED, Finding
from vibro.ingest.keys import KEYS, Match, Table, match_rows, read_table, times_of
from vibro.ingest.units import UNITS, unit_named
from vibro.io.files import iso_time
from vibro.words import counted

_LABELS = {"": -1, "-1": -1, "0": 0, "1": 1, "-1.0": -1, "0.0": 0, "1.0": 1}
MOST = float(np.finfo(np.float32).max)  # of a covariate
_NOT_COVARIATES = {name for key in KEYS for name in key}


class Books(Protocol):
    """What lists the findings about quarantined records: an ``Accounting``, or the ``quarantine.csv`` of a finished run."""

    def findings(self) -> Iterator[Finding]:
        """Every finding about a record."""


@dataclass(frozen=True)
class Labels:
    """Labels of a batch of n records: ``y`` 0 normal, 1 anomalous, -1 unknown; texts are empty where not given.

    ``matched`` and ``unmatched`` count table rows; rows of quarantined records count as neither. ``recording`` is None
    where the table has no such column.
    """

    y: NDArray[np.int16]
    fault_type: NDArray[np.str_]
    split: NDArray[np.str_]
    recording: NDArray[np.str_] | None
    key: str
    matched: int
    unmatched: int
    warnings: tuple[str, ...] = ()


def read_labels(
    path: Path,
    batch: SignalBatch,
    partial: bool = False,
    accounting: Books | None = None,
    meaning: Mapping[str, int] | None = None,
) -> Labels:
    """The label table joined to the batch; ConfigError for rows that match nothing (unless ``partial``) or disagree.

    With ``accounting``, rows about records that were quarantined are no error. ``meaning`` is that of labels in words,
    which then are the fault types too where the table names none.
    """
    table = read_table(path, ["label"], "label table")
    values = _label_values(table, meaning or {})
    match = match_rows(table, batch)
    if match is None:
        raise ConfigError(
            f"no row of {path.name} matches a record",
            hint="compare its key columns with scores.csv or vibro data check",
        )
    y = np.full(len(batch), -1, np.int16)
    owner = np.full(len(batch), -1, np.int64)
    for k, i in _pairs(match):
        if owner[i] >= 0 and y[i] != values[k]:
            lines = f"lines {table.lines[owner[i]]} and {table.lines[k]}"
            raise ConfigError(f"{path.name}: {lines} disagree about one record (label {y[i]} and {values[k]})")
        y[i], owner[i] = values[k], k
    lost = [k for k, records in enumerate(match.records) if not len(records)]
    lost = _not_quarantined(table, lost, accounting)
    warnings = []
    if lost:
        who = f"{counted(len(lost), 'row')} of {path.name} {'matches' if len(lost) == 1 else 'match'}"
        message = f"{who} no record, the first on line {table.lines[lost[0]]}"
        if not partial:
            raise ConfigError(message, hint="--labels-partial turns this into a warning")
        warnings.append(message)

    def text(name: str) -> NDArray[np.str_]:
        cells = np.array([*table.column(name), ""], dtype=np.str_)
        return cells[owner]  # -1 is the empty text

    words = meaning is not None and "fault_type" not in table.columns
    return Labels(
        y=y,
        fault_type=np.where(y == 1, text("label"), "") if words else text("fault_type"),
        split=text("split"),
        recording=text("recording") if "recording" in table.columns else None,
        key=match.key,
        matched=sum(1 for records in match.records if len(records)),
        unmatched=len(lost),
        warnings=tuple(warnings),
    )


def with_recordings(batch: SignalBatch, labels: Labels) -> SignalBatch:
    """The batch with the recordings that the label table gives; records without one keep theirs."""
    if labels.recording is None:
        return batch
    own = np.array(batch.recordings, dtype=np.str_)[batch.recording]
    codes, names = encode(np.where(labels.recording == "", own, labels.recording).tolist())
    return replace(batch, recording=codes, recordings=names)


@dataclass(frozen=True)
class Covariates:
    """A covariate table as it was read: ``values`` float32 (rows, names), NaN where a cell is empty."""

    table: Table
    names: tuple[str, ...]
    values: NDArray[np.float32]

    @classmethod
    def read(cls, path: Path) -> Covariates:
        """ConfigError for a table that cannot be read, has no covariates or holds other things than numbers."""
        table = read_table(path, [], "covariate table")
        names = tuple(name for name in table.columns if name and name not in _NOT_COVARIATES)
        if not names:
            raise ConfigError(f"covariate table {path.name} holds no column besides its keys")
        values = np.array([_numbers(table, name) for name in names], dtype=np.float32).T.reshape(len(table), len(names))
        return cls(table, names, values)

    def join(self, batch: SignalBatch, tolerance: float) -> tuple[SignalBatch, int]:
        """The batch with these covariates, and how many of its records have a row; as ``read_covariates`` finds them."""
        columns = self.table.columns
        by_time = "data_time" in columns and not any(set(key) <= set(columns) for key in KEYS)
        row = (
            _row_by_time(self.table, batch, self.values, tolerance)
            if by_time
            else _row_by_key(self.table, batch, self.values)
        )
        given = np.full((len(batch), len(self.names)), np.nan, np.float32)
        given[row >= 0] = self.values[row[row >= 0]]
        all_names = tuple(dict.fromkeys([*batch.covariate_names, *self.names]))
        joined = np.full((len(batch), len(all_names)), np.nan, np.float32)
        for j, name in enumerate(batch.covariate_names):
            joined[:, all_names.index(name)] = batch.covariates[:, j]
        for j, name in enumerate(self.names):
            column = joined[:, all_names.index(name)]
            np.copyto(column, given[:, j], where=np.isfinite(given[:, j]))
        return replace(batch, covariates=joined, covariate_names=all_names), int((row >= 0).sum())


def read_covariates(path: Path, batch: SignalBatch, tolerance: float = 600.0) -> tuple[SignalBatch, list[str]]:
    """The batch with the table's columns as covariates, and warnings; a cell of the table wins over the record's own.

    Rows are found by the keys of a label table, or by ``data_time`` alone: the latest row that is not later than the
    record and at most ``tolerance`` seconds older. ConfigError where no row is about a record.
    """
    joined, matched = Covariates.read(path).join(batch, tolerance)
    if not matched:
        raise ConfigError(f"no row of {path.name} matches a record", hint="compare its keys with vibro data check")
    without = len(batch) - matched
    have = "has" if without == 1 else "have"
    return joined, [f"{without} of {len(batch)} records {have} no row in {path.name}"] if without else []


def read_sensors(path: Path, batch: SignalBatch) -> tuple[SignalBatch, list[str]]:
    """The batch with the machines of a sensor table, and warnings about sensors that only one side knows."""
    table = read_table(path, ["sensor_id", "machine_id"], "sensor table")
    machine: dict[str, str] = {}
    warnings = []
    for k, (sensor, name, unit, fs) in enumerate(
        zip(*(table.column(c) for c in ("sensor_id", "machine_id", "unit", "fs")), strict=True)
    ):
        if not sensor:
            raise ConfigError(f"{table.place(k)}: sensor_id is empty")
        if machine.setdefault(sensor, name) != name:
            raise ConfigError(f"{table.place(k)}: sensor {sensor!r} has machine {machine[sensor]!r} and {name!r}")
        if unit and unit_named(unit) is None:
            raise ConfigError(f"{table.place(k)}: unit {unit!r} is not known", hint=f"units: {', '.join(UNITS)}")
        if unit and sensor in batch.sensors and unit_named(unit) != batch.unit:
            warnings.append(f"{table.place(k)}: sensor {sensor} is in {unit}, the records are in {batch.unit}")
        if fs and sensor in batch.sensors and not math.isclose(number(table, k, "fs", fs), batch.fs, rel_tol=1e-6):
            warnings.append(f"{table.place(k)}: sensor {sensor} has fs {fs}, the records {batch.fs:g}")
    unknown = sorted(set(machine) - set(batch.sensors))
    if unknown:
        who = f"{counted(len(unknown), 'sensor')} of {path.name} {'has' if len(unknown) == 1 else 'have'}"
        warnings.append(f"{who} no record: {', '.join(unknown[:5])}")
    missing = sorted(set(batch.sensors) - set(machine))
    if missing:
        who = f"{counted(len(missing), 'sensor is', 'sensors are')} not in {path.name}"
        keep = "keeps its" if len(missing) == 1 else "keep their"
        warnings.append(f"{who} and {keep} machine: {', '.join(missing[:5])}")
    named = np.array([machine.get(sensor, "") for sensor in batch.sensors], dtype=np.str_)[batch.sensor]
    own = np.array(batch.machines, dtype=np.str_)[batch.machine]
    codes, names = encode(np.where(named == "", own, named).tolist())
    return replace(batch, machine=codes, machines=names), warnings


def machines_unnamed(batch: SignalBatch, unnamed: bool) -> list[str]:
    """A warning where nothing names a machine, so that each of several sensors is one.

    ``unnamed``: whether the data have such records; a folder may name a machine just as its only sensor.
    """
    alone = batch.machines == batch.sensors and np.array_equal(batch.machine, batch.sensor)
    if not unnamed or len(batch.sensors) < 2 or not alone:
        return []
    return ["no machine_id: every sensor counts as a machine of its own; --sensors TABLE names the machines"]


def _label_values(table: Table, meaning: Mapping[str, int]) -> list[int]:
    values = []
    for k, cell in enumerate(table.column("label")):
        value = meaning.get(cell, _LABELS.get(cell))
        if value is None:
            raise ConfigError(
                f"{table.place(k)}: label is {cell[:40]!r}; use 0, 1, or -1 or nothing for unknown",
                hint=f"--map '{cell[:40]}=1' says what it means" if cell.isprintable() else None,
            )
        values.append(value)
    return values


def _pairs(match: Match) -> Iterator[tuple[int, int]]:
    """Table row and record, for every record that a row is about."""
    for k, records in enumerate(match.records):
        for i in records:
            yield k, int(i)


def _not_quarantined(table: Table, rows: list[int], accounting: Books | None) -> list[int]:
    """Those of the rows that are not about a quarantined record."""
    if accounting is None or not rows:
        return rows
    keys: set[tuple[str, str]] = set()
    for finding in accounting.findings():
        if finding.disposition == QUARANTINED:
            keys |= {("id", finding.record_id), (finding.source, str(finding.row))}
            keys |= {("source", finding.source), ("source", PurePosixPath(finding.source).name)}
            keys.add((finding.sensor_id, finding.data_time))
    keys -= {("id", ""), ("", ""), ("source", "")}
    times, _ = times_of(table)
    ids, sources, numbers, sensors = (table.column(name) for name in ("record_id", "source", "row", "sensor_id"))
    texts, recordings = table.column("data_time"), table.column("recording")

    def known(k: int) -> bool:
        tried = {("id", ids[k]), (sources[k], numbers[k]), (sensors[k], texts[k]), (sensors[k], iso_time(times[k]))}
        if not (ids[k] or numbers[k] or texts[k]):  # about a recording, known by its own name or its file's
            tried |= {("source", sources[k]), ("source", recordings[k])}
        return bool(tried & keys)

    return [k for k in rows if not known(k)]


def _numbers(table: Table, name: str) -> list[float]:
    return [number(table, k, name, cell) if cell else math.nan for k, cell in enumerate(table.column(name))]


def number(table: Table, k: int, name: str, cell: str) -> float:
    """The number in a cell of row k; ConfigError names its place if it is none of float32."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= MOST or "_" in cell:
        raise ConfigError(
            f"{table.place(k)}: column {name} holds {cell[:40]!r}, not a number of float32",
            hint="leave a missing value empty",
        )
    return value


def _row_by_key(table: Table, batch: SignalBatch, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """The table row of each record by the keys of a label table."""
    match = match_rows(table, batch)
    row = np.full(len(batch), -1, np.int64)
    for k, i in () if match is None else _pairs(match):
        if row[i] >= 0 and not np.array_equal(values[row[i]], values[k], equal_nan=True):
            lines = f"lines {table.lines[row[i]]} and {table.lines[k]}"
            raise ConfigError(f"{table.path.name}: {lines} disagree about one record")
        row[i] = k
    return row


def _row_by_time(table: Table, batch: SignalBatch, values: NDArray[np.float32], tolerance: float) -> NDArray[np.int64]:
    """The latest table row of each record that is not later and not older than the tolerance."""
    found, bad = times_of(table)
    if bad:
        raise ConfigError(f"{table.place(bad[0])}: data_time is no ISO 8601 date and time")
    times = np.array(found, dtype="datetime64[ns]")
    order = np.argsort(times, kind="stable")
    order = order[~np.isnat(times[order])]
    times = times[order]
    for a, b in zip(order[:-1][np.diff(times) == 0], order[1:][np.diff(times) == 0], strict=True):
        if not np.array_equal(values[a], values[b], equal_nan=True):
            raise ConfigError(f"{table.path.name}: lines {table.lines[a]} and {table.lines[b]} disagree about one time")
    if not len(order):
        return np.full(len(batch), -1, np.int64)
    place = np.searchsorted(times, batch.time, side="right") - 1
    age = batch.time - times[np.maximum(place, 0)]
    near = (place >= 0) & ~np.isnat(batch.time) & (age <= np.timedelta64(round(tolerance * 1e9), "ns"))
    return np.where(near, order[np.maximum(place, 0)], -1).astype(np.int64)
