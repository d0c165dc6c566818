"""Reader ``json``: one JSON document with a record, a list of records, such lists under any keys, or a recording."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text import strict_json
from vibro_plugins.readers.text.choice import RecordParams
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.items import SIGNAL, ItemReader
from vibro_plugins.readers.text.lines import BOM, ArchiveLimit, excerpt, foreign, open_stream
from vibro_plugins.readers.waveform.tree import Tree, recording
from vibro_plugins.readers.waveform.waves import records

FEWEST = 16  # numbers of a list that is a channel; shorter ones are settings
MAX_DOCUMENT = 256 << 20  # bytes; a document must be held in memory


class JsonDocument(Reader):
    """A record is an object with ``signal_value`` or ``sensor_id``; lists without any object are passed over.

    A document without any of them whose lists hold numbers is a recording: each list a channel, called by its key.
    """

    name = "json"
    summary = "one JSON document: a record, a list of them, lists under keys, or a recording"
    extensions = (".json", ".json.gz")
    Params = RecordParams
    parses = True

    def __init__(self, params: Any, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._numbers = Numbers()
        self._items = ItemReader(params)
        self._notes: list[str] = []

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every record of the document; a document that is no JSON is one Rejected as a whole."""
        self._items, self._notes = ItemReader(self.params), []
        self._numbers.expect(path)
        document = self._document(path)
        if isinstance(document, Rejected):
            yield document
            return
        columns = self.params.columns
        marks = {columns.get("signal", SIGNAL), columns.get("sensor", "sensor_id")}
        if isinstance(document, dict) and not _has(document, marks) and (tree := _tree(document)).arrays:
            yield from self._recording(tree)
            return
        found = list(_records(document, "", marks))
        if not found and not _holds_list(document):
            found = [("", document)]
        for row, (pointer, item) in enumerate(found):
            record = self._items.item(item, self._numbers.value, row=row, pointer=pointer)
            if isinstance(record, Rejected):
                record = replace(record, excerpt=excerpt(json.dumps(item, ensure_ascii=False)))
            yield record

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return [*self._items.notes(), *self._notes]

    def _recording(self, tree: Tree) -> Iterator[Record | Rejected]:
        try:
            got = recording(tree, self.params.channels)
        except BadField as error:
            yield Rejected(error.code, error.detail, pointer=f"/{error.field}" if error.field else "")
            return
        self._notes += [note for note in got.notes if note]
        yield from records(got.waves, got.covariates, gaps=self.params.gaps)

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


def _records(value: Any, pointer: str, marks: set[str]) -> Iterator[tuple[str, Any]]:
    """Every item that is or should be a record, with its JSON pointer, in the order of the document."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield f"{pointer}/{i}", item
    elif isinstance(value, dict):
        if marks & value.keys():
            yield pointer, value
            return
        for key, item in value.items():
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(part, dict) for part in item)):
                yield from _records(item, below, marks)


def _has(value: Any, marks: set[str]) -> bool:
    """Whether an object anywhere in a document has one of these keys."""
    if isinstance(value, dict):
        return bool(marks & value.keys()) or any(_has(item, marks) for item in value.values())
    return isinstance(value, list) and any(_has(item, marks) for item in value if isinstance(item, dict | list))


def _tree(value: Any) -> Tree:
    """The lists of numbers and the single values of a document, by their keys."""
    tree = Tree()

    def walk(item: Any, path: str) -> None:
        if isinstance(item, dict):
            for key, inner in item.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        elif isinstance(item, list):
            try:
                array = np.array(item if _is_numeric(item) else [], np.float64)
                if array.size >= FEWEST:
                    tree.add(path, array)
            except (ValueError, OverflowError):  # lists of several lengths, or an integer beyond float64
                return
        else:
            tree.add(path, item)

    walk(value, "")
    return tree


def _is_numeric(value: list[Any]) -> bool:
    rows = value if value and isinstance(value[0], list) else [value]
    return all(isinstance(row, list) and set(map(type, row)) <= {int, float} for row in rows)


def _holds_list(value: Any) -> bool:
    """Whether the document is a list or holds an empty one: then it holds no record, and that is no error."""
    if isinstance(value, dict):
        return any(item == [] or (isinstance(item, dict) and _holds_list(item)) for item in value.values())
    return isinstance(value, list)


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(JsonDocument)
