"""The carriers of measured data: one record, one rejected item, one batch, and the rows of a batch by their use."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import IntFlag
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vibro.errors import IncompatibleModelError
from vibro.words import counted

NO_TIME = np.datetime64("NaT", "ns")
COLUMNS = ("x", "ids", "sensor", "machine", "recording", "source", "row", "time", "covariates", "quality")  # of a batch
CHUNK = 8_192  # rows worked on at a time, so that their columns stay in the processor's cache


class Quality(IntFlag):
    """Bits of a record's quality; ``INVALID`` joins those that make its level ``invalid``."""

    CONSTANT = 1  # Q014
    ZERO = 2  # Q015
    CLIPPED = 4  # Q016
    LOW_MAINS = 8  # Q017, a warning
    FS_COMB = 32  # Q013 from the mains comb, a warning
    STALE = 64  # Q021
    DROPOUT = 128  # Q022
    SPIKES = 256  # Q023, a warning
    SCALE = 512  # Q024, a warning
    STILL = 1024  # Q014, a warning
    REPAIRED = 2048  # Q007, a warning
    INVALID = CONSTANT | ZERO | CLIPPED | STALE | DROPOUT


_TIME = re.compile(r"(\d{4})(-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)(Z|z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)


def parse_time(text: str, tz: tzinfo | None = None) -> tuple[np.datetime64, bool]:
    """The instant of an ISO 8601 date and time in UTC, datetime64[ns], and whether the text names its zone.

    A text without a zone is read in ``tz``, by default as UTC; an hour that a clock passes twice in autumn is its first
    passing. ValueError for anything else: a date alone, a bare number, a day that does not exist, a second 60, a year
    outside 1678..2261.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not an ISO 8601 date and time")
    year, day, clock, zone = match.groups()
    if not 1678 <= int(year) <= 2261:
        raise ValueError("year outside 1678..2261")
    instant: np.datetime64 = np.datetime64(
        f"{year}{day}T{clock.replace(',', '.')}", "ns"
    )  # ValueError: no such day or hour
    if zone and zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        if hours > 14 or minutes > 59:
            raise ValueError("zone outside -14:59..+14:59")
        shift = np.timedelta64(hours * 60 + minutes, "m")
        instant += -shift if zone[0] == "+" else shift
    elif not zone and tz is not None:
        instant = from_zone(instant, tz)
    return instant, zone is not None


def from_zone(local: np.datetime64, tz: tzinfo) -> np.datetime64:
    """The instant in UTC of a local time."""
    naive: datetime = local.astype("datetime64[s]").item()
    offset = naive.replace(tzinfo=tz).utcoffset()
    return local - np.timedelta64(0 if offset is None else round(offset.total_seconds()), "s")


_EPOCHS = ((1e17, "ns", 0), (1e14, "us", 3), (1e11, "ms", 6), (1e8, "s", 9))  # from this magnitude on; decimals to ns


def parse_epoch(value: float) -> tuple[np.datetime64, str]:
    """The instant of a count since 1970-01-01 UTC, datetime64[ns], and its unit by magnitude: s, ms, us or ns.

    The magnitudes do not meet for the years 1973 to 2261. ValueError for a smaller number, and for a later year.
    """
    for least, unit, decimals in _EPOCHS:
        if abs(value) >= least:
            count = int(Decimal(repr(value)).scaleb(decimals))
            if abs(count) < 1 << 63:
                return np.datetime64(count, "ns"), unit
            raise ValueError("year outside 1678..2261")
    raise ValueError("too small for a time since 1970 in s, ms, us or ns")


def record_id(sensor: str, time: np.datetime64, signal: NDArray[np.float32]) -> str:
    """First 16 hex digits of sha256(sensor | time | little-endian float32 samples)."""
    head = f"{sensor}|{'' if np.isnat(time) else np.datetime_as_string(time, unit='ns')}|"
    hasher = sha256(head.encode())
    hasher.update(np.ascontiguousarray(signal, dtype="<f4").data)
    return hasher.hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    """One signal of one sensor at one time, as a reader found it.

    ``signal`` is float32 (channels, samples), NaN = a sample that is missing; ``fs`` in Hz, 0 = not given; ``time`` NaT =
    not given; ``row`` is the index in the source from 0; ``line`` the line from 1 and ``offset`` the byte where it starts,
    -1 = not known.
    ``channel`` names the channel inside the file (column, variable, dataset, axis), empty where the file holds only one;
    ``sensor`` is empty unless the file itself states it: ingest then makes it of the path and the channel.
    """

    signal: NDArray[np.float32]
    sensor: str
    time: np.datetime64 = NO_TIME
    fs: float = 0.0
    unit: str = ""
    machine: str = ""
    recording: str = ""
    covariates: Mapping[str, float] = field(default_factory=dict)
    row: int = 0
    line: int = -1
    offset: int = -1
    channel: str = ""
    zoned: bool = True  # False: the text of the time names no zone and was read as UTC
    since: float = 0.0  # seconds from the start of its recording, of a piece of one
    of_day: float = (
        -1.0
    )  # seconds of the day at the start of its recording, where the file names no day; -1 = not known


@dataclass(frozen=True)
class Rejected:
    """One item that a reader could not turn into a record, with its reason code (docs/run-directory.md).

    ``row`` -1 stands for the file as a whole; ``pointer`` is a JSON pointer or array index where a line makes no sense.
    """

    code: str
    detail: str
    row: int = -1
    line: int = -1
    offset: int = -1
    pointer: str = ""
    excerpt: str = ""
    sensor: str = ""
    time: str = ""


@dataclass(frozen=True)
class SignalBatch:
    """n records of equal length, sorted by source and row.

    ``x`` is float32 (n, channels, samples), read-only, maybe a memmap. ``sensor``, ``machine``, ``recording`` and
    ``source`` are int32 codes into the tuples of names; code -1 (only for ``sensor``) = a sensor unknown to the model.
    ``covariates`` is float32 (n, k), NaN = not given. ``quality`` holds ``Quality`` bits.
    """

    x: NDArray[np.float32]
    ids: NDArray[np.str_]
    sensor: NDArray[np.int32]
    sensors: tuple[str, ...]
    machine: NDArray[np.int32]
    machines: tuple[str, ...]
    recording: NDArray[np.int32]
    recordings: tuple[str, ...]
    source: NDArray[np.int32]
    sources: tuple[str, ...]
    row: NDArray[np.int64]
    time: NDArray[np.datetime64]
    covariates: NDArray[np.float32]
    covariate_names: tuple[str, ...]
    quality: NDArray[np.uint16]
    fs: float
    unit: str = "unknown"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def channels(self) -> int:
        """Channels of a record."""
        return int(self.x.shape[1])

    @property
    def length(self) -> int:
        """Samples of a record."""
        return int(self.x.shape[2])

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(n,) rows whose data can be trusted."""
        valid: NDArray[np.bool_] = np.equal(self.quality & int(Quality.INVALID), 0)
        return valid

    @property
    def fingerprint(self) -> str:
        """Hash of all record ids, independent of their order."""
        return sha256("\n".join(sorted(map(str, self.ids))).encode()).hexdigest()

    def named(self, row: int) -> dict[str, Any]:
        """What names a record in every table of records: the first columns."""
        return {
            "record_id": str(self.ids[row]),
            "source": self.sources[self.source[row]],
            "row": int(self.row[row]),
            "sensor_id": self.sensors[self.sensor[row]],
            "data_time": self.time[row],
        }

    def take(self, rows: NDArray[np.intp]) -> SignalBatch:
        """The same batch with only these rows, in this order (a copy of their samples)."""
        picked: dict[str, Any] = {name: getattr(self, name)[rows] for name in COLUMNS}
        return replace(self, **picked)

    def followed_by(self, other: SignalBatch) -> SignalBatch:
        """These rows and then those of another batch with the same names (a copy of the samples)."""
        both: dict[str, Any] = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in COLUMNS}
        return replace(self, **both)

    def with_codes(self, sensors: Sequence[str], covariate_names: Sequence[str]) -> SignalBatch:
        """The same batch in a model's terms: its sensor codes (-1 = unknown to it) and its covariate columns."""
        code = {name: i for i, name in enumerate(sensors)}
        mapped = np.array([code.get(name, -1) for name in self.sensors] or [-1], dtype=np.int32)
        column = {name: i for i, name in enumerate(self.covariate_names)}
        covariates = np.full((len(self), len(covariate_names)), np.nan, dtype=np.float32)
        for j, name in enumerate(covariate_names):
            if name in column:
                covariates[:, j] = self.covariates[:, column[name]]
        return replace(
            self,
            sensor=mapped[self.sensor],
            sensors=tuple(sensors),
            covariates=covariates,
            covariate_names=tuple(covariate_names),
        )


