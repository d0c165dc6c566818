"""Reader ``sheet``: recordings in Excel and OpenDocument sheets, samples down the rows, by python-calamine."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import RecordParams
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.columns import Columns, recording
from vibro_plugins.readers.waveform.layout import is_foreign, kind_of, layout_of
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.spool import Values
from vibro_plugins.readers.waveform.waves import records

MAX_BYTES = 1 << 30  # of a workbook unpacked
_HEAD = 200  # rows by which a layout is found
_PACKED, _OLD = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


class Sheet(WaveReader):
    """Every sheet that holds a table of samples, found as in a text; with several of them a channel is ``sheet/column``."""

    name = "sheet"
    summary = "a recording as a sheet of Excel or OpenDocument"
    extensions = (".xlsx", ".xlsm", ".xls", ".ods")
    Params = RecordParams
    library = "python_calamine"

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """None for the conformance kit: nothing that is required writes sheets."""
        return iter(())

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """By the extension, unless a ``.xls`` is text, as some instruments write."""
        return super().accepts(path, head) and head[:4] in (_PACKED, _OLD)

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        from python_calamine import CalamineWorkbook

        _check_size(path)
        with path.open("rb") as stream:
            book = CalamineWorkbook.from_filelike(stream)
            tables = {name: self._table(book.get_sheet_by_name(name)) for name in book.sheet_names}
        found = {name: table for name, table in tables.items() if table is not None}
        if not found:
            raise BadField(
                "Q005", "", f"no sheet with two or more rows of numbers (sheets: {', '.join(tables) or 'none'})"
            )
        place = 0
        for name, table in found.items():
            if len(found) > 1:
                table.prefix = f"{name}/"
            got = recording(table, self.params.channels, self.params.columns)
            self._notes += got.notes
            yield from records(
                [(place + i, wave) for i, wave in got.waves], got.covariates, machine=got.machine, gaps=self.params.gaps
            )
            place += len(table.names)

    def _table(self, sheet: Any) -> Columns | None:
        """The table of a sheet, None where it holds none; BadField names the cell that is no number."""
        rows = sheet.to_python(skip_empty_area=False)
        kept = [i for i, row in enumerate(rows) if any(cell != "" for cell in row)]
        texts = [[_text(cell) for cell in rows[i]] for i in kept[:_HEAD]]
        layout = layout_of(texts, ["\t".join(row) for row in texts])
        if layout is None or is_foreign(layout):
            return None
        self._notes += layout.notes
        body = kept[layout.first :]
        columns = [
            _column(rows, body, i, kind == "time", name) for i, (kind, name) in _numbered(layout.kinds, layout.names)
        ]
        return Columns(layout.names, layout.units, columns, layout.named, layout.about)


def _numbered(kinds: Sequence[str], names: Sequence[str]) -> Iterator[tuple[int, tuple[str, str]]]:
    return enumerate(zip(kinds, names, strict=True))


def _column(rows: Sequence[Sequence[Any]], body: Sequence[int], i: int, is_time: bool, name: str) -> Values:
    """A column as numbers with NaN for gaps, or as texts."""
    cells = [rows[row][i] for row in body]
    if is_time:
        return [_text(cell) for cell in cells]
    values = np.empty(len(cells))
    for at, cell in enumerate(cells):
        text = cell if isinstance(cell, float) else _text(cell)
        kind = "number" if isinstance(text, float) else kind_of(text, ",")
        if kind not in ("number", "gap", "empty"):
            raise BadField("Q006", name, f"row {body[at] + 1}, column {name}: {str(text)[:40]!r} is no number")
        values[at] = np.nan if kind != "number" else float(text.replace(",", ".") if isinstance(text, str) else text)
    return values


def _text(cell: Any) -> str:
    """A cell as a text file would hold it."""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, timedelta):
        seconds = cell.total_seconds()
        return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}:{seconds % 60:09.6f}"
    return cell.isoformat() if isinstance(cell, date | time) else str(cell).strip()


def _check_size(path: Path) -> None:
    """BadField (Q019) for a workbook that unpacks to more than is allowed."""
    with path.open("rb") as stream:
        if stream.read(4) != _PACKED:
            return
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
            raise BadField("Q019", "", f"the workbook unpacks to more than {MAX_BYTES >> 30} GiB; save it as .csv")


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Sheet)
