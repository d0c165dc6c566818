"""The rows of a table of text to columns, by pyarrow, a block at a time."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.waveform.layout import Layout
from vibro_plugins.readers.waveform.names import seconds, time_column
from vibro_plugins.readers.waveform.spool import Spool, Values

BLOCK = 2 << 20  # bytes of text that are parsed at a time
# What stands for no value, besides what pyarrow's numbers know as NaN and infinity.
_GAPS = ["", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None", "#NUM!", "#DIV/0!", "-nan(ind)", "1.#QNAN", "-1.#IND"]


def parsed(block: bytes, rest: BinaryIO, layout: Layout) -> list[Values]:
    """The columns of a table whose first bytes are ``block``: float64 with NaN for gaps, or texts.

    ValueError where a cell is no number or a row has another number of cells. Gaps cost twice the time, so a table that
    fits into one block is tried without them first.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [str(i) for i in range(len(layout.kinds) + layout.spare)]
    kinds = [*layout.kinds, *["text"] * layout.spare]
    types = {
        name: pa.string() if kind in ("time", "text") else pa.float64() for name, kind in zip(names, kinds, strict=True)
    }
    reading = csv.ReadOptions(column_names=names, use_threads=False, block_size=BLOCK)
    parsing = csv.ParseOptions(delimiter=layout.delimiter or "\t")

    def converting(gaps: list[str]) -> Any:
        return csv.ConvertOptions(
            column_types=types,
            null_values=gaps,
            strings_can_be_null=False,
            decimal_point=layout.decimal,
        )

    source = _Rows(block[_offset(block, layout.first) :], rest, bare=not layout.delimiter)
    first = source.read(BLOCK)
    if len(first) < BLOCK:
        try:
            table = csv.read_csv(pa.BufferReader(first), reading, parsing, converting([]))
        except ValueError:
            table = csv.read_csv(pa.BufferReader(first), reading, parsing, converting(_GAPS))
        return [_values(column) for column in _columns(table, layout)]
    source.unread(first)
    return _joined(
        csv.open_csv(pa.PythonFile(source, "r"), reading, parsing, converting(_GAPS), pa.system_memory_pool()), layout
    )


def _columns(table: Any, layout: Layout) -> list[Any]:
    """The columns of a table or a part of one; ValueError where something stands behind the last one."""
    width = len(layout.kinds)
    if any(text.strip() for column in table.columns[width:] for text in column.to_pylist()):
        raise ValueError("a cell behind the last column")
    found: list[Any] = table.columns[:width]
    return found


def _joined(tables: Iterable[Any], layout: Layout) -> list[Values]:
    """The columns of a table that comes in pieces: samples as float32, what may be times or texts in temporary files."""
    columns: list[array[float] | Spool] = [
        Spool() if kind in ("time", "text") or _may_be_a_clock(i, name, layout) else array("f")
        for i, (name, kind) in enumerate(zip(layout.names, layout.kinds, strict=True))
    ]
    for table in tables:
        for column, piece in zip(columns, _columns(table, layout), strict=True):
            values = _values(piece)
            if isinstance(column, Spool):
                column.append(values)
            else:
                with np.errstate(over="ignore"):
                    column.frombytes(np.asarray(values, np.float32).tobytes())
    return [np.frombuffer(found, np.float32) if isinstance(found, array) else found for found in columns]


def plain(data: bytes, layout: Layout, numbers: Numbers) -> list[Values] | None:
    """The columns of a whole table of numbers by the compiled parser; None where it is not sure, or not loaded.

    Columns that may be times or counts are exact in float64, those of samples are float32.
    """
    mark = layout.delimiter.encode()
    if not mark or layout.spare or set(layout.kinds) != {"number"}:
        return None
    width = len(layout.kinds)
    body = data[_offset(data, layout.first) :].rstrip(b"\r\n")
    if layout.decimal == "," and b"." in body:
        return None
    if mark != b"," or b"\r" in body:
        body = body.translate(bytes.maketrans(mark + layout.decimal.encode(), b",."), b"\r")
    table = numbers.table(body, width)
    if table is None:
        return None
    found: list[Values] = list(table.values.T)
    for i, name in enumerate(layout.names):
        if _may_be_a_clock(i, name, layout) and (width > 4 or (i and layout.named) or _rises(found[i])):
            exact = table.exact(i)
            if exact is None:
                return None
            found[i] = exact
    return found


def _may_be_a_clock(place: int, name: str, layout: Layout) -> bool:
    """Whether a column may hold times or count the rows: by its name, or by its place."""
    return (
        place == 0
        or name == layout.clock
        or seconds(layout.units[place]) > 0
        or (time_column(name)[0] if layout.named else place == 1 or place < 4 < len(layout.kinds))
    )


def _rises(values: NDArray[Any]) -> bool:
    """Whether no value is below the one before it; the first ones mostly settle it."""
    return all(bool((part[1:] >= part[:-1]).all()) for part in (values[:64], values))


def _values(column: Any) -> NDArray[np.float64] | list[str]:
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return column.to_pylist()
    return column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)


def _offset(head: bytes, line: int) -> int:
    """Where a line from 0 begins."""
    at = 0
    for _ in range(line):
        at = head.index(b"\n", at) + 1
    return at


class _Rows(io.RawIOBase):
    """First bytes and the rest of a stream; with ``bare`` a tab stands for the blanks between cells."""

    def __init__(self, first: bytes, rest: BinaryIO, bare: bool) -> None:
        self._first = first
        self._rest = rest
        self._bare = bare
        self._ready = b"" if bare else first
        self._cut = first if bare else b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def unread(self, data: bytes) -> None:
        """Puts bytes back in front."""
        self._ready = data + self._ready

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end."""
        while (len(self._ready) < size or size < 0) and not self._ended:
            data = self._rest.read(BLOCK)
            self._ended = not data
            if not self._bare:
                self._ready += data
                continue
            data = self._cut + data
            stop = len(data) if self._ended else data.rfind(b"\n") + 1
            self._ready += b"\n".join(b"\t".join(line.split()) for line in data[:stop].splitlines()) + b"\n"
            self._cut = data[stop:]
        size = len(self._ready) if size < 0 else size
        found, self._ready = self._ready[:size], self._ready[size:]
        return found
