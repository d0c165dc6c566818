"""Reader ``parquet``: one record a row, with the columns of JSON lines, or a recording with samples down the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text.choice import ROLES, RecordParams, fields_of
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.items import KNOWN, SIGNAL, ItemReader
from vibro_plugins.readers.text.lines import excerpt
from vibro_plugins.readers.text.numbers import BadNumber, narrowed
from vibro_plugins.readers.waveform.columns import Columns, recording
from vibro_plugins.readers.waveform.names import parted
from vibro_plugins.readers.waveform.waves import records

ROWS = 64  # records held at a time
_IN_FOLDERS = ("sensor_id", "machine_id", "recording", "unit")  # fields that a partition may be named after
_NULL = "__HIVE_DEFAULT_PARTITION__"


class Parquet(Reader):
    """``signal_value`` is a list of numbers or a text; ``data_time`` a text, timestamp or number; others are ignored.

    Several channels are a list of lists, a struct of lists, or columns of lists such as x, y, z. A file whose columns are
    all single values, and none of them a sensor, is a recording: each column of numbers a channel. In a partitioned folder
    (``sensor_id=pump-1/year=2026``) the names of folders stand for columns that the file lacks.
    """

    name = "parquet"
    summary = "one record a row of a Parquet file, or a recording down the rows"
    extensions = (".parquet",)
    requires = ("pyarrow",)
    Params = RecordParams

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._numbers = Numbers()
        self._items = ItemReader(params)
        self._fields = fields_of(params.columns)
        self._notes: list[str] = []

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every row or column; damage ends the file with one Rejected for all of it."""
        import pyarrow as pa
        from pyarrow import parquet

        self._items, self._notes = ItemReader(self.params), []
        with path.open("rb") as stream:
            try:
                file = parquet.ParquetFile(stream)
                if _is_recording(file.schema_arrow, self._fields):
                    yield from self._recording(file.read())
                else:
                    yield from self._rows(file, _partition(path))
            except BadField as error:
                yield Rejected(error.code, error.detail, pointer=f"/{error.field}" if error.field else "")
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                yield Rejected("Q001", f"the Parquet file is damaged: {excerpt(str(error))}; copy it again")

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return [*self._items.notes(), *self._notes]

    def _rows(self, file: Any, partition: dict[str, str]) -> Iterator[Record | Rejected]:
        """One record a row; ``partition``: what the names of its folders say of all of them."""
        import pyarrow as pa

        schema = file.schema_arrow
        by_field = {self._fields.get(name, name): name for name in schema.names}
        stated = {self._fields.get(name, name): value for name, value in partition.items()}
        stated = {field: value for field, value in stated.items() if field in _IN_FOLDERS and field not in by_field}
        axes = (
            [] if SIGNAL in by_field else [f.name for f in schema if pa.types.is_list(f.type) and f.name not in KNOWN]
        )
        for field in ("sensor_id", "data_time", *([] if axes else [SIGNAL])):
            if field not in by_field and field not in stated:
                role = next(role for role, known in ROLES.items() if known == field)
                columns = excerpt(", ".join(schema.names[:8]))
                raise BadField("Q005", field, f"no column {field} (columns: {columns}); --columns {role}=NAME names it")
        names = [name for field, name in by_field.items() if field in KNOWN or name in axes]
        row = 0
        for batch in file.iter_batches(ROWS, columns=names):
            signals = [batch.column(name) for name in axes] or [batch.column(by_field[SIGNAL])]
            left_out = [*axes, by_field["data_time"], *([] if axes else [by_field[SIGNAL]])]
            rest = batch.drop_columns(left_out).to_pylist()
            times = _times(batch.column(by_field["data_time"]))
            for i, table in enumerate(rest):
                values = [column[i] for column in signals]
                table = stated | {self._fields.get(name, name): value for name, value in table.items()}
                signal = dict(zip(axes, values, strict=True)) if axes else values[0]
                yield self._record(table, signal, times[i], row)
                row += 1

    def _recording(self, table: Any) -> Iterator[Record | Rejected]:
        """A recording whose samples lie down the rows."""
        import pyarrow as pa

        values = []
        for column in table.columns:
            if pa.types.is_timestamp(column.type):
                values.append(column.cast(pa.timestamp("ns", tz=column.type.tz), safe=False).to_numpy())
            elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                values.append(column.to_numpy().astype(np.float64))
            else:
                values.append(["" if text is None else str(text) for text in column.to_pylist()])
        about = {key.decode(): value.decode("utf-8", "replace") for key, value in (table.schema.metadata or {}).items()}
        names = [parted(name) for name in table.column_names]
        columns = Columns([name for name, _ in names], [unit for _, unit in names], values, about=about)
        got = recording(columns, self.params.channels, self.params.columns)
        self._notes += [note for note in got.notes if note]
        yield from records(got.waves, got.covariates, machine=got.machine, gaps=self.params.gaps)

    def _record(
        self, table: dict[str, Any], signal: Any, time: str | int | float | None, row: int
    ) -> Record | Rejected:
        covariates = table.get("covariates")
        if isinstance(covariates, list):  # a map column
            table["covariates"] = dict(covariates)
        given = not isinstance(signal, dict) and signal.is_valid
        if given and hasattr(signal, "keys"):  # a struct
            signal = {name: signal[name] for name in list(signal)}
        fields = {**table, "data_time": time, SIGNAL: signal if given or isinstance(signal, dict) else None}
        return self._items.item(fields, self._samples, row=row, raw=str(signal)[:200] if given else "")

    def _samples(self, value: Any) -> NDArray[np.float32]:
        """The samples of one cell."""
        import pyarrow as pa

        if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
            return self._numbers.text(value.as_py())
        values = getattr(value, "values", None)
        if values is not None and pa.types.is_list(values.type):
            return _stacked([self._samples(item) for item in values])
        if values is None or not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise BadNumber("Q006", 0, f"{SIGNAL} is {value.type}, neither a list of numbers nor a text")
        if values.null_count:
            index = values.is_null().to_pylist().index(True)
            raise BadNumber("Q006", index, f"token {index} is null, not a number")
        found = values.to_numpy(zero_copy_only=False)
        if found.dtype == np.float32 and np.isfinite(found).all():
            return np.array(found)
        return narrowed(found.astype(np.float64), found)


