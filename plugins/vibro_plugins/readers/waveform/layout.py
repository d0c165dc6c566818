"""Where the samples of a table stand: what lies above them, how cells are parted, what the columns are called.

A table is read down its rows. Its first row of samples is the first of two or more rows that hold a number in the same
columns; the line above is its header where it has as many cells, unless that is a row of units, which then stands between
the two. Lines above those are remarks, of which ``name: value`` is kept.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.lines import excerpt
from vibro_plugins.readers.waveform.names import LABELS, RECORDS, is_unit, parted, plain, time_column

Row = Sequence[str]
Kind = Literal["number", "gap", "empty", "time", "text"]
DELIMITERS = ("\t", ";", ",", "|", "")  # the last stands for blanks
_POINT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_GAP = re.compile(r"[+-]?(?:nan|inf|infinity|null|none|n/?a|#n/a|#num!|#div/0!|-nan\(ind\)|1\.#\w+)", re.IGNORECASE)
_DAY = r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}/\d{1,2}/\d{2,4}"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+|:\d{3})?)?(?:\s*(?:Z|[+-]\d{2}:?\d{2}))?"
_TIME = re.compile(rf"(?:{_DAY})(?:[T ]+{_CLOCK})?|{_CLOCK}|\d{{1,2}}:\d{{2}}[.,]\d+", re.ASCII)
_REMARK = re.compile(r"^\s*(?:#+|%+|//+|!|;)\s*")
_PAIR = re.compile(r"([^:=：\t;,]{1,60}?)[\" ]*[:=：\t;,][\" \t;,]*(.+)")
_SEPARATORS = "the numbers have thousands separators; write them without"
_BLANKS = re.compile(r"\s*[+-]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?\s*|\s*", re.ASCII)  # 12 345.5
_STRANGE = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"(?<!\d)\d{1,3}(?:\.\d{3})+,\d|(?<!\d)\d{1,3}(?:,\d{3})+\.\d|(?<![\w.])\d+(?:['_]\d{3})+\b", _SEPARATORS),
        (r"\d[dD][+-]?\d", "the exponents are written with D, as Fortran does; write E"),
        (r"(?<![\w.])[\u2212\u2013]\d", "the minus signs are no ASCII hyphens; write -"),
        (r"\d:\d\d(?:[.:]\d+)* ?[AaPp]\.?[Mm]\b", "the times are written with AM and PM; write 24 hours"),
        (r"\b0[xX][0-9a-fA-F]+\b", "the numbers are hexadecimal; write them with decimal digits"),
        (
            r"\d ?(?:%|g|V|mV|m/s2|m/s²|mm/s)(?=[\s,;|]|$)",
            "the cells hold units behind the numbers; write these in the header",
        ),
        (r"\d[，；]", "the cells are parted by full-width marks; write , or ;"),
    )
)
_LOOK = 4  # rows that must agree, where there are so many
_ABOVE = 2000  # lines above the samples at most


@dataclass(frozen=True)
class Layout:
    """Row ``first`` (from 0) holds the first samples; ``names`` and ``units`` are those of the columns, in order.

    ``delimiter`` is empty for blanks; ``kinds`` says what a column holds; ``named`` whether there is a header; ``about``
    what the remarks say by name; ``spare`` columns at the end have no name and hold nothing; ``clock`` is the column that
    the user calls the time.
    """

    first: int
    delimiter: str
    decimal: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[Kind, ...]
    named: bool = True
    about: dict[str, str] = field(default_factory=dict)
    spare: int = 0
    notes: tuple[str, ...] = ()
    clock: str = ""


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of a line without the blanks around them."""
    if not delimiter:
        return line.split()
    if '"' in line:
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, strict=True))]
        except (csv.Error, StopIteration):
            pass
    return [cell.strip() for cell in line.split(delimiter)]


def kind_of(cell: str, decimal: str) -> Kind:
    """What a cell is, with the decimal mark given (``,`` takes a point as well)."""
    if not cell:
        return "empty"
    if _POINT.fullmatch(cell) or (decimal == "," and _COMMA.fullmatch(cell)):
        return "number"
    if _GAP.fullmatch(cell):
        return "gap"
    return "time" if _TIME.fullmatch(cell) else "text"


def layout_of_lines(lines: Sequence[str]) -> Layout | None:
    """The layout of a table by its first lines; None where they hold none."""
    kept = [i for i, line in enumerate(lines) if line.strip()]
    filled = [lines[i] for i in kept]
    text = "\n".join(filled)
    single: Layout | None = None
    for delimiter in DELIMITERS:
        if delimiter and delimiter not in text:
            continue
        layout = layout_of([cells_of(line, delimiter) for line in filled], filled, delimiter)
        if layout is None:
            continue
        layout = replace(layout, first=kept[layout.first])
        if len(layout.names) > 1:
            return layout
        single = single or layout
    return single


