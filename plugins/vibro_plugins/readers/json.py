"""Reader ``json``: one JSON document with a record, a list of records, or such lists under any keys."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text import strict_json
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.items import SIGNAL, ItemReader
from vibro_plugins.readers.text.lines import BOM, ArchiveLimit, excerpt, foreign, open_stream

MAX_DOCUMENT = 256 << 20  # bytes; a document must be held in memory


class JsonDocument(Reader):
    """A record is an object with ``signal_value`` or ``sensor_id``; lists without any object are passed over."""

    name = "json"
    summary = "one JSON document: a record, a list of them, or lists under keys"
    extensions = (".json", ".json.gz")
    parses = True

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._numbers = Numbers()
        self._items = ItemReader()

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every record of the document; a document that is no JSON is one Rejected as a whole."""
        self._items = ItemReader()
        self._numbers.expect(path)
        document = self._document(path)
        if isinstance(document, Rejected):
            yield document
            return
        found = list(_records(document, ""))
        if not found and not _holds_list(document):
            found = [("", document)]
        for row, (pointer, item) in enumerate(found):
            record = self._items.item(item, self._numbers.value, row=row, pointer=pointer)
            if isinstance(record, Rejected):
                record = replace(record, excerpt=excerpt(json.dumps(item, ensure_ascii=False)))
            yield record

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return self._items.notes()

    def _document(self, path: Path) -> Any:
        """The parsed document, or a Rejected for the file as a whole."""
        try:
            with io.BufferedReader(open_stream(path)) as stream:
                data = stream.read(MAX_DOCUMENT + 1)
        except ArchiveLimit as error:
            return Rejected("Q019", str(error))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return Rejected("Q001", f"the gzip data are damaged ({error})")
        if len(data) > MAX_DOCUMENT:
            return Rejected("Q019", f"a JSON document beyond {MAX_DOCUMENT >> 20} MiB; use .jsonl, one record a line")
        if strange := foreign(data[:4], packed=path.name.lower().endswith(".gz")):
            return strange
        self._items.with_bom = data.startswith(BOM)
        data = data.removeprefix(BOM)
        if not data.strip():
            return []
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            near = excerpt(data[max(0, error.start - 40) :])
            return Rejected("Q001", f"byte {error.start} is no UTF-8", line=line, offset=error.start, excerpt=near)
        try:
            return strict_json.parse(text)
        except strict_json.BadJson as error:
            if error.position < 0:
                return Rejected(error.code, error.detail, excerpt=excerpt(text))
            line = text.count("\n", 0, error.position) + 1
            offset = len(text[: error.position].encode())
            near = excerpt(text[max(0, error.position - 40) :])
            return Rejected(error.code, error.detail, line=line, offset=offset, excerpt=near)


def _records(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """Every item that is or should be a record, with its JSON pointer, in the order of the document."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield f"{pointer}/{i}", item
    elif isinstance(value, dict):
        if SIGNAL in value or "sensor_id" in value:
            yield pointer, value
            return
        for key, item in value.items():
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(part, dict) for part in item)):
                yield from _records(item, below)


def _holds_list(value: Any) -> bool:
    """Whether the document is a list or holds an empty one: then it holds no record, and that is no error."""
    if isinstance(value, dict):
        return any(item == [] or (isinstance(item, dict) and _holds_list(item)) for item in value.values())
    return isinstance(value, list)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(JsonDocument)