def _partition(path: Path) -> dict[str, str]:
    """The columns that stand in the names of a file's folders, ``key=value`` each, as Hive and ``pyarrow.dataset`` write them."""
    pairs = (part.partition("=") for part in path.parent.parts)
    return {key: unquote(value) for key, equals, value in pairs if key and equals and value != _NULL}


def _stacked(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    lengths = [len(part) for part in parts]
    if len(set(lengths)) > 1:
        raise BadField("Q008", SIGNAL, f"channels of one record have one length, not {lengths} samples")
    return np.stack(parts) if parts else np.zeros((1, 0), np.float32)


def _is_recording(schema: Any, fields: dict[str, str]) -> bool:
    """Whether all columns hold single values, some of them numbers, and none is a field of a record."""
    import pyarrow as pa

    numeric = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    known = {"sensor_id", "data_time", SIGNAL} & set(schema.names)  # a time that the user names may be of both kinds
    known |= {"sensor_id", SIGNAL} & {fields.get(name, "") for name in schema.names}
    down = any(fields.get(name) == SIGNAL for name in numeric)  # the user calls a column of numbers the signal
    return (down or not known) and bool(numeric) and not any(pa.types.is_nested(f.type) for f in schema)


def _times(column: Any) -> list[str | int | float | None]:
    """Times as text, or as numbers where they are; a timestamp without a zone stays one without."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        found = column.to_pylist()
        return [item if item is None or isinstance(item, str | int | float) else str(item) for item in found]
    zone = "Z" if column.type.tz else ""
    stamps = column.cast(pa.timestamp("ns", tz=column.type.tz), safe=False).cast(pa.int64()).to_pylist()
    return [None if stamp is None else f"{np.datetime64(stamp, 'ns')}{zone}" for stamp in stamps]


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Parquet)
