"""Reader ``parquet``: one record a row, with the columns of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.items import KNOWN, SIGNAL, ItemReader
from vibro_plugins.readers.text.lines import excerpt
from vibro_plugins.readers.text.numbers import BadNumber, narrowed

ROWS = 64  # records held at a time


class Parquet(Reader):
    """``signal_value`` is a list of numbers or a text; ``data_time`` a text or a timestamp; other columns are ignored."""

    name = "parquet"
    summary = "one record a row of a Parquet file"
    extensions = (".parquet",)
    requires = ("pyarrow",)

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._numbers = Numbers()
        self._items = ItemReader()

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every row; damage ends the file with one Rejected for all of it."""
        import pyarrow as pa
        from pyarrow import parquet

        self._items = ItemReader()
        with path.open("rb") as stream:
            row = 0
            try:
                file = parquet.ParquetFile(stream)
                names = [name for name in file.schema_arrow.names if name in KNOWN]
                missing = [name for name in ("sensor_id", "data_time", SIGNAL) if name not in names]
                if missing:
                    yield Rejected("Q005", f"no column {missing[0]}", pointer=f"/{missing[0]}")
                    return
                for batch in file.iter_batches(ROWS, columns=names):
                    signals = batch.column(SIGNAL)
                    rest = batch.drop_columns([SIGNAL, "data_time"]).to_pylist()
                    times = _texts(batch.column("data_time"))
                    for i, table in enumerate(rest):
                        yield self._record(table, signals[i], times[i], row)
                        row += 1
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                yield Rejected("Q001", f"the Parquet file is damaged: {excerpt(str(error))}")

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return self._items.notes()

    def _record(self, table: dict[str, Any], signal: Any, time: str | None, row: int) -> Record | Rejected:
        covariates = table.get("covariates")
        if isinstance(covariates, list):  # a map column
            table["covariates"] = dict(covariates)
        fields = {**table, "data_time": time, SIGNAL: signal if signal.is_valid else None}
        return self._items.item(fields, self._samples, row=row, raw="" if not signal.is_valid else str(signal)[:200])

    def _samples(self, value: Any) -> NDArray[np.float32]:
        """The samples of one cell."""
        import pyarrow as pa

        if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
            return self._numbers.text(value.as_py())
        values = getattr(value, "values", None)
        if values is None or not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise BadNumber("Q006", 0, f"{SIGNAL} is {value.type}, neither a list of numbers nor a text")
        if values.null_count:
            index = values.is_null().to_pylist().index(True)
            raise BadNumber("Q006", index, f"token {index} is null, not a number")
        found = values.to_numpy(zero_copy_only=False)
        if found.dtype == np.float32 and np.isfinite(found).all():
            return np.array(found)
        return narrowed(found.astype(np.float64), found)


def _texts(column: Any) -> list[str | None]:
    """Times as text; a timestamp without a zone stays one without."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return [item if item is None or isinstance(item, str) else str(item) for item in column.to_pylist()]
    zone = "Z" if column.type.tz else ""
    stamps = column.cast(pa.timestamp("ns", tz=column.type.tz), safe=False).cast(pa.int64()).to_pylist()
    return [None if stamp is None else f"{np.datetime64(stamp, 'ns')}{zone}" for stamp in stamps]


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Parquet)
