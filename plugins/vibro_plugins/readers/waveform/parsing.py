"""The rows of a table of text to columns, by pyarrow, a block at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.readers.waveform.columns import Values
from vibro_plugins.readers.waveform.layout import Layout

_BLOCK = 8 << 20  # bytes of text that are parsed at a time
# What stands for no value, besides what pyarrow's numbers know as NaN and infinity.
_GAPS = ["", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None", "#NUM!", "#DIV/0!", "-nan(ind)", "1.#QNAN", "-1.#IND"]


def parsed(head: bytes, rest: BinaryIO, layout: Layout, gaps: bool) -> list[Values]:
    """The columns of a table whose first bytes are ``head``: float64 with NaN for gaps, or texts.

    ValueError where a cell is no number or a row has another number of cells, and for a gap without ``gaps``, which cost
    twice the time.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [str(i) for i in range(len(layout.kinds) + layout.spare)]
    kinds = [*layout.kinds, *["text"] * layout.spare]
    types = {
        name: pa.string() if kind in ("time", "text") else pa.float64() for name, kind in zip(names, kinds, strict=True)
    }
    reading = csv.ReadOptions(column_names=names, use_threads=False, block_size=_BLOCK)
    parsing = csv.ParseOptions(delimiter=layout.delimiter or "\t")
    converting = csv.ConvertOptions(
        column_types=types,
        null_values=_GAPS if gaps else [],
        strings_can_be_null=False,
        decimal_point=layout.decimal,
        include_columns=names[: len(layout.kinds)],
    )
    source = _Rows(head[_offset(head, layout.first) :], rest, bare=not layout.delimiter)
    block = source.read(_BLOCK)
    if len(block) < _BLOCK:
        tables: Iterator[Any] = iter([csv.read_csv(pa.BufferReader(block), reading, parsing, converting)])
    else:
        source.unread(block)
        tables = iter(csv.open_csv(pa.PythonFile(source, "r"), reading, parsing, converting))
    chunks: list[list[Any]] = [[] for _ in layout.kinds]
    for table in tables:
        for i, column in enumerate(table.columns):
            chunks[i].append(_values(column))
    return [
        [text for chunk in parts for text in chunk] if isinstance(parts[0], list) else np.concatenate(parts)
        for parts in chunks
    ]


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
            data = self._rest.read(_BLOCK)
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
