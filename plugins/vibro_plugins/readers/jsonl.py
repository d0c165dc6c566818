"""Reader ``jsonl``: one JSON object a line, plain or gzipped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text import strict_json
from vibro_plugins.readers.text.choice import RecordParams
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.items import SIGNAL, ItemReader
from vibro_plugins.readers.text.lines import Line, excerpt, lines

_OPENING = rb'[ \t]*:[ \t]*(["\[])'


class JsonLines(Reader):
    """Lines like ``{"data_time": "...Z", "signal_value": "v1,v2,...", "sensor_id": "..."}``; a time may be a number.

    Several channels are a list of lists, an object of lists, or fields of lists such as x, y, z.

    The samples of a plain line are cut out of it and parsed by compiled code; what is left of the line goes through the
    same strict JSON as any other line, so that both ways accept and refuse the same.
    """

    name = "jsonl"
    summary = "one JSON object a line"
    extensions = (".jsonl", ".jsonl.gz")
    Params = RecordParams
    parses = True

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._numbers = Numbers()
        self._signal = params.columns.get("signal", SIGNAL)
        self._key = json.dumps(self._signal).encode()
        self._opening = re.compile(re.escape(self._key) + _OPENING)
        self._items = ItemReader(params)

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every line that is not blank; a bad one costs itself alone."""
        self._items = ItemReader(self.params)
        self._numbers.expect(path)
        for line in lines(path):
            if isinstance(line, Rejected):
                yield line
                continue
            if line.number == 1 and line.offset:
                self._items.with_bom = True
            yield self._record(line)

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return self._items.notes()

    def _record(self, line: Line) -> Record | Rejected:
        place = {"row": line.number - 1, "line": line.number, "offset": line.offset}
        rest, samples = self._cut(line)
        if samples is not None:
            try:
                table = strict_json.parse(rest.decode("utf-8"))
            except ValueError:
                table = None
            if isinstance(table, dict) and table.get(self._signal) in ("", []):
                item = self._items.item(table, lambda hole: samples, **place)
                if isinstance(item, Record):
                    return item  # a Rejected is made anew from the whole line, which it shows
        data = line.data
        try:
            table = strict_json.parse(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            detail = f"byte {error.start} of the line is no UTF-8"
            return Rejected("Q001", detail, **place, excerpt=excerpt(data))
        except strict_json.BadJson as error:
            return Rejected(error.code, error.detail, **place, excerpt=excerpt(data))
        return self._items.item(table, self._numbers.value, **place, raw=data)

    def _cut(self, line: Line) -> tuple[bytes | bytearray, NDArray[np.float32] | None]:
        """A plain line without its samples, and the samples; nothing and None where it needs a closer look."""
        buffer = line.buffer
        key = buffer.find(self._key, line.start, line.stop)
        opening = self._opening.match(buffer, key, line.stop) if key >= 0 else None
        if opening is None:
            return b"", None
        start, as_list = opening.end(), opening[1] == b"["
        stop = buffer.find(b"]" if as_list else b'"', start, line.stop)
        samples = self._numbers.plain(line.text, start, stop, as_json=as_list)
        if samples is None or buffer.find(self._key, stop, line.stop) >= 0:
            return b"", None
        rest = buffer[line.start : start] + buffer[stop : line.stop]
        return (b"", None) if b"\\" in rest else (rest, samples)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(JsonLines)
