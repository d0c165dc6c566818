"""From the columns of a table to channels: which are times, counts or conditions, and what the remarks above say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.readers.text.choice import chosen, matches
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform import names as words
from vibro_plugins.readers.waveform.clock import Clock, clock_of_numbers, clock_of_stamps, counts, is_axis
from vibro_plugins.readers.waveform.stamps import instant, instants, is_day, seconds_of_day
from vibro_plugins.readers.waveform.waves import Wave

WIDEST = 64  # columns; a wider table has its samples along the lines
Values = NDArray[np.float64] | NDArray[np.datetime64] | list[str]


@dataclass
class Columns:
    """A table: ``values`` of each column are float64 with NaN for gaps, times, or texts; ``named`` = it has a header."""

    names: Sequence[str]
    units: Sequence[str]
    values: Sequence[Values]
    named: bool = True
    about: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""  # of the names of its channels


@dataclass
class Recording:
    """What a table holds: channels with their places, covariates, the machine, sentences for the notes."""

    waves: list[tuple[int, Wave]]
    covariates: dict[str, float]
    machine: str
    notes: list[str]


def recording(table: Columns, patterns: Sequence[str], roles: Mapping[str, str] = MappingProxyType({})) -> Recording:
    """The channels of a table that fit the patterns; BadField says what is wrong with it.

    ``roles``: the column that the user calls ``time`` or ``signal``; other roles are those of records.
    """
    if len(table.names) > WIDEST:
        detail = f"{len(table.names)} columns, and a recording has at most {WIDEST} channels"
        raise BadField(
            "Q004", "", f"{detail}; where each line is a record, write it below sensor_id,data_time,v0,v1,..."
        )
    notes: list[str] = []
    for role in sorted(set(roles) - {"time", "signal"}):
        notes.append(f"--columns {role}={roles[role]} has no effect in a table of samples, only in one of records")
    patterns = patterns or [roles[role] for role in ("signal",) if role in roles]
    clock, used = _named_clock(table, roles["time"]) if "time" in roles else _clock(table)
    used |= _counting(table)
    clock = told(clock, table.about)
    notes += clock.notes
    covariates: dict[str, float] = {}
    places = []
    for i, (name, values) in enumerate(zip(table.names, table.values, strict=True)):
        if i in used:
            continue
        if isinstance(values, list) or values.dtype.kind == "M":
            notes.append(f"column {name} holds {'text' if isinstance(values, list) else 'times'} and was left out")
            continue
        if table.named and words.plain(name) in words.LABELS and not _asked(name, patterns):
            notes.append(f"column {name} was left out: labels come from a table of their own (--labels)")
            continue
        condition = words.covariate(name) if table.named else ""
        if condition and not _asked(name, patterns):
            known = values[np.isfinite(values)]
            if len(known):
                covariates.setdefault(condition, float(known.mean()))
                notes.append(f"column {name} was taken as the covariate {condition} (its mean)")
            continue
        places.append(i)
    if not places:
        raise BadField("Q005", "", f"no column of samples (columns: {', '.join(table.names[:8])})")
    kept = chosen([(f"{table.prefix}{table.names[i]}", table.names[i]) for i in places], patterns, "column")
    unit = words.word(table.about, words.UNITS)
    sensor = words.word(table.about, words.SENSORS)
    waves = []
    for place in kept:
        i = places[place]
        values = table.values[i]
        assert not isinstance(values, list)
        own = f"{sensor}:{table.names[i]}" if sensor and len(places) > 1 else sensor
        alone = len(places) == 1 and not table.named
        name = table.prefix + ("" if alone else table.names[i])
        waves.append((place, Wave(name, values, table.units[i] or unit, clock, own)))
    return Recording(waves, covariates, words.word(table.about, words.MACHINES), notes)


def _asked(name: str, patterns: Sequence[str]) -> bool:
    """Whether the user names a column, rather than all of them."""
    return any(matches(pattern, name) for pattern in patterns if pattern != "*")


def _counting(table: Columns) -> set[int]:
    """The columns that only count the rows."""
    return {
        i
        for i, values in enumerate(table.values)
        if not isinstance(values, list)
        and values.dtype.kind == "f"
        and (words.plain(table.names[i]) in words.COUNTS or (i == 0 and (not table.named or table.names[i] == "1")))
        and counts(values)
        and len(table.values) > 1
    }


def _named_clock(table: Columns, name: str) -> tuple[Clock, set[int]]:
    """The clock of the column that the user calls the time."""
    if name not in table.names:
        raise BadField("Q005", name, f"no column {name} (columns: {', '.join(table.names[:8])})")
    i = table.names.index(name)
    column = table.values[i]
    if isinstance(column, list):
        texts = [j for j, other in enumerate(table.values) if isinstance(other, list) and j != i]
        found = _of_texts(table, i, texts)
        if found is None:
            raise BadField("Q010", name, f"column {name} starts with {column[0][:40]!r}, which is no time")
        return found
    if column.dtype.kind == "M":
        return clock_of_stamps(column, name, column[0]), {i}
    unit = words.time_column(name)[1] or table.units[i]
    return clock_of_numbers(column, words.seconds(unit), name), {i}


def _clock(table: Columns) -> tuple[Clock, set[int]]:
    """The clock of a table and the columns that it is made of, those that only count the rows among them."""
    values, counting = table.values, _counting(table)
    if parts := _parted_clock(table):
        return parts, {0, 1, 2, 3}
    for i in range(len(values)):
        column = values[i]
        if not isinstance(column, list) and column.dtype.kind == "M" and len(column):
            return clock_of_stamps(column, table.names[i], column[0]), {i}
    texts = [i for i in range(len(values)) if isinstance(values[i], list)]
    for i in texts:
        found = _of_texts(table, i, [j for j in texts if j != i])
        if found:
            return found
    for i in range(len(values)):
        named, unit = words.time_column(table.names[i])
        column = values[i]
        if isinstance(column, list) or i in counting or not (named and table.named):
            continue
        unit = unit or table.units[i]
        return clock_of_numbers(column, words.seconds(unit), table.names[i]), {i}
    first = values[0]
    if counting or len(values) == 1 or isinstance(first, list) or not is_axis(first):
        return Clock(), set()
    if table.named:
        note = (
            f"column {table.names[0]} rises evenly, as an axis does, and was left out; --fs HZ gives the sampling rate"
        )
        return Clock(notes=(note,)), {0}
    clock = clock_of_numbers(first, 0.0, "1")
    return replace(clock, notes=clock.notes or ("column 1 rises evenly and was taken as time in seconds",)), {0}


def _of_texts(table: Columns, i: int, others: Sequence[int]) -> tuple[Clock, set[int]] | None:
    """The clock of a column of texts, with a date that stands in another one."""
    texts, name = table.values[i], table.names[i]
    assert isinstance(texts, list)
    if not texts or not texts[0][:1].isdigit():
        return None
    day = seconds_of_day(texts)
    if day is not None:
        for j in others:
            dates = table.values[j]
            if isinstance(dates, list) and dates and is_day(dates[0]):
                joined = [f"{date} {clock}" for date, clock in zip(dates, texts, strict=True)]
                return _of_instants(joined, name), {i, j}
        leap = np.flatnonzero(np.diff(day) < -43200)  # midnight
        for at in leap:
            day[at + 1 :] += 86400
        note = f"column {name} has times without a day, which are left out; --time-from takes it from the path"
        return replace(clock_of_numbers(day, 1.0, name), notes=(note,)), {i}
    if is_day(texts[0]):
        return None
    try:
        instant(texts[0])
    except ValueError:
        if words.time_column(name)[0] and table.named:
            instants(texts, name)  # raises with the row and the reason
        return None
    return _of_instants(texts, name), {i}


def _of_instants(texts: Sequence[str], name: str) -> Clock:
    found, zoned = instants(texts, name)
    clock = clock_of_stamps(found, name, found[0])
    return replace(clock, zoned=zoned)


def _parted_clock(table: Columns) -> Clock | None:
    """The clock of four columns hour, minute, second, microsecond, as PRONOSTIA's files without header have them."""
    if len(table.values) < 5 or any(isinstance(column, list) for column in table.values[:4]):
        return None
    if table.named and [words.plain(name)[:4] for name in table.names[:3]] != ["hour", "minu", "seco"]:
        return None
    hour, minute, second, micro = (np.asarray(column, np.float64) for column in table.values[:4])
    for column, most in ((hour, 24), (minute, 60), (second, 60), (micro, 1e6)):
        if not ((column >= 0) & (column < most)).all():
            return None
    if not all((column == np.floor(column)).all() for column in (hour, minute, second)):
        return None
    since = (hour - hour[0]) * 3600 + (minute - minute[0]) * 60 + (second - second[0])
    times = since + micro * 1e-6
    if len(times) < 3 or not (np.diff(times) > 0).all():
        return None
    clock = clock_of_numbers(times, 1.0, "1 to 4")
    note = "columns 1 to 4 are hour, minute, second and microsecond without a day; --time-from takes it from the path"
    return replace(clock, notes=(*clock.notes, note))


def told(clock: Clock, about: Mapping[str, str]) -> Clock:
    """The clock with what the remarks say: sampling rate and start; BadField (Q013) where they say another rate."""
    rate = words.rate(about)
    if rate and clock.fs and abs(rate - clock.fs) > 1e-3 * rate:
        detail = f"the remarks say {rate:g} Hz, the times of the samples {clock.fs:g} Hz; one of the two must be mended"
        raise BadField("Q013", "", detail)
    clock = replace(clock, fs=rate or clock.fs)
    if not np.isnat(clock.start):
        return clock
    text = words.word(about, words.STARTS)
    days = [value for name, value in about.items() if words.plain(name) in words.DATES]
    clocks = [value for name, value in about.items() if words.plain(name) in words.CLOCKS]
    if not text and days and clocks:
        text = f"{days[0]} {clocks[0]}"
    if not text:
        return clock
    try:
        start, zoned = instant(text)
    except ValueError:
        return replace(clock, notes=(*clock.notes, f"the start {text[:40]!r} cannot be read and was left out"))
    return replace(clock, start=start, zoned=zoned)