def layout_of(rows: Sequence[Row], lines: Sequence[str], delimiter: str = "\t") -> Layout | None:
    """The layout of rows of cells; ``lines`` are the same rows as text, for their remarks."""
    if delimiter == "," and _is_one_comma_number(rows):
        return None
    found = _first(rows)
    if found is None:
        return None
    first, kinds = found
    beside = _beside(rows, first, kinds)
    if beside:
        first = beside[0]
        kinds = ["text" if kind == "empty" and i < len(kinds) - 1 else kind for i, kind in enumerate(kinds)]
    head = [row for row in rows[first : first + 50] if len(row) == len(kinds)]
    points, commas = (any(mark in c and kind_of(c, ",") == "number" for row in head for c in row) for mark in ".,")
    if points and commas:
        raise BadField("Q006", "", "numbers with a decimal point and numbers with a decimal comma in one table")
    notes = ["numbers are written with a decimal comma"] if commas else []
    header, units, remarks = _above(rows, lines, first, len(kinds))
    if beside:
        remarks |= beside[1]
    spare = 0
    while kinds[-1 - spare] == "empty" and not any(row[-1 - spare] for row in (*head, header) if row):
        spare += 1
    width = len(kinds) - spare
    if not delimiter and len([name for name in header if name]) < width and all(map(_BLANKS.fullmatch, lines[first:])):
        raise BadField("Q006", "", _SEPARATORS)
    if not header and _is_numbering(rows, first, width):  # what pandas writes above columns without names
        header, first = list(rows[first]), first + 1
        notes.append("the first row counts the columns and was taken as their header")
    names = [parted(cell) for cell in (header + [""] * width)[:width]]
    if units:
        names = [(name, unit or units[i].strip("()[] ")) for i, (name, unit) in enumerate(names)]
    given = [name if not time_column(name)[0] else "" for name, _ in names]
    if twice := next((name for name in given if name and given.count(name) > 1), ""):
        notes.append(f"several columns are called {twice}; they were numbered {twice}_1, {twice}_2 ...")
    called = [
        f"{name}_{given[:i].count(name) + 1}" if name and given.count(name) > 1 else name
        for i, name in enumerate(given)
    ]
    return Layout(
        first,
        delimiter,
        "," if commas else ".",
        tuple(called[i] or name or str(i + 1) for i, (name, _) in enumerate(names)),
        tuple(unit for _, unit in names),
        tuple(kinds[:width]),
        bool(header),
        remarks,
        spare,
        tuple(notes),
    )


def is_foreign(layout: Layout) -> bool:
    """Whether a table holds no samples but labels, conditions or records, by the names of its columns."""
    if not layout.named:
        return False
    known = [plain(name) for name in layout.names]
    numbers = [name for name, kind in zip(known, layout.kinds, strict=True) if kind == "number"]
    return not RECORDS.isdisjoint(known) or all(name in LABELS for name in numbers)