def encode(names: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes and the sorted distinct names of a column of text."""
    if not len(names):
        return np.zeros(0, np.int32), ()
    distinct, codes = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    return codes.astype(np.int32), tuple(map(str, distinct))


def make_batch(
    x: NDArray[np.float32],
    *,
    fs: float,
    sensor: Sequence[str] | None = None,
    time: Sequence[Any] | None = None,
    machine: Sequence[str] | None = None,
    recording: Sequence[str] | None = None,
    source: Sequence[str] | None = None,
    row: Sequence[int] | None = None,
    covariates: NDArray[np.float32] | None = None,
    covariate_names: Sequence[str] = (),
    unit: str = "unknown",
) -> SignalBatch:
    """A batch from plain arrays, for tests, benchmarks and notebooks; ``x`` is (n, samples) or (n, channels, samples)."""
    x = np.asarray(x, dtype=np.float32)
    x = x[:, None, :] if x.ndim == 2 else x
    n = len(x)
    sensor = ["s"] * n if sensor is None else list(sensor)
    times = np.full(n, NO_TIME) if time is None else np.asarray(time, dtype="datetime64[ns]")
    source = ["memory"] * n if source is None else list(source)
    sensor_code, sensors = encode(sensor)
    machine_code, machines = encode(sensor if machine is None else machine)
    recording_code, recordings = encode(source if recording is None else recording)
    source_code, sources = encode(source)
    return SignalBatch(
        x=x,
        ids=np.array([record_id(s, t, v) for s, t, v in zip(sensor, times, x, strict=True)], dtype="U16"),
        sensor=sensor_code,
        sensors=sensors,
        machine=machine_code,
        machines=machines,
        recording=recording_code,
        recordings=recordings,
        source=source_code,
        sources=sources,
        row=np.arange(n) if row is None else np.asarray(row, dtype=np.int64),
        time=times,
        covariates=np.zeros((n, 0), np.float32) if covariates is None else np.asarray(covariates, np.float32),
        covariate_names=tuple(covariate_names),
        quality=np.zeros(n, np.uint16),
        fs=float(fs),
        unit=unit,
    )


def schema_of(batch: SignalBatch) -> dict[str, Any]:
    """What a batch must share with the model that scores it."""
    return {
        "fs": batch.fs,
        "length": batch.length,
        "channels": batch.channels,
        "unit": batch.unit,
        "sensors": list(batch.sensors),
        "covariate_names": list(batch.covariate_names),
        "first_time": None if np.isnat(batch.time).all() else f"{np.nanmin(batch.time)}Z",
    }


def earlier_than(schema: Mapping[str, Any], batch: SignalBatch) -> list[str]:
    """A warning where records lie before all those that the model was fitted on."""
    first = schema.get("first_time")
    early = 0 if first is None else int(np.count_nonzero(batch.time < parse_time(first)[0]))
    if not early:
        return []
    who = counted(early, "record lies", "records lie")
    return [f"{who} before {first}, the first time that the model has seen: check the clock"]


def check_schema(schema: Mapping[str, Any], batch: SignalBatch) -> None:
    """IncompatibleModelError names every way in which the batch differs from what the model was fitted on."""
    problems = [
        f"{name} is {getattr(batch, name):g}, the model was fitted at {schema[name]:g}"
        for name in ("fs", "length", "channels")
        if getattr(batch, name) != schema[name]
    ]
    if batch.unit != schema["unit"]:
        problems.append(f"unit is {batch.unit}, the model was fitted on {schema['unit']}")
    if problems:
        ways = [
            (batch.length > schema["length"], f"--window {schema['length']:g} cuts recordings"),
            (batch.fs != schema["fs"], f"--resample {schema['fs']:g} changes their rate"),
            (batch.unit != schema["unit"] != "unknown", f"--unit {schema['unit']} converts"),
        ]
        said = [*(way for helps, way in ways if helps), "fit a model for these data: vibro ensemble run DATA -o RUN"]
        raise IncompatibleModelError(f"the data do not fit the model: {'; '.join(problems)}", hint=", or ".join(said))


def let_go(*arrays: NDArray[Any]) -> None:
    """Takes the pages of shared memory maps out of this process; they stay on disk or in the system's cache."""
    for array in arrays:
        base: Any = array
        while base is not None and not isinstance(base, mmap.mmap):
            base = None if getattr(base, "mode", "") == "c" else getattr(base, "base", None)
        if base is not None and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def new_map(path: Path, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A new ``.npy`` file of zeros as a memory map.

    Its room on the disk is taken here, so that a full disk is an OSError and not a signal that ends the process at some
    later write.
    """
    made = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)
    return made
