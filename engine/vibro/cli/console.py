"""The terminal: tables and results on stdout, notes and errors on stderr; plain text where it is no terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from rich.console import Console

shown: dict[str, Any] = {"quiet": False, "json": False, "lang": "en"}  # the options of the running command


def configure(*, quiet: bool, json: bool, lang: str) -> None:
    """Sets how much of the running command is shown, in what form and language."""
    shown.update(quiet=quiet, json=json, lang=lang)


def rich_console(*, stderr: bool) -> Console:
    """A rich console on stdout or stderr, without markup and highlighting."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), markup=False, emoji=False)


def clean(value: object) -> str:
    """Text without control characters, so that data cannot steer a terminal; a non-breaking space is a space."""
    text = str(value).replace("\u00a0", " ")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _clean_lines(text: str) -> str:
    return "\n".join(map(clean, text.split("\n")))


def line(text: str = "") -> None:
    """One line of the result, in the language of the running command."""
    rich_console(stderr=False).print(_clean_lines(told(text)))


def verbatim(text: str) -> None:
    """Lines of the result that are no prose of vibro's: TOML, paths, a plugin's own text."""
    rich_console(stderr=False).print(_clean_lines(text))


def note(text: str) -> None:
    """One line for the user beside the result; silent with ``--quiet``."""
    text = told(text)
    if not shown["quiet"]:
        if shown["json"]:
            sys.stderr.write(dumps({"event": "note", "text": text}, sys.stderr) + "\n")
        else:
            rich_console(stderr=True).print(
                _clean_lines(text), style="yellow" if text.startswith(("warning", "警告")) else None
            )


def error(message: str, hint: str | None, code: int) -> None:
    """An error and the next thing to type; with ``--json`` a line of JSON on stderr."""
    if shown["json"]:
        line_of = {"event": "error", "message": clean(message), "hint": hint and clean(hint), "exit_code": code}
        sys.stderr.write(dumps(line_of, sys.stderr) + "\n")
        return
    out = rich_console(stderr=True)
    out.print(f"{told('error')}: {clean(told(message))}", style="bold red")
    if hint:
        out.print(f"{told('hint')}: {clean(told(hint))}", style="cyan")


def told(text: str) -> str:
    """A sentence in the language of the running command, in English where the catalogue does not know it."""
    if shown["lang"] == "en" or not text.strip():
        return text
    from vibro.report.messages import translate

    return translate(text, shown["lang"])


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout: framed on a terminal, columns aligned with blanks elsewhere."""
    headers = [told(header) for header in headers]
    cells = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        grid = Table(*headers, title=title and told(title), title_justify="left")
        for row in cells:
            grid.add_row(*[Text(cell) for cell in row])
        rich_console(stderr=False).print(grid)
        return
    if title:
        line(title)
    widths = [max(_width(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        line("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese character takes two."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON object on stdout."""
    from vibro.io.files import plain

    sys.stdout.write(dumps(plain(value), sys.stdout, indent=1) + "\n")


def dumps(value: Any, stream: TextIO, indent: int | None = None) -> str:
    """JSON with the characters that the stream can show, the others as escapes of JSON."""
    utf8 = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not utf8, indent=indent, allow_nan=False)
