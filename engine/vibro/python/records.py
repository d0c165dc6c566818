"""Arrays of a notebook as records: checked, and written as the file that a command would read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vibro.data import NO_TIME, make_batch, parse_time
from vibro.errors import ConfigError, DataError
from vibro.ingest.writers import write_batch

NAME = "array.npz"  # the source of records that came as an array


@dataclass(frozen=True, eq=False)
class Records:
    """n records of equal length.

    ``x`` is float32 (n, T) or (n, C, T); ``fs`` in Hz, None = not known; ``sensor`` and ``machine`` (n,) texts, empty = not
    given; ``time`` (n,) datetime64[ns] in UTC, NaT = not given; ``covariates`` name -> (n,), NaN = not given.
    """

    x: NDArray[np.float32]
    fs: float | None
    sensor: NDArray[np.str_]
    machine: NDArray[np.str_]
    time: NDArray[np.datetime64]
    covariates: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    unit: str = "unknown"

    def __len__(self) -> int:
        return len(self.x)

    def write(self, folder: Path) -> Path:
        """Writes the records as ``array.npz`` and returns its path."""
        path = folder / NAME
        names = tuple(self.covariates)
        table = np.stack([self.covariates[name] for name in names], axis=1) if names else None
        batch = make_batch(
            self.x,
            fs=self.fs or 0.0,
            sensor=self.sensor.tolist(),
            time=list(self.time),
            machine=self.machine.tolist(),
            source=[NAME] * len(self),
            covariates=table,
            covariate_names=names,
            unit=self.unit,
        )
        write_batch(batch, path)
        return path


def records_of(
    X: object,
    *,
    fs: float | None = None,
    sensor: object = None,
    machine: object = None,
    time: object = None,
    covariates: Mapping[str, ArrayLike] | None = None,
    unit: str | None = None,
) -> Records:
    """The records of an array (n, T) or (n, C, T) of floats or integers and of what is known of each row.

    ``sensor`` and ``machine``: a text for all rows or one a row; ``time``: ISO 8601 texts or datetimes, UTC where they
    name no zone, rising on each sensor; ``covariates``: (n,) numbers by name. ConfigError or DataError for anything else.
    """
    x = signals(X)
    n = len(x)
    sensors = _texts(sensor, n, "sensor")
    times = _times(time, n)
    _check_rising(times, sensors)
    given = {
        str(name): _numbers(values, n, str(name))
        for name, values in dict({} if covariates is None else covariates).items()
    }
    if fs is not None and not (isinstance(fs, int | float | np.number) and 0 < float(fs) < np.inf):
        raise ConfigError(f"fs={fs!r} is no sampling rate in Hz", hint="fs=8192")
    machines = sensors if machine is None else _texts(machine, n, "machine")
    return Records(x, None if fs is None else float(fs), sensors, machines, times, given, unit or "unknown")


def signals(X: object) -> NDArray[np.float32]:
    """The samples as float32; a float32 array or memory map is not copied. ConfigError or DataError if they cannot be."""
    if isinstance(X, str | Path) or X is None:
        raise ConfigError(f"X is {X!r}, not an array", hint="X is an array of shape (n, T) or (n, C, T)")
    if not hasattr(X, "__array__"):
        raise ConfigError(
            f"X is a {type(X).__name__}, not an array", hint="np.asarray(X), where all records have one length"
        )
    array = np.asarray(X)
    if array.dtype.kind == "O":
        raise ConfigError("X holds objects, not numbers: are its records of different lengths?", hint="cut them to one")
    if array.dtype.kind not in "fiu":
        raise ConfigError(f"X holds {array.dtype}, not real numbers", hint="X.real, np.abs(X) or X.astype(float)")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ConfigError(
            f"X has shape {array.shape}, not (n, T) or (n, C, T)",
            hint="X[None] is one record; X.reshape(-1, T) cuts a long one" if array.ndim == 1 else None,
        )
    with np.errstate(over="ignore"):
        x = array.astype(np.float32, copy=False)
    for start in range(0, len(x), 256):
        block = np.isfinite(x[start : start + 256])
        if not block.all():
            place = np.unravel_index(int(np.argmin(block)), block.shape)
            value = array[(start + place[0], *place[1:])]
            raise DataError(
                f"X holds {value} (NaN, infinity or beyond float32) in row {start + place[0]}, sample {place[-1]}",
                hint="leave such rows out, or fill the gaps; files with gaps are read with --repair",
            )
    return x


def _texts(value: object, n: int, name: str) -> NDArray[np.str_]:
    """One text a row."""
    if value is None or isinstance(value, str):
        return np.full(n, value or "")
    array = np.asarray(value)
    if array.shape != (n,):
        raise ConfigError(f"{name} has shape {array.shape}, X has {n} rows", hint=f"{name}='pump 1', or one name a row")
    return np.array([str(item) for item in array.tolist()])


def _times(value: object, n: int) -> NDArray[np.datetime64]:
    """One instant a row."""
    if value is None:
        return np.full(n, NO_TIME)
    array = np.asarray(value)
    if array.dtype.kind == "M":
        times: NDArray[np.datetime64] = array.astype("datetime64[ns]")
    elif array.dtype.kind not in "UO":
        raise ConfigError(f"time holds {array.dtype}, not dates and times", hint="time=np.datetime64 or ISO 8601")
    else:
        try:
            times = np.array([_instant(item) for item in array.tolist()], dtype="datetime64[ns]")
        except (TypeError, ValueError) as error:
            raise ConfigError(f"time cannot be read: {error}", hint="time=['2024-05-01T10:00:00Z', ...]") from None
    if times.shape != (n,):
        raise ConfigError(f"time has shape {times.shape}, X has {n} rows", hint="one time a row")
    return times


def _instant(item: Any) -> np.datetime64:
    if isinstance(item, str):
        return parse_time(item)[0]
    if isinstance(item, datetime):
        return parse_time(item.isoformat())[0]
    raise TypeError(f"{item!r} is no date and time")


def _check_rising(times: NDArray[np.datetime64], sensors: NDArray[np.str_]) -> None:
    for name in np.unique(sensors):
        rows = np.flatnonzero((sensors == name) & ~np.isnat(times))
        falls = np.flatnonzero(np.diff(times[rows]) <= np.timedelta64(0))
        if len(falls):
            row = int(rows[falls[0] + 1])
            of = f" of sensor {name}" if name else ""
            raise DataError(
                f"time does not rise: row {row}{of} has {times[row]}, the row before {times[rows[falls[0]]]}",
                hint="sort X, sensor and time by time; name the sensor of each row with sensor=",
            )


def _numbers(value: ArrayLike, n: int, name: str) -> NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.shape != (n,):
        raise ConfigError(
            f"covariate {name} holds {array.dtype} of shape {array.shape}, X has {n} rows",
            hint="covariates={'load': one number a row}",
        )
    return array.astype(np.float32)