def is_measurement(head: bytes) -> bool:
    """Whether a text is a measurement file of LabVIEW, whatever it is called."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith(b"LabVIEW Measurement")


def hint(cell: str) -> str:
    """What to do about a cell that is no number, where it is plain."""
    return next((f"; {what}" for pattern, what in _STRANGE if pattern.search(cell)), "")


def why_none(text: str) -> str:
    """Why a text holds no table of samples, and what would be one."""
    if not text.strip():
        return "the file is empty"
    if "\r" in text and "\n" not in text:
        return "its lines end in a carriage return alone; save it with the usual ends of lines"
    begins = f"the file starts {excerpt(text, 40)!r}"
    for pattern, what in _STRANGE:
        if pattern.search(text):
            return f"no table of samples: {what}; {begins}"
    if uneven := _uneven(text.split("\n")):
        return uneven
    wanted = "two or more lines of numbers with as many cells each, with or without a line of names above"
    return f"no table of samples: vibro looks for {wanted}; {begins}"


def _uneven(lines: Sequence[str]) -> str:
    """The first two lines of numbers that follow each other and have not as many cells, in words."""
    for delimiter in DELIMITERS[:-1]:
        rows = [cells_of(line, delimiter) for line in lines[:_ABOVE]]
        for i, (one, other) in enumerate(pairwise(rows), 1):
            numbers = all(kind_of(cell, ",") in ("number", "empty") for cell in (*one, *other))
            if numbers and len(one) > 1 and len(other) > 1 and len(one) != len(other):
                return (
                    f"line {i + 1} has {len(other)} cells, line {i} has {len(one)}; give all lines of samples as many"
                )
    return ""


def _first(rows: Sequence[Row]) -> tuple[int, list[Kind]] | None:
    """The first row of samples, and what its columns hold."""
    for i in range(min(len(rows) - 1, _ABOVE)):
        width = len(rows[i])
        if not width or len(rows[i + 1]) != width:
            continue
        kinds: list[Kind] = [kind_of(cell, ",") for cell in rows[i]]
        if "number" not in kinds:
            continue
        following = [row for row in rows[i + 1 : i + _LOOK] if any(row)]
        if any(len(row) != width for row in following):
            continue
        for row in following:
            now = [kind_of(cell, ",") for cell in row]
            kinds = [_joined(a, b) for a, b in zip(kinds, now, strict=True)]
            if "number" not in kinds:
                break
        else:
            if following and "text" not in kinds:
                return i, kinds
    return None


def _beside(rows: Sequence[Row], first: int, kinds: Sequence[Kind]) -> tuple[int, dict[str, str]] | None:
    """Where remarks stand in columns left of the first samples, as oscilloscopes write them: the first of these rows, and what
    they say by name. None where there are none."""
    left = next((i for i, kind in enumerate(kinds) if kind != "empty"), 0)
    at = first
    while at and left > 1 and len(rows[at - 1]) == len(kinds) and _are_samples(rows[at - 1][left:], kinds[left:]):
        at -= 1
    if at == first:
        return None
    return at, {row[0].rstrip(": "): row[1] for row in rows[at:first] if row[0] and row[1]}


def _are_samples(row: Row, kinds: Sequence[Kind]) -> bool:
    return all(kind_of(cell, ",") == kind for cell, kind in zip(row, kinds, strict=True))


def _joined(one: Kind, other: Kind) -> Kind:
    if one == other:
        return one
    values = {one, other} - {"gap", "empty"}
    return values.pop() if len(values) == 1 else "gap" if not values else "text"


def _above(
    rows: Sequence[Row], lines: Sequence[str], first: int, width: int
) -> tuple[list[str], list[str], dict[str, str]]:
    """Header, units and remarks above row ``first``."""
    above = [i for i in range(first) if any(rows[i])]
    header: list[str] = []
    units: list[str] = []
    while above and not header:
        cells = list(rows[above[-1]])
        if _REMARK.match(cells[0]):
            cells[0] = _REMARK.sub("", cells[0])
            cells = cells if cells[0] or len(cells) == width else cells[1:]
        filled = [cell.strip("()[] ") for cell in cells if cell]
        valued = any(kind_of(cell, ",") in ("number", "time") for cell in filled)
        remark = filled and (filled[0].endswith((":", "=")) or (width == 1 and _PAIR.fullmatch(filled[0])))
        if len(cells) not in (width, width - 1) or not filled or valued or remark:
            break
        cells += [""] * (width - len(cells))
        if not units and all(is_unit(cell) or cell == "-" for cell in filled):
            units = [cell if cell != "-" else "" for cell in cells]
        else:
            header = cells
        above.pop()
    if units and not header and all(len(unit) == 1 for unit in units) and "s" not in units:
        header, units = units, []  # columns called a, g, v and the like, not units without names
    pairs = (_PAIR.fullmatch(_REMARK.sub("", lines[i]).strip(' \t",;')) for i in above)
    about: dict[str, str] = {}
    for pair in pairs:
        if pair:
            about.setdefault(pair[1].strip(' "'), pair[2].strip(' "'))
    return header, units, about


def _is_one_comma_number(rows: Sequence[Row]) -> bool:
    """Whether rows of two cells are numbers with a decimal comma: ``-0,5`` and ``0,05`` are no two integers."""
    pairs = [row for row in rows if len(row) == 2 and all(re.fullmatch(r"-?\d+", cell, re.ASCII) for cell in row)]
    return (
        len(pairs) >= max(2, len(rows) // 2)
        and any(a == "-0" or (len(b) > 1 and b[0] == "0") for a, b in pairs)
        and not any(b.startswith("-") for _, b in pairs)
    )


def _is_numbering(rows: Sequence[Row], first: int, width: int) -> bool:
    """Whether the first row only counts the columns from 0, which the rows below do not."""
    counted = [str(i) for i in range(width)]
    shifted = ["", *counted[:-1]]
    row = list(rows[first])[:width]
    return (
        width > 1 and row in (counted, shifted) and any(list(r)[:width] != row for r in rows[first + 1 : first + _LOOK])
    )
