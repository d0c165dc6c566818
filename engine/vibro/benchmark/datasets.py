"""Labelled records for benchmarks: an ``.npz`` with labels beside its signals, or simulated ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vibro.api import Params
from vibro.data import SignalBatch, make_batch
from vibro.errors import ConfigError, DataError

SERIES_SHARE = 0.5  # a window counts as anomalous from this share of anomalous points


@dataclass(frozen=True)
class Labelled:
    """Records with labels: ``y`` (n,) 0, 1 or -1 unknown, ``fault_type`` and ``split`` (n,) text."""

    name: str
    batch: SignalBatch
    y: NDArray[np.int16]
    fault_type: NDArray[np.str_]
    split: NDArray[np.str_]
    key: str = "row"
    unmatched: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def matched(self) -> int:
        """Records with a known label."""
        return int((self.y >= 0).sum())

    def take(self, rows: NDArray[np.intp]) -> Labelled:
        """These records in this order."""
        return replace(
            self,
            batch=self.batch.take(rows),
            y=self.y[rows],
            fault_type=self.fault_type[rows],
            split=self.split[rows],
        )


@dataclass(frozen=True)
class SetEntry(Params):
    """One data set of a suite.

    ``path`` is an ``.npz`` beside the suite or else below the folder of the recordings, or, with a table of ``labels`` in
    the same place, anything that ``vibro ensemble run`` reads; or ``simulate`` holds the arguments of
    ``vibro.simulate.simulate``. ``window`` and ``hop`` cut each record (0 = whole); ``fs`` is used where the file has
    none; ``machine`` is a pattern whose first group, matched against the sensor id, names the machine, else the array
    ``machine_id``. ``signals`` and ``label`` name arrays; a 2-D ``values`` with one row per point is cut as series of
    ``recording``.
    """

    name: str
    path: str = ""
    labels: str = ""
    simulate: dict[str, Any] = field(default_factory=dict)
    fs: float = 0.0
    window: int = 0
    hop: int = 0
    machine: str = ""
    signals: str = "signals"
    label: str = "label"
    recording: str = "source_file"
    series: bool = False
    covariates: bool = True  # simulated sets: whether load, voltage and temperature are known
    light: tuple[str, ...] = ()  # fault types of the pool variant ``light``


def load_set(entry: SetEntry, folder: Path | None, seed: int = 0) -> Labelled:
    """The records of one entry; ``seed`` draws the plant of a simulated one.

    ConfigError for a setting of the entry that cannot be used, DataError for a file.
    """
    _check_pattern(entry)
    if entry.simulate or not entry.path:
        return _simulated(entry, seed)
    if folder is None:
        raise ConfigError(
            f"data set {entry.name} needs a folder of recordings", hint="set VIBRO_TEST_DATA or give --data-root"
        )
    path = folder / entry.path
    if not path.is_file():
        raise DataError(f"data set {entry.name}: {path} is missing")
    if path.suffix != ".npz":
        raise DataError(
            f"data set {entry.name}: {path.name} holds no labels", hint='add labels = "labels.csv" to the set'
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        raise DataError(f"data set {entry.name}: {path.name} cannot be read: {error}") from None
    for name in (entry.signals, entry.label):
        if name not in arrays:
            raise DataError(f"data set {entry.name}: {path.name} holds no array {name!r}")
    try:
        return _from_series(entry, arrays) if entry.series else _from_records(entry, arrays)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise DataError(f"data set {entry.name}: the arrays of {path.name} cannot be used: {error}") from None


def _check_pattern(entry: SetEntry) -> None:
    """ConfigError unless ``machine`` is a regular expression with a group."""
    try:
        why = "" if not entry.machine or re.compile(entry.machine).groups else "it has no group"
    except re.error as error:
        why = str(error)
    if why:
        raise ConfigError(
            f"data set {entry.name}: machine = {entry.machine!r} cannot be used: {why}",
            hint='the first group names the machine: machine = "(.*)-[xyz]$"',
        )


def _simulated(entry: SetEntry, seed: int) -> Labelled:
    from vibro.simulate import simulate, to_batch

    known = [name for name in signature(simulate).parameters if name != "scratch"]
    strange = [name for name in entry.simulate if name not in known]
    if strange:
        raise ConfigError(
            f"data set {entry.name}: simulate knows no {', '.join(strange)}", hint=f"simulate takes {', '.join(known)}"
        )
    try:
        sim = simulate(**{"seed": seed, **entry.simulate})
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(
            f"data set {entry.name}: simulate = {entry.simulate} cannot be used: {error}",
            hint="all but preset are numbers; records, units, sensors, length and seed are whole",
        ) from None
    batch = to_batch(sim)
    if not entry.covariates:
        batch = replace(batch, covariates=batch.covariates[:, :0], covariate_names=())
    return Labelled(entry.name, batch, sim.label, sim.fault_type, np.full(len(sim), "", "U1"), key="record_id")


def _from_records(entry: SetEntry, arrays: Mapping[str, NDArray[Any]]) -> Labelled:
    """Records from the rows of ``signals``, cut into windows if ``window`` is set."""
    x = np.asarray(arrays[entry.signals], dtype=np.float32)
    x = x[:, None, :] if x.ndim == 2 else x
    if x.ndim != 3:
        raise ValueError(
            f"{entry.signals} has the shape {x.shape}, not (records, samples) or (records, channels, samples)"
        )
    n = len(x)
    parent = np.arange(n)
    if entry.window:
        hop = entry.hop or entry.window
        offsets = np.arange(0, x.shape[2] - entry.window + 1, hop)
        if not len(offsets):
            raise ValueError(f"a window of {entry.window} samples is longer than the records of {x.shape[2]}")
        x = np.concatenate([x[:, :, o : o + entry.window] for o in offsets])
        order = np.argsort(np.tile(parent, len(offsets)), kind="stable")  # windows of a record follow each other
        x, parent = x[order], np.repeat(parent, len(offsets))
    text = {
        key: np.asarray(arrays.get(key, np.full(n, "")), dtype=np.str_)[parent]
        for key in ("sensor_id", "machine_id", "fault_type", "split", "data_time", entry.recording)
    }
    y = _labels(entry, arrays[entry.label], n)[parent]
    fault = np.where(y == 1, text["fault_type"], "")
    return _labelled(entry, arrays, x, y, fault, text["split"], text["sensor_id"], text[entry.recording], text)


def _labels(entry: SetEntry, values: NDArray[Any], n: int) -> NDArray[np.int16]:
    """Labels (n,) of 0, 1 and -1."""
    if values.shape != (n,):
        raise ValueError(f"{entry.label} has the shape {values.shape} for {n} signals")
    if values.dtype.kind not in "biuf" or not np.isin(values, (-1, 0, 1)).all():
        raise ValueError(f"{entry.label} should hold 0 (normal), 1 (anomalous) and -1 (unknown)")
    return values.astype(np.int16)


def _from_series(entry: SetEntry, arrays: Mapping[str, NDArray[Any]]) -> Labelled:
    """Windows over long series of (points, channels): a window counts as anomalous if half of its points are.

    Windows that hold some but fewer anomalous points are unlabelled.
    """
    values = np.asarray(arrays[entry.signals], dtype=np.float32)
    points = _labels(entry, arrays[entry.label], len(values))
    names = np.asarray(arrays[entry.recording], dtype=np.str_)
    if not entry.window:
        raise ConfigError(f"data set {entry.name}: series need a window")
    x, y, origin = [], [], []
    for name in dict.fromkeys(map(str, names)):
        rows = np.flatnonzero(names == name)
        for first in range(0, len(rows) - entry.window + 1, entry.hop or entry.window):
            part = rows[first : first + entry.window]
            share = float((points[part] == 1).mean())
            x.append(values[part].T)
            y.append(1 if share >= SERIES_SHARE else 0 if share == 0 else -1)
            origin.append(name)
    if not x:
        raise ValueError(f"a window of {entry.window} points is longer than every series")
    label = np.array(y, dtype=np.int16)
    fault = np.where(label == 1, "anomaly", "")
    blank = np.full(len(label), "", dtype="U1")
    return _labelled(
        entry, arrays, np.stack(x), label, fault, blank, np.full(len(label), entry.name), np.array(origin), {}
    )


def _labelled(
    entry: SetEntry,
    arrays: Mapping[str, NDArray[Any]],
    x: NDArray[np.float32],
    y: NDArray[np.int16],
    fault: NDArray[np.str_],
    split: NDArray[np.str_],
    sensor: NDArray[np.str_],
    recording: NDArray[np.str_],
    text: Mapping[str, NDArray[np.str_]],
) -> Labelled:
    fs = float(arrays["fs"]) if "fs" in arrays else 0.0
    fs = fs or entry.fs
    if fs <= 0:
        raise ConfigError(f"data set {entry.name}: the sampling rate is not given", hint="add fs to the suite")
    times = text.get("data_time", np.full(len(y), ""))
    sensors = [name or entry.name for name in map(str, sensor)]
    machines = text.get("machine_id", np.full(len(y), ""))
    batch = make_batch(
        x,
        fs=fs,
        sensor=sensors,
        machine=[_machine(entry.machine, *names) for names in zip(sensors, map(str, machines), strict=True)],
        recording=[name or entry.name for name in map(str, recording)],
        source=[entry.path or entry.name] * len(y),
        time=[np.datetime64(t.removesuffix("Z"), "ns") if t else np.datetime64("NaT", "ns") for t in map(str, times)],
        row=list(range(len(y))),
    )
    data = Labelled(entry.name, batch, y, fault, split)
    whole = np.isfinite(x).all(axis=(1, 2))
    if whole.all():
        return data
    if not whole.any():
        raise ValueError("no record is free of NaN and infinite samples")
    lost = int((~whole).sum())
    are = "is" if lost == 1 else "are"
    note = f"{lost} of {len(y)} records {are} left out for samples that are no numbers"
    return replace(data.take(np.flatnonzero(whole)), warnings=(note,))


def _machine(pattern: str, sensor: str, named: str) -> str:
    """The first group of the pattern in the sensor's id, else the machine that the file names, else the sensor."""
    found = re.match(pattern, sensor) if pattern else None
    return (found and found.group(1)) or named or sensor


def add_noise(batch: SignalBatch, snr_db: float, seed: int) -> SignalBatch:
    """White noise added to every record, ``snr_db`` below the median power of its sensor."""
    rng = np.random.default_rng(seed)
    x = np.array(batch.x)
    power = x.astype(np.float64).var(axis=-1).mean(axis=-1)
    for s in np.unique(batch.sensor):
        rows = np.flatnonzero(batch.sensor == s)
        sd = np.sqrt(np.median(power[rows]) * 10 ** (-snr_db / 10))
        for i in rows:
            x[i] += np.float32(sd) * rng.standard_normal(x[i].shape, dtype=np.float32)
    return replace(batch, x=x)
