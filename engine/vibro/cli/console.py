"""The terminal: tables and results on stdout, notes and errors on stderr; plain text where it is no terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

shown = {"quiet": False, "json": False}  # the options of the running command


def configure(*, quiet: bool, json: bool) -> None:
    """Sets how much of the running command is shown, and in what form."""
    shown.update(quiet=quiet, json=json)


def rich_console(*, stderr: bool) -> Console:
    """A rich console on stdout or stderr, without markup and highlighting."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), markup=False, emoji=False)


def clean(value: object) -> str:
    """Text without control characters, so that data cannot steer a terminal; a non-breaking space is a space."""
    text = str(value).replace("\u00a0", " ")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def line(text: str = "") -> None:
    """One line of the result."""
    rich_console(stderr=False).print(text)


def note(text: str) -> None:
    """One line for the user beside the result; silent with ``--quiet``."""
    if not shown["quiet"]:
        if shown["json"]:
            sys.stderr.write(json.dumps({"event": "note", "text": text}, ensure_ascii=False) + "\n")
        else:
            rich_console(stderr=True).print(text, style="yellow" if text.startswith("warning") else None)


def error(message: str, hint: str | None, code: int) -> None:
    """An error and the next thing to type; with ``--json`` a line of JSON on stderr."""
    if shown["json"]:
        told = {"event": "error", "message": clean(message), "hint": hint and clean(hint), "exit_code": code}
        sys.stderr.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    out = rich_console(stderr=True)
    out.print(f"error: {clean(message)}", style="bold red")
    if hint:
        out.print(f"hint: {clean(hint)}", style="cyan")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on stdout: framed on a terminal, columns aligned with blanks elsewhere."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.table import Table
        from rich.text import Text

        grid = Table(*headers, title=title, title_justify="left")
        for row in cells:
            grid.add_row(*[Text(cell) for cell in row])
        rich_console(stderr=False).print(grid)
        return
    if title:
        line(title)
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON object on stdout."""
    from vibro.io.files import plain

    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
