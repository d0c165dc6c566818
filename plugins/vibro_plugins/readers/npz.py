"""Reader ``npz``: arrays of many records in one NumPy archive, streamed row by row and never unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro.data import NO_TIME, parse_time
from vibro_plugins.readers.text.choice import ChannelParams
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.items import text
from vibro_plugins.readers.text.lines import FREE, MAX_RATIO, MAX_UNPACKED, excerpt
from vibro_plugins.readers.waveform.tree import Tree, recording
from vibro_plugins.readers.waveform.waves import records

CHUNK = 4 << 20  # bytes of signals held at a time
MAX_COLUMN = 256 << 20  # bytes of a column such as sensor_id
MAX_ARRAYS = 4 << 30  # bytes of the arrays of a recording
MAX_MEMBERS = 1000
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Npz(Reader):
    """``signals`` (n, T) or (n, C, T), ``fs`` in Hz (0 = not given), and optional columns of n entries.

    Columns: ``sensor_id``, ``data_time``, ``machine_id``, ``recording`` (else ``source_file``), ``unit``, and
    ``covariates`` (n, k) with their names in ``covariate_names``. Any other array is ignored, ``label`` included. Without
    ``signals``, every array of numbers is a channel of one recording, as in a MATLAB file.
    """

    name = "npz"
    summary = "NumPy archive: an array of signals, or arrays as channels"
    extensions = (".npz",)
    Params = ChannelParams

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._notes: list[str] = []

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every row of ``signals``; damage ends the file with one Rejected for all of it."""
        self._notes = []
        try:
            with zipfile.ZipFile(path) as archive:
                _check_members(archive)
                yield from self._rows(archive)
        except BadField as error:
            yield Rejected(error.code, error.detail, pointer=f"/{error.field}" if error.field else "")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            yield Rejected("Q001", f"the archive is damaged or of a kind that is not read: {error}")

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return self._notes

    def _rows(self, archive: zipfile.ZipFile) -> Iterator[Record | Rejected]:
        names = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
        if "signals" not in names:
            yield from self._channels(archive, sorted(names))
            return
        if self.params.channels:
            self._notes.append("--channels has no effect on an archive of signals")
        with archive.open("signals.npy") as stream:
            shape, fortran, dtype = _header(stream, "signals", archive.getinfo("signals.npy").file_size)
            if dtype.kind not in "fiu":
                raise BadField("Q006", "signals", f"signals are {dtype}, not real numbers")
            if len(shape) not in (2, 3):
                raise BadField("Q008", "signals", f"signals have shape {shape}, not (n, T) or (n, C, T)")
            columns = _Columns(archive, names, shape[0])
            if shape[0] and "sensor_id" not in names:
                self._notes.append("no sensor_id: all records share one baseline")
            for row, samples in enumerate(_stream(stream, shape, fortran, dtype)):
                yield _record(row, samples, columns, self.params.gaps)

    def _channels(self, archive: zipfile.ZipFile, names: list[str]) -> Iterator[Record | Rejected]:
        """An archive without ``signals`` holds one recording: its arrays are channels, as those of a MATLAB file."""
        tree = Tree()
        if (size := sum(archive.getinfo(f"{name}.npy").file_size for name in names)) > MAX_ARRAYS:
            raise BadField("Q019", "", f"the arrays take {size >> 30} GiB, more than {MAX_ARRAYS >> 30} GiB")
        for name in names:
            tree.add(name, _array(archive, name, MAX_ARRAYS))
        if not tree.arrays:
            found = excerpt(", ".join(names[:8]) or "nothing")
            raise BadField("Q005", "signals", f"no array named signals and no other one of numbers (found: {found})")
        got = recording(tree, self.params.channels)
        self._notes += dict.fromkeys(got.notes)
        yield from records(got.waves, got.covariates, gaps=self.params.gaps)


