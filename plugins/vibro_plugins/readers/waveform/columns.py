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
from vibro_plugins.readers.waveform.clock import Clock, clock_of_numbers, clock_of_stamps, counts, is_axis, rises
from vibro_plugins.readers.waveform.spool import Spool, Values, ends_of, is_text, mapped, parts_of
from vibro_plugins.readers.waveform.stamps import (
    instant,
    instants,
    is_day,
    past_midnight,
    seconds_of_day,
    seconds_of_hour,
    without_day,
)
from vibro_plugins.readers.waveform.waves import Wave

WIDEST = 64  # columns; a wider table has its samples along the lines


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
        if is_text(values) or _holds_times(values):
            notes.append(f"column {name} holds {'text' if is_text(values) else 'times'} and was left out")
            continue
        if table.named and words.plain(name) in words.LABELS and not _asked(name, patterns):
            notes.append(f"column {name} was left out: labels come from a table of their own (--labels)")
            continue
        if table.named and words.time_column(name)[0] and not _asked(name, patterns):
            _check_same(table, i, used)
            notes.append(f"column {name} holds times too and was left out")
            continue
        condition = words.covariate(name) if table.named else ""
        if condition and not _asked(name, patterns):
            if (mean := _mean(values)) is not None:
                covariates.setdefault(condition, mean)
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
        name = table.prefix + (words.word(table.about, words.SIGNALS) if alone else table.names[i])
        samples = values.as_float32() if isinstance(values, Spool) else values
        waves.append((place, Wave(name, samples, table.units[i] or unit, clock, own)))
    return Recording(waves, covariates, words.word(table.about, words.MACHINES), notes)


def _check_same(table: Columns, i: int, used: set[int]) -> None:
    """BadField (Q010) where a column of times has the name of the one that is the clock, and other values."""
    for j in used:
        if table.names[j] == table.names[i] and not is_text(table.values[j]):
            pairs = zip(parts_of(table.values[i]), parts_of(table.values[j]), strict=True)
            if not all(np.array_equal(one, other, equal_nan=True) for one, other in pairs):
                detail = f"columns {j + 1} and {i + 1} are both called {table.names[i]} and hold different times"
                raise BadField("Q010", table.names[i], f"{detail}; write each with its channels to a file of its own")


def _asked(name: str, patterns: Sequence[str]) -> bool:
    """Whether the user names a column, rather than all of them."""
    return any(matches(pattern, name) for pattern in patterns if pattern != "*")


def _holds_times(values: Values) -> bool:
    return not isinstance(values, list) and values.dtype.kind == "M"


def _mean(values: Values) -> float | None:
    """The mean of the numbers in a column, None where it holds none."""
    count, total = 0, 0.0
    for part in parts_of(values):
        known = part[np.isfinite(part)]
        count, total = count + len(known), total + float(known.sum(dtype=np.float64))
    return total / count if count else None


