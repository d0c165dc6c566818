"""Columns of dates and clocks as text to instants."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME, parse_time
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.spool import Values, mapped

_ZONE = re.compile(r"\s*(Z|z|[+-]\d\d(?::?\d\d)?)$")
_PARTS = re.compile(
    r"(?:(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})|(?P<d2>\d{1,2})\.(?P<m2>\d{1,2})\.(?P<y2>\d{4}))"
    r"(?:[T ]+(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)\s*(?P<zone>Z|z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+|:\d{3})?))?", re.ASCII)  # 10:00:00:125 too
_MINUTES = re.compile(r"(\d{1,2}):(\d{2}[.,]\d+)", re.ASCII)
_SLASHES = re.compile(r"\d{1,2}/\d{1,2}/\d{2,4}[T ]+(\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)", re.ASCII)
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?", re.ASCII)


def instant(text: str) -> tuple[np.datetime64, bool]:
    """The instant of a date and time as loggers write it, and whether its zone is named.

    The year stands first (``2024-03-01``, ``2024/3/1``), or last behind points (``1.3.2024``); a date with slashes and the
    year last may be a day or a month first and is refused, as is a date alone. ValueError for what cannot be read.
    """
    match = _PARTS.fullmatch(text.strip())
    if match is None or match["clock"] is None:
        raise ValueError("not a date, year first, and a time of day")
    year, month, day = (match["y"], match["m"], match["d"]) if match["y"] else (match["y2"], match["m2"], match["d2"])
    clock, _, fraction = match["clock"].replace(",", ".").partition(".")
    clock = clock if len(clock.split(":")[0]) == 2 else f"0{clock}"
    tail = f".{fraction[:9]}" if fraction else ""
    return parse_time(f"{year}-{month:0>2}-{day:0>2}T{clock}{tail}{match['zone'] or ''}")


def instants(texts: Values, name: str) -> tuple[Values, bool]:
    """The instants of a column, and whether its texts name a zone; BadField (Q010) names the first bad row."""
    row, zoned = 0, True

    def read(part: Sequence[str]) -> NDArray[np.datetime64]:
        nonlocal row, zoned
        found, named = _instants(part, name, row)
        row, zoned = row + len(part), zoned and named
        return found

    return mapped(read, texts), zoned


def _instants(texts: Sequence[str], name: str, first: int) -> tuple[NDArray[np.datetime64], bool]:
    """As ``instants`` for texts of which the first stands in row ``first``."""
    try:
        _, zoned = instant(texts[0])
        zone = _ZONE.search(texts[0]) if zoned else None
        suffix = zone[0] if zone else ""
        if _PLAIN.fullmatch(texts[0].removesuffix(suffix)) and all(text.endswith(suffix) for text in texts):
            cut = len(suffix)
            plain = np.array([text[:-cut] if cut else text for text in texts], "datetime64[ns]")
            shift = instant(texts[0])[0] - plain[0]
            if not np.isnat(plain).any():
                return plain + shift, zoned
    except ValueError:
        pass
    found, zoned = np.full(len(texts), NO_TIME), True
    for i, text in enumerate(texts):
        try:
            found[i], named = instant(text)
        except ValueError as error:
            detail = f"row {first + i} of column {name} is {text[:40]!r}: {error}"
            raise BadField("Q010", name, detail) from None
        zoned &= named
    return found, zoned


def seconds_of_day(texts: Values) -> Values | None:
    """A column of times of day in seconds, those behind midnight a day later; None where it is something else."""
    return _clocks(texts, _CLOCK, (3600, 60, 1), 86400.0)


def seconds_of_hour(texts: Values) -> Values | None:
    """A column of minutes and seconds, ``59:58.5`` as spreadsheets show them, in seconds; None where it is something else."""
    return _clocks(texts, _MINUTES, (60, 1), 3600.0)


def _clocks(texts: Values, pattern: re.Pattern[str], sizes: Sequence[int], period: float) -> Values | None:
    unwrap = past_midnight(period)

    def read(part: Sequence[str]) -> NDArray[np.float64]:
        found = np.empty(len(part))
        for row, text in enumerate(part):
            match = pattern.fullmatch(text.strip())
            if match is None:
                raise ValueError("no time of this form")
            numbers = (float((group or "0").replace(",", ".").replace(":", ".")) for group in match.groups())
            found[row] = sum(size * number for size, number in zip(sizes, numbers, strict=True))
        return unwrap(found)

    try:
        return mapped(read, texts)
    except ValueError:
        return None


def past_midnight(period: float = 86400.0) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """What makes seconds of the day, or of another period, given in parts, go on behind its end."""
    before, passed = 0.0, 0

    def unwrap(part: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal before, passed
        ends = np.cumsum(np.diff(part, prepend=before) < -period / 2) + passed
        before, passed = float(part[-1]), int(ends[-1])
        return part + period * ends

    return unwrap


def without_day(texts: Values) -> Values | None:
    """The times of day of texts such as ``03/01/2024 10:00:00.5``, whose dates may name the day or the month first."""

    def read(part: Sequence[str]) -> list[str]:
        found = [_SLASHES.fullmatch(text.strip()) for text in part]
        if None in found:
            raise ValueError("no such date")
        return [match[1] for match in found if match]

    try:
        return mapped(read, texts)
    except ValueError:
        return None


def is_day(text: str) -> bool:
    """Whether a text is a date alone."""
    match = _PARTS.fullmatch(text.strip())
    return match is not None and match["clock"] is None
