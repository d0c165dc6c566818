"""What the script writes: cells of a table, warnings and errors, in which no name can steer a terminal or a spreadsheet."""

from __future__ import annotations

import sys

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet takes for the beginning of one


def cell(text: str) -> str:
    """A quoted cell of the table, which no spreadsheet takes for a formula."""
    safe = ("'" if text.startswith(FORMULA) else "") + printable(text)
    return '"' + safe.replace('"', '""') + '"'


def printable(text: str) -> str:
    """The text in one line, with control and other invisible characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def warn(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"warning: {printable(message)}\n")


def refuse(message: str, code: int = 3) -> int:
    """One line on stderr; gives the exit code, by default that of input that cannot be used."""
    sys.stderr.write(f"error: {printable(message)}\n")
    return code
