"""Reader ``table``: a recording as a table of text, samples down the rows, a channel a column."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from vibro import hookimpl
from vibro.api import Context, Record, Rejected
from vibro_plugins.readers.text.choice import TableParams
from vibro_plugins.readers.text.fast import Numbers
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.lines import ArchiveLimit, excerpt
from vibro_plugins.readers.waveform.columns import Columns, recording
from vibro_plugins.readers.waveform.encoding import HEAD, found, open_text
from vibro_plugins.readers.waveform.layout import (
    Layout,
    cells_of,
    hint,
    is_foreign,
    is_measurement,
    kind_of,
    layout_of_lines,
    why_none,
)
from vibro_plugins.readers.waveform.parsing import BLOCK, parsed, plain
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.spool import Values
from vibro_plugins.readers.waveform.waves import records

_ENDINGS = (".csv", ".tsv", ".txt", ".asc", ".dat")
_FEW = 12  # lines that a layout is looked for in before all of the first ones are
_SHORT = 512  # bytes of a file by which ``accepts`` is asked
_BARE = re.compile(r"[^.]+|.*\.\d+")  # names without an ending, and such as 2004.02.12.10.02.39


class Table(WaveReader):
    """Text with samples down the rows: any usual delimiter, decimal mark, header, remarks and encoding.

    A column of times gives the sampling rate and is no channel; ``waveform.layout`` and ``waveform.columns`` say how all of
    that is found. Files whose ending says nothing are taken where they hold such a table.
    """

    name = "table"
    summary = "a recording as a table of text, samples down the rows"
    extensions = tuple(ending + packed for ending in _ENDINGS for packed in ("", ".gz"))
    Params = TableParams
    requires = ("pyarrow",)
    parses = True

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """Small files for the conformance kit."""
        yield "a.csv", b"time,acc_x (g),acc_y (g)\n0,1.5,2\n0.001,2.5,3\n0.002,-1,4\n", 2, 0
        yield "a.txt", b"# fs: 25600 Hz\n0.5\t1\n-0.25\tnan\n1e-3\t2\n", 1, 1
        yield "a.asc", "Zeit [s];Höhe\n0,0;1,5\n0,1;2,5\n".encode("latin-1"), 1, 0

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """By the content, in a file whose ending is known or says nothing."""
        name = path.name.lower()
        if not (name.endswith((*cls.extensions, ".xls")) or _BARE.fullmatch(name)) or not head or is_measurement(head):
            return False
        try:
            layout = None
            if not name.endswith(".gz"):
                text = head.decode(found(head)[0] or "utf-8", "replace")
                layout = _layout(text.encode(), complete=len(head) < _SHORT)
            if layout is None:
                with open_text(path, None)[0] as stream:
                    head = stream.read(HEAD)
                layout = _layout(head, complete=len(head) < HEAD)
        except (EOFError, gzip.BadGzipFile, zlib.error, ArchiveLimit):
            return True  # whoever reads it will say what is wrong
        except BadField as error:
            return error.code == "Q006"
        except OSError:
            return False
        return layout is not None and not is_foreign(layout)

    def __init__(self, params: TableParams, ctx: Context) -> None:
        super().__init__(params, ctx)
        self._numbers = Numbers()

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        self._numbers.expect(path)
        stream, note = open_text(path, self.params.encoding)
        with stream:
            block = stream.read(BLOCK)
            layout = _layout(block[:HEAD], complete=len(block) <= HEAD)
            if layout is None:
                raise BadField("Q005", "", why_none(block[:HEAD].decode("utf-8", "replace")))
            layout = replace(layout, clock=self.params.columns.get("time", ""))
            values = plain(block, layout, self._numbers) if len(block) < BLOCK else None
            if values is None:
                values = self._parsed(path, block, stream, layout)
        table = Columns(layout.names, layout.units, values, layout.named, layout.about)
        got = recording(table, self.params.channels, self.params.columns)
        self._notes += [note, *layout.notes, *got.notes]
        yield from records(
            got.waves,
            got.covariates,
            lambda sample: self._line(path, layout, sample),
            got.machine,
            gaps=self.params.gaps,
        )

    def _parsed(self, path: Path, block: bytes, stream: BinaryIO, layout: Layout) -> list[Values]:
        """The columns; BadField names the first row that is none."""
        try:
            return parsed(block, stream, layout)
        except ValueError as error:
            fault = self._fault(path, layout) or BadField("Q006", "", excerpt(str(error)))
            if layout.decimal == "," or layout.delimiter == "," or len(block) == BLOCK:
                raise fault from None
            try:  # whole numbers first, and a decimal comma only further down
                return parsed(block, stream, replace(layout, decimal=","))
            except ValueError:
                raise fault from None

    def _rows(self, path: Path, layout: Layout) -> Iterator[tuple[int, str]]:
        """The rows of samples as text, with their lines from 1."""
        with open_text(path, self.params.encoding)[0] as stream:
            for number, line in enumerate(stream, 1):
                if number > layout.first and line.strip():
                    yield number, line.decode("utf-8", "replace").strip("\r\n")

    def _line(self, path: Path, layout: Layout, sample: int) -> int:
        """The line of a sample."""
        if not sample:
            return layout.first + 1
        return next((number for i, (number, _) in enumerate(self._rows(path, layout)) if i == sample), -1)

    def _fault(self, path: Path, layout: Layout) -> BadField | None:
        """The first row that is none, with its line."""
        want = len(layout.kinds) + layout.spare
        for number, line in self._rows(path, layout):
            cells = cells_of(line, layout.delimiter)
            if len(cells) != want:
                return BadField("Q004", "", f"line {number} has {len(cells)} cells, the first row of samples {want}")
            if behind := next(filter(None, cells[len(layout.kinds) :]), ""):
                return BadField("Q004", "", f"line {number} holds {behind[:40]!r} behind the last column")
            for name, kind, cell in zip(layout.names, layout.kinds, cells, strict=False):
                if kind == "time" or kind_of(cell, layout.decimal) in ("gap", "empty"):
                    continue
                if kind_of(cell, layout.decimal) != "number" or (layout.decimal == "," and "." in cell):
                    return BadField(
                        "Q006", name, f"line {number}, column {name}: {cell[:40]!r} is no number{hint(cell)}"
                    )
        return None


def _layout(head: bytes, complete: bool) -> Layout | None:
    """The layout by the first bytes of a text in UTF-8."""
    lines = head.split(b"\n", _FEW)
    if len(lines) > _FEW and (layout := _layout_of(b"\n".join(lines[:-1]))) is not None:
        return layout
    return _layout_of(head if complete else head.rpartition(b"\n")[0])


@lru_cache(maxsize=4096)  # all files are asked for before the first is read
def _layout_of(lines: bytes) -> Layout | None:
    """The layout of whole lines; ``accepts`` and ``read`` ask for the same ones."""
    return layout_of_lines([line.rstrip("\r") for line in lines.decode("utf-8", "replace").split("\n")])


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Table)