def _array(archive: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    """An array of the archive; BadField where it is too large, damaged or would have to be unpickled."""
    size = archive.getinfo(f"{name}.npy").file_size
    if size > most:
        raise BadField("Q019", name, f"{name} takes more than {most >> 20} MiB")
    with archive.open(f"{name}.npy") as stream:
        _header(stream, name, size)
    with archive.open(f"{name}.npy") as stream:
        try:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
        except ValueError as error:
            raise BadField("Q001", name, f"array {name}: {error}") from None


def _record(row: int, samples: NDArray[Any], columns: _Columns, gaps: bool) -> Record | Rejected:
    sensor = time = ""
    try:
        sensor = columns.text("sensor_id", row)
        stamp, time, zoned = columns.time(row)
        with np.errstate(over="ignore"):
            signal = np.array(samples, dtype=np.float32, ndmin=2)
        finite = np.isfinite(signal)
        if not (gaps or finite.all()):
            place = np.unravel_index(int(np.argmin(finite)), samples.shape)
            pointer = f"signals/{'/'.join(map(str, (row, *place)))}"
            raise BadField("Q007", pointer, f"sample {place[-1]} is {samples[place]}, not a finite float32")
        return Record(
            signal,
            sensor,
            stamp,
            columns.rate(row),
            columns.text("unit", row),
            columns.text("machine_id", row),
            columns.text("recording", row) or columns.text("source_file", row),
            columns.covariates(row),
            row=row,
            zoned=zoned,
        )
    except BadField as error:
        shown = excerpt(", ".join(map(str, samples.reshape(-1)[:8])))
        return Rejected(error.code, error.detail, row, -1, -1, f"/{error.field}", shown, sensor, time)


class _Columns:
    """The arrays beside the signals, checked once: n entries, or one for all."""

    def __init__(self, archive: zipfile.ZipFile, names: set[str], n: int) -> None:
        self._n = n
        self._arrays: dict[str, NDArray[Any]] = {}
        known = ("sensor_id", "data_time", "machine_id", "recording", "source_file", "unit", "fs")
        for name in (*known, "covariates", "covariate_names"):
            if name in names:
                self._arrays[name] = _array(archive, name, MAX_COLUMN)
        for name in known:
            array = self._arrays.get(name)
            if array is None or array.shape == (n,):
                continue
            if array.size != 1:
                raise BadField("Q005", name, f"{name} has shape {array.shape}, signals have {n} rows")
            self._arrays[name] = np.broadcast_to(array.reshape(()), (n,))
        if "fs" in self._arrays and (self._arrays["fs"].dtype.kind not in "fiu"):
            raise BadField("Q006", "fs", "fs is not a number")
        self._names = [str(name) for name in self._arrays.get("covariate_names", np.zeros(0, "U1")).reshape(-1)]
        table = self._arrays.get("covariates", np.zeros((n, 0), np.float32))
        if self._names and (table.dtype.kind not in "fiu" or table.shape != (n, len(self._names))):
            raise BadField("Q005", "covariates", f"covariates are not numbers of shape ({n}, {len(self._names)})")

    def text(self, name: str, row: int) -> str:
        """A text of a row; a number counts as its digits."""
        array = self._arrays.get(name)
        if array is None:
            return ""
        value = array[row].item()
        if isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError:
                raise BadField("Q001", f"{name}/{row}", f"{name} is no UTF-8") from None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return text(value, name)

    def time(self, row: int) -> tuple[np.datetime64, str, bool]:
        """The time of a row, its text, and whether that names a zone."""
        array = self._arrays.get("data_time")
        if array is None:
            return NO_TIME, "", True
        if array.dtype.kind == "M":
            stamp = array[row].astype("datetime64[ns]")
            if stamp.astype("datetime64[s]") != array[row].astype("datetime64[s]") and not np.isnat(array[row]):
                raise BadField("Q010", f"data_time/{row}", "data_time lies outside the years 1678..2261")
            return stamp, str(array[row]), True
        if array.dtype.kind not in "US":
            raise BadField("Q010", f"data_time/{row}", f"data_time is {array[row]}, not ISO 8601 text")
        found = self.text("data_time", row)
        if not found:
            return NO_TIME, "", True
        try:
            stamp, zone = parse_time(found)
        except ValueError as error:
            raise BadField("Q010", f"data_time/{row}", f"data_time is {found[:40]!r}: {error}") from None
        return stamp, found, zone

    def rate(self, row: int) -> float:
        """The sampling rate of a row in Hz, 0 = not given."""
        if "fs" not in self._arrays:
            return 0.0
        fs = float(self._arrays["fs"][row])
        if np.isnan(fs):
            return 0.0
        if not 0 <= fs < np.inf:
            raise BadField("Q006", "fs", f"fs is {fs}, not a rate in Hz")
        return fs

    def covariates(self, row: int) -> dict[str, float]:
        """Covariates of a row by name, NaN left out."""
        if not self._names:
            return {}
        values = map(float, self._arrays["covariates"][row])
        return {name: value for name, value in zip(self._names, values, strict=True) if np.isfinite(value)}


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise BadField("Q019", "", f"the archive has {len(members)} members, the limit is {MAX_MEMBERS}")
    if len({info.filename for info in members}) != len(members):
        raise BadField("Q003", "", "the archive names a member twice")
    signals = next((info for info in members if info.filename == "signals.npy"), None)
    if signals is None:
        return
    if signals.flag_bits & 1:
        raise BadField("Q019", "signals", "the archive is encrypted")
    if signals.file_size > MAX_UNPACKED:
        raise BadField("Q019", "signals", f"signals unpack to more than {MAX_UNPACKED >> 30} GiB")
    if signals.file_size > FREE and signals.file_size > MAX_RATIO * signals.compress_size:
        raise BadField("Q019", "signals", f"signals unpack to more than {MAX_RATIO} times their size")


def _header(stream: IO[bytes], name: str, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of a ``.npy`` stream of ``size`` bytes, which is left at its first value."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise BadField("Q001", name, f"array {name} has format {version}, not 1.0 or 2.0")
        shape, fortran, dtype = _HEADERS[version](stream)
    except BadField:
        raise
    except Exception as error:  # numpy reads a header as Python source, and raises whatever that raises
        raise BadField("Q001", name, f"array {name}: {error}") from None
    if any(type(n) is not int or not 0 <= n < 1 << 40 for n in shape) or math.prod(shape) * dtype.itemsize > size:
        raise BadField("Q001", name, f"array {name} says it has shape {shape}, which {size} bytes cannot hold")
    return shape, fortran, dtype


def _stream(stream: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """The rows of an array, a few megabytes at a time; an array in Fortran order must be held as a whole."""
    n, item = shape[0], int(np.prod(shape[1:], dtype=np.int64))
    if fortran:
        whole = np.frombuffer(_exactly(stream, n * item * dtype.itemsize), dtype)
        yield from whole.reshape(shape, order="F")
        return
    step = max(1, CHUNK // max(1, item * dtype.itemsize))
    for start in range(0, n, step):
        rows = min(step, n - start)
        block = np.frombuffer(_exactly(stream, rows * item * dtype.itemsize), dtype)
        yield from block.reshape(rows, *shape[1:])
    if stream.read(1):
        raise BadField("Q001", "signals", "more samples than the shape of signals says")


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise BadField("Q001", "signals", "fewer samples than the shape of signals says")
    return data


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Npz)
