"""Reader ``lvm``: measurement files of LabVIEW, one record a channel and segment."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vibro import hookimpl
from vibro.api import Record, Rejected
from vibro_plugins.readers.text.choice import TextParams, chosen
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.clock import Clock, clock_of_numbers
from vibro_plugins.readers.waveform.columns import told
from vibro_plugins.readers.waveform.encoding import open_text
from vibro_plugins.readers.waveform.layout import Layout, is_measurement, kind_of
from vibro_plugins.readers.waveform.parsing import parsed
from vibro_plugins.readers.waveform.reader import WaveReader
from vibro_plugins.readers.waveform.waves import Wave, records

_END = "***End_of_Header***"


@dataclass
class _Segment:
    """One block of samples: what its header says by name, a list with an entry a channel, and its rows."""

    about: dict[str, list[str]]
    columns: list[str]
    line: int
    separator: str
    rows: list[str] = field(default_factory=list)

    def said(self, name: str, channel: int) -> str:
        """What the header says of a channel."""
        values = self.about.get(name, [])
        return values[channel] if channel < len(values) else ""


class Lvm(WaveReader):
    """Text with a header of the file, then for each segment a header, a line of names, and rows of samples.

    After NI's "Specification for the LabVIEW Measurement File (.lvm)". Nothing is unpickled and nothing is written.
    """

    name = "lvm"
    summary = "measurement files of LabVIEW"
    extensions = (".lvm",)
    Params = TextParams
    requires = ("pyarrow",)
    parses = True

    @classmethod
    def accepts(cls, path: Path, head: bytes) -> bool:
        """By the ending, or by the first line: LabVIEW writes such files under other names too."""
        return super().accepts(path, head) or is_measurement(head)

    @classmethod
    def examples(cls) -> Iterator[tuple[str, bytes, int, int]]:
        """A small file for the conformance kit."""
        head = f"LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t,\nX_Columns\tOne\n{_END}\t\n\t\n"
        block = f"Channels\t2\t\nSamples\t2\t2\nY_Unit_Label\tg\tV\nDelta_X\t0,001\t0,001\n{_END}\t\t\n"
        rows = "X_Value\tAcc\tRef\tComment\n0,0\t1,5\t2,0\n0,001\t-1,5\tNaN\tlate\n"
        yield "a.lvm", (head + block + rows).encode(), 1, 1

    def _records(self, path: Path) -> Iterator[Record | Rejected]:
        stream, note = open_text(path, self.params.encoding)
        self._notes.append(note)
        with stream, io.TextIOWrapper(stream, "utf-8", "replace", newline=None) as text:
            segments = list(_segments(text))
        if not segments:
            raise BadField(
                "Q005", "", f"no segment of samples: no second {_END} with a line of names and rows behind it"
            )
        place = 0
        for segment in segments:
            waves = self._waves(segment)
            kept = chosen([(wave.name,) for wave in waves], self.params.channels, "channel")
            yield from records(
                [(place + i, waves[i]) for i in kept],
                {},
                lambda i, first=segment.line: first + i,
                gaps=self.params.gaps,
            )
            place += len(waves)

    def _waves(self, segment: _Segment) -> list[Wave]:
        """The channels of a segment."""
        decimal = segment.said("Decimal_Separator", 0) or "."
        values = _values(segment, decimal)
        waves = []
        times = Clock()
        channel = 0
        for name, column in zip(segment.columns, values, strict=True):
            if column is None:
                continue
            if name == "X_Value":
                known = column[np.isfinite(column)]
                times = (
                    clock_of_numbers(known, 1.0, name) if len(known) > 1 and not _step(segment, 0, decimal) else Clock()
                )
                continue
            clock = times
            if step := _step(segment, channel, decimal):
                clock = replace(clock, fs=told(Clock(), {"dt": step}).fs)
            day, hour = (segment.said(key, channel) or segment.said(f"file {key}", 0) for key in ("Date", "Time"))
            clock = told(clock, {"date": day, "time": hour.replace(",", ".")} if day and hour else {})
            self._notes += clock.notes
            count = segment.said("Samples", channel)
            column = column[: int(count)] if count.isdecimal() and np.isnan(column[int(count) :]).all() else column
            waves.append(Wave(name, column, segment.said("Y_Unit_Label", channel), clock))
            channel += 1
        if not waves:
            raise BadField("Q005", "", f"the segment at line {segment.line} names no channel")
        return waves


def _step(segment: _Segment, channel: int, decimal: str) -> str:
    return segment.said("Delta_X", channel).replace(decimal, ".")


def _segments(text: Iterator[str]) -> Iterator[_Segment]:
    """The segments of a file, read line by line."""
    separator, whole = "\t", {}
    about: dict[str, list[str]] = {}
    segment: _Segment | None = None
    ready = False  # a header has ended, names come next
    for number, line in enumerate(text, 1):
        line = line.rstrip("\n")
        if not whole and line.startswith("Separator") and len(line) > len("Separator"):
            separator = line[len("Separator")]  # it follows its own name
        cells = line.split(separator)
        key, values = cells[0].strip(), [cell.strip() for cell in cells[1:]]
        if number == 1:
            if not line.startswith("LabVIEW Measurement"):
                raise BadField("Q001", "", "line 1 is not 'LabVIEW Measurement'")
        elif key == _END:
            if not whole:
                whole = {f"file {name}": found for name, found in about.items()}
                whole["Decimal_Separator"] = about.get("Decimal_Separator", ["."])
                ready = "Channels" in about
            else:
                ready = True
            about = {} if not ready else about
        elif ready and line.strip():
            segment = _Segment({**whole, **about}, _names(cells), number + 1, separator)
            ready, about = False, {}
        elif not line.strip():
            if segment is not None and segment.rows:
                yield segment
                segment = None
        elif segment is not None and (not key or kind_of(key, ",") in ("number", "gap")):
            segment.rows.append(line)
        elif segment is not None and not segment.rows:
            raise BadField("Q006", "", f"line {number}: {key[:40]!r} is no number")
        elif segment is not None and key not in ("Channels", "Samples"):
            raise BadField("Q006", "", f"line {number}: {key[:40]!r} is neither a number nor the start of a header")
        else:
            if segment is not None:
                yield segment
                segment = None
            about[key] = values
    if segment is not None and segment.rows:
        yield segment


def _names(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _values(segment: _Segment, decimal: str) -> list[np.ndarray | None]:
    """Each column as float64, None for the comments; BadField names the line of a cell that is no number."""
    width = len(segment.columns)
    comment = segment.columns[-1] == "Comment"
    numbers = width - comment
    separator = segment.separator
    cut = [row.split(separator)[:numbers] for row in segment.rows]
    lines = [separator.join(row + [""] * (numbers - len(row))) for row in cut]
    layout = Layout(0, separator, decimal, tuple(segment.columns[:numbers]), ("",) * numbers, ("number",) * numbers)
    data = "\n".join(lines).encode() + b"\n"
    try:
        found = parsed(data, io.BytesIO(), layout)
    except ValueError:
        for i, row in enumerate(cut):
            for name, cell in zip(segment.columns, row, strict=False):
                if kind_of(cell.strip(), decimal) not in ("number", "gap", "empty"):
                    detail = f"line {segment.line + i}, column {name}: {cell[:40]!r} is no number"
                    raise BadField("Q006", name, detail) from None
        raise
    return [*found, *[None] * comment]


@hookimpl
def register_readers(register):
    """Offers the reader."""
    register(Lvm)
