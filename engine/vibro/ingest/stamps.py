"""Times in file names: ``2004.02.12.10.02.39``, ``20240212T100239Z``, ``2024-02-12_10-02-39.250``."""

from __future__ import annotations

import re

from vibro.data import parse_time

_STAMP = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)([01]\d)\2([0-3]\d)[T _.-]{0,3}([0-2]\d)([-_.:hH]?)([0-5]\d)[-_.:mM]?([0-5]\d)"
    r"(?:[.,](\d{3}|\d{6}|\d{9})(?!\d))?(Z)?(?!\d)"
)


def stamp_in(name: str) -> tuple[str, str] | None:
    """The ISO text of the date and time in a file's name, year first, and the part of the name; None = there is none.

    Names with the day or the month first say too little to be guessed: ``--time-from`` reads them.
    """
    found = _STAMP.search(name)
    if found is None:
        return None
    year, _, month, day, hour, _, minute, second, fraction, utc = found.groups()
    text = f"{year}-{month}-{day}T{hour}:{minute}:{second}{'.' + fraction if fraction else ''}{utc or ''}"
    try:
        parse_time(text)
    except ValueError:
        return None
    return text, found[0]