def _counting(table: Columns) -> set[int]:
    """The columns that only count the rows."""
    return {
        i
        for i, values in enumerate(table.values)
        if not is_text(values)
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
    if is_text(column):
        texts = [j for j, other in enumerate(table.values) if is_text(other) and j != i]
        found = _of_texts(table, i, texts)
        if found is None:
            begins = ends_of(column)[0][0][:40]
            raise BadField("Q010", name, f"column {name} starts with {begins!r}, which is no time")
        return found
    if _holds_times(column):
        return clock_of_stamps(column, name, ends_of(column)[0][0]), {i}
    unit = words.time_column(name)[1] or table.units[i]
    return clock_of_numbers(column, words.seconds(unit), name), {i}


def _clock(table: Columns) -> tuple[Clock, set[int]]:
    """The clock of a table and the columns that it is made of, those that only count the rows among them."""
    values, counting = table.values, _counting(table)
    if parts := _parted_clock(table):
        return parts, {0, 1, 2, 3}
    for i in range(len(values)):
        column = values[i]
        if _holds_times(column) and len(column):
            return clock_of_stamps(column, table.names[i], ends_of(column)[0][0]), {i}
    texts = [i for i in range(len(values)) if is_text(values[i])]
    for i in texts:
        found = _of_texts(table, i, [j for j in texts if j != i])
        if found:
            return found
    for i in range(len(values)):
        named, unit = words.time_column(table.names[i])
        column = values[i]
        unit = unit or table.units[i]
        if is_text(column) or i in counting or not table.named:
            continue
        if not named and not (words.seconds(unit) and is_axis(column)):
            continue
        return clock_of_numbers(column, words.seconds(unit), table.names[i]), {i}
    at = next((i for i in range(len(values)) if not is_text(values[i]) and i not in counting), len(values))
    if (at > 1 and not texts) or at + 1 >= len(values) or not is_axis(values[at]) or (table.named and counting):
        return Clock(), set()
    name = table.names[at]
    if table.named:
        note = f"column {name} rises evenly, as an axis does, and was left out; --fs HZ gives the sampling rate"
        return Clock(notes=(note,)), {at}
    clock = clock_of_numbers(values[at], 0.0, name)
    return replace(clock, notes=clock.notes or (f"column {name} rises evenly and was taken as time in seconds",)), {at}


def _of_texts(table: Columns, i: int, others: Sequence[int]) -> tuple[Clock, set[int]] | None:
    """The clock of a column of texts, with a date that stands in another one."""
    texts, name = table.values[i], table.names[i]
    if not len(texts) or not (first := str(ends_of(texts)[0][0]))[:1].isdigit():
        return None
    day = seconds_of_day(texts)
    if day is not None:
        for j in others:
            dates = table.values[j]
            if len(dates) and is_day(ends_of(dates)[0][0]):
                return _of_instants(mapped(_joined, dates, texts), name), {i, j}
        return _of_day(day, name), {i}
    if (elapsed := seconds_of_hour(texts)) is not None:
        assert not isinstance(elapsed, list)
        return clock_of_numbers(elapsed, 1.0, name), {i}
    if is_day(first):
        return None
    if (clocks := without_day(texts)) is not None and (day := seconds_of_day(clocks)) is not None:
        note = f"dates such as {first.split()[0]} may name the day or the month first and were left out"
        return replace(_of_day(day, name), notes=(note,)), {i}
    try:
        instant(first)
    except ValueError:
        if words.time_column(name)[0] and table.named:
            instants(texts, name)  # raises with the row and the reason
        return None
    return _of_instants(texts, name), {i}


def _joined(dates: Sequence[str], clocks: Sequence[str]) -> list[str]:
    return [f"{date} {clock}" for date, clock in zip(dates, clocks, strict=True)]


def _of_instants(texts: Values, name: str) -> Clock:
    found, zoned = instants(texts, name)
    return replace(clock_of_stamps(found, name, ends_of(found)[0][0]), zoned=zoned)


def _parted_clock(table: Columns) -> Clock | None:
    """The clock of four columns hour, minute, second, microsecond, as PRONOSTIA's files without header have them."""
    if len(table.values) < 5 or any(is_text(column) for column in table.values[:4]):
        return None
    if table.named and [words.plain(name)[:4] for name in table.names[:3]] != ["hour", "minu", "seco"]:
        return None
    unwrap = past_midnight()
    try:
        times = mapped(lambda *columns: unwrap(_seconds_of_parts(*columns)), *table.values[:4])
    except ValueError:
        return None
    if len(times) < 3 or not rises(times):
        return None
    clock = _of_day(times, "1 to 4")
    return replace(clock, notes=(*clock.notes, "columns 1 to 4 were taken as hour, minute, second and microsecond"))


def _of_day(times: Values, name: str) -> Clock:
    """The clock of seconds of the day; whoever knows the day makes instants of them."""
    assert not isinstance(times, list)
    return replace(clock_of_numbers(times, 1.0, name), of_day=float(ends_of(times)[0][0]))


def _seconds_of_parts(*columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of the day of hours, minutes, seconds and microseconds; ValueError where they are none."""
    hour, minute, second, micro = (np.asarray(column, np.float64) for column in columns)
    for column, most in ((hour, 24), (minute, 60), (second, 60), (micro, 1e6)):
        if not ((column >= 0) & (column < most)).all():
            raise ValueError("no parts of a time")
    if not all((column == np.floor(column)).all() for column in (hour, minute, second)):
        raise ValueError("no whole parts of a time")
    return hour * 3600 + minute * 60 + second + micro * 1e-6


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
