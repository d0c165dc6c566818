"""Reader ``csv``: one record a row, samples in one quoted cell or in columns ``v0``, ``v1``, ..."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibro import hookimpl
from vibro.api import Context, Reader, Record, Rejected
from vibro_plugins.readers.text.choice import ROLES, RecordParams, fields_of
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.items import SIGNAL, TEXTS, ItemReader
from vibro_plugins.readers.text.lines import BOM, Line, excerpt, lines, open_stream
from vibro_plugins.readers.text.numbers import BadNumber, parse_text
from vibro_plugins.readers.waveform.layout import why_none

_SAMPLES = re.compile(rb"(?:^|[,;\"\s])(?:signal_value|v0)(?:[,;\"\s]|$)")
_LIST = re.compile(rb'[,;\t\n]"[-+.\deE ]+(?:,[-+.\deE ]+){2}')  # three numbers in one quoted cell
_HEADER = 1 << 16  # bytes
_EPOCH = re.compile(r"\d{9,19}(?:\.\d+)?", re.ASCII)
_FIELDS = ("sensor_id", "data_time", SIGNAL, "fs", *TEXTS)


@dataclass(frozen=True)
class CsvParams(RecordParams):
    """``encoding``: of the text, UTF-8 unless said."""

    encoding: str | None = None


class CsvTable(Reader):
    """A header is required; a record stands on one line; columns that it does not know are ignored.

    Cells are parted by commas, or by semicolons or tabs where the header has no comma. A time may be a number.
    """

    name = "csv"
    summary = "one record a row"
    extensions = (".csv", ".csv.gz")
    Params = CsvParams
    parses = True

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """By the extension and the header: a table of samples, labels or covariates is something else."""
        if not super().accepts(path, head):
            return False
        first = head.removeprefix(BOM).partition(b"\n")[0]
        if path.name.lower().endswith(".gz"):
            try:
                with gzip.open(path) as stream:
                    first = stream.readline(_HEADER)
            except (OSError, EOFError, zlib.error):
                return True  # whoever reads it will say what is wrong
        return not head or bool(_SAMPLES.search(first) or _LIST.search(head))

    def __init__(self, params: CsvParams, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._encoding = params.encoding or "utf-8"
        self._numbers = Numbers()
        self._items = ItemReader(params)

    def read(self, path: Path) -> Iterator[Record | Rejected]:
        """Every row; a bad one costs itself alone, a bad header the file."""
        self._items = ItemReader(self.params)
        self._numbers.expect(path)
        layout: _Layout | None = None
        row = -1
        for line in lines(path):
            if isinstance(line, Rejected):
                yield line
                continue
            if layout is None:
                self._items.with_bom = bool(line.offset and line.number == 1)
                try:
                    layout = _Layout(line.data.decode(self._encoding), fields_of(self.params.columns), path)
                except ValueError as error:
                    detail = error.detail if isinstance(error, BadField) else self._no_text("the header")
                    code = error.code if isinstance(error, BadField) else "Q001"
                    yield Rejected(code, detail, line=line.number, offset=line.offset, excerpt=excerpt(line.data))
                    return
                continue
            row += 1
            yield self._record(line, row, layout)

    def notes(self) -> list[str]:
        """What the last file deserves to be said about it."""
        return self._items.notes()

    def _record(self, line: Line, row: int, layout: _Layout) -> Record | Rejected:
        place = {"row": row, "line": line.number, "offset": line.offset}
        try:
            table = layout.table(line.data.decode(self._encoding))
        except UnicodeDecodeError as error:
            detail = self._no_text(f"byte {error.start} of the line")
            return Rejected("Q001", detail, **place, excerpt=excerpt(line.data))
        except BadField as error:
            return Rejected(error.code, error.detail, **place, pointer=f"/{error.field}", excerpt=excerpt(line.data))
        return self._items.item(table, self._numbers.value, **place, raw=line.data)

    def _no_text(self, what: str) -> str:
        name = "UTF-8" if self._encoding == "utf-8" else self._encoding
        return f"{what} is no {name}; --encoding names another one (gb18030, latin-1)"


class _Layout:
    """Which column holds what."""

    def __init__(self, header: str, fields: dict[str, str], path: Path) -> None:
        self._mark = next((mark for mark in ",;\t" if mark in header), ",")
        names = [fields.get(name.strip(), name.strip()) for name in _cells(header, self._mark)]
        if len(set(names)) != len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise BadField("Q003", twice, f"the header names column {twice!r} twice")
        self.width = len(names)
        self.columns = {name: i for i, name in enumerate(names) if name in _FIELDS}
        samples = [i for i, name in enumerate(names) if name.startswith("v") and name[1:].isdecimal()]
        numbered = [names[i] for i in samples] == [f"v{i}" for i in range(len(samples))]
        self.samples = slice(samples[0], samples[-1] + 1) if samples and SIGNAL not in self.columns else None
        if self.samples is not None and not (numbered and samples[-1] - samples[0] + 1 == len(samples)):
            raise BadField("Q005", "v0", "the sample columns must be v0, v1, ... side by side and in order")
        if not self.columns and self.samples is None:
            raise BadField("Q005", "", f"no table of records ({', '.join(_FIELDS[:3])}) and {why_none(_start(path))}")
        for name in ("sensor_id", "data_time"):
            if name not in self.columns:
                raise BadField("Q005", name, f"the header lacks column {name}; --columns {_role(name)}=NAME names it")
        if self.samples is None and SIGNAL not in self.columns:
            raise BadField("Q005", SIGNAL, f"the header has neither column {SIGNAL} nor columns v0, v1, ...")

    def table(self, line: str) -> dict[str, Any]:
        """A row by field."""
        cells = _cells(line, self._mark)
        if len(cells) != self.width:
            raise BadField("Q004", "", f"the row has {len(cells)} cells, the header {self.width}")
        table: dict[str, Any] = {name: cells[i] for name, i in self.columns.items()}
        if self.samples is not None:
            table[SIGNAL] = ",".join(cells[self.samples])
        if _EPOCH.fullmatch(table["data_time"]):
            table["data_time"] = float(table["data_time"]) if "." in table["data_time"] else int(table["data_time"])
        if table.get("fs"):
            try:
                table["fs"] = float(parse_text(table["fs"])[0])
            except (BadNumber, IndexError):
                raise BadField("Q006", "fs", f"fs is {table['fs'][:40]!r}, not a number") from None
        else:
            table.pop("fs", None)
        return table


def _start(path: Path) -> str:
    """The first text of a file."""
    with io.BufferedReader(open_stream(path)) as stream:
        return stream.read(512).decode("utf-8", "replace")


def _role(field: str) -> str:
    return next(role for role, known in ROLES.items() if known == field)


def _cells(line: str, mark: str) -> list[str]:
    """The cells of a row by RFC 4180; BadField where quotes do not match."""
    if '"' not in line:
        return line.split(mark)
    cells, at = [], 0
    while True:
        if line[at : at + 1] != '"':
            end = line.find(mark, at)
            end = len(line) if end < 0 else end
            if '"' in line[at:end]:
                raise BadField("Q004", "", "a quote stands inside an unquoted cell")
            cells.append(line[at:end])
        else:
            start, end = at + 1, line.find('"', at + 1)
            while end >= 0 and line[end + 1 : end + 2] == '"':
                end = line.find('"', end + 2)
            if end < 0:
                raise BadField("Q004", "", "a quoted cell does not end on its line")
            cells.append(line[start:end].replace('""', '"'))
            end += 1
            if end < len(line) and line[end] != mark:
                raise BadField("Q004", "", "text follows a quoted cell")
        if end >= len(line):
            return cells
        at = end + 1


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(CsvTable)
