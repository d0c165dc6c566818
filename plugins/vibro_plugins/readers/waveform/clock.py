"""From the times of samples to a sampling rate, a start, and the places where time leaps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME, parse_epoch
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.waveform.spool import Spool, ends_of, parts_of

_UNEVEN = 0.1  # share of steps that differ from the usual one, from which on a clock counts as coarse or uneven
_EPOCH = 1e8  # a number of this size or above counts since 1970
_DAY = 86400.0
_SERIALS = (20_000.0, 80_000.0)  # days since 1899-12-30 of the years 1954 to 2119
_SERIAL_ZERO = np.datetime64("1899-12-30", "ns")
_ENOUGH = 1 << 20  # steps that the usual one is the median of
Floats = NDArray[Any]  # numbers, which are looked at in float64


@dataclass(frozen=True)
class Clock:
    """``fs`` in Hz, 0 = not known; ``start`` of the first sample; ``pieces`` where each piece without a leap begins.

    ``begins``: seconds from the first sample to the start of each piece. ``of_day``: seconds of the day of the first sample,
    where the times name no day; -1 = not known.
    """

    fs: float = 0.0
    start: np.datetime64 = NO_TIME
    pieces: tuple[int, ...] = (0,)
    begins: tuple[float, ...] = (0.0,)
    notes: tuple[str, ...] = field(default=())
    zoned: bool = True  # False: the times name no zone and were read as UTC
    of_day: float = -1.0

    def since(self, index: int) -> float:
        """Seconds from the first sample to one at which a piece begins."""
        return self.begins[bisect_left(self.pieces, index)]

    def at(self, index: int) -> np.datetime64:
        """The time of a sample at which a piece begins."""
        return self.start + np.timedelta64(round(self.since(index) * 1e9), "ns")


def clock_of_numbers(values: Floats | Spool, unit: float, name: str) -> Clock:
    """The clock of a column of numbers: seconds times ``unit``, a count since 1970, or the number of the sample.

    ``unit`` 0 = the column does not say it; then numbers may be the days of a spreadsheet, if these make a rounder rate.
    BadField (Q010) where times do not rise or are no clock of even steps.
    """
    if len(values) < 2:
        return Clock()
    first, scale = float(ends_of(values)[0][0]), unit or 1.0
    start, notes = NO_TIME, ()
    if abs(first) >= _EPOCH and (not unit or unit * abs(first) >= _EPOCH):
        start, kind = parse_epoch(first)
        scale = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[kind]
        notes = (f"column {name} counts {kind} since 1970 (UTC)",)
    elif not unit and _counts(values):
        note = f"column {name} only counts the samples and gives no time; --fs HZ gives the sampling rate"
        return Clock(notes=(note,))

    def clock(scale: float) -> Clock:
        def since() -> Iterator[Floats]:
            return ((np.asarray(part, np.float64) - first) * scale for part in parts_of(values))

        return _even(since, len(values), _resolution(values) * scale, name, start, notes)

    found = clock(scale)
    if unit or not _SERIALS[0] <= first <= float(ends_of(values)[1][-1]) <= _SERIALS[1]:
        return found
    days = clock(_DAY)
    if not days.fs or _digits(days.fs) >= _digits(found.fs):
        return found
    start = _SERIAL_ZERO + np.timedelta64(round(first * _DAY * 1e9), "ns")
    note = f"column {name} counts days since 1899-12-30, as Excel does; a unit in its name, {name} (s), says otherwise"
    return replace(days, start=start, notes=(note, *days.notes), zoned=False)


def clock_of_stamps(values: NDArray[np.datetime64] | Spool, name: str, start: np.datetime64) -> Clock:
    """The clock of a column of times (datetime64[ns])."""
    if len(values) < 2:
        return Clock(start=start)
    first, tick = ends_of(values)[0][0], np.int64(0)
    for part in parts_of(values):
        tick = np.gcd(tick, np.gcd.reduce((part - first).astype(np.int64)))

    def since() -> Iterator[Floats]:
        return ((part - first).astype(np.int64) / 1e9 for part in parts_of(values))

    return _even(since, len(values), max(float(tick), 1.0) / 1e9, name, start, ())


def counts(values: Floats | Spool) -> bool:
    """Whether a column counts its rows, from 0 or 1."""
    return len(values) > 1 and ends_of(values)[0][0] in (0, 1) and _counts(values)


def is_axis(values: Floats | Spool) -> bool:
    """Whether numbers rise in steps so even that they can only be times: each step within 1 %, or a last digit below it."""
    if len(values) < 3:
        return False
    head, tail = _ends(values)
    if not np.isfinite([head[0], tail[-1]]).all() or not (head[1:] > head[:-1]).all():
        return False
    step = (tail[-1] - head[0]) / (len(values) - 1)
    if not step > 0:
        return False
    digit = 1.01 * _resolution(values)
    slack = max(0.01 * step, digit if digit < step / 2 else 0.0)
    return all(bool((np.abs(steps - step) <= slack).all()) for _, _, steps in _stepped(parts_of(values)))


def rises(values: Floats | Spool) -> bool:
    """Whether each value is above the one before it."""
    return all(bool((steps > 0).all()) for _, _, steps in _stepped(parts_of(values)))


def _ends(values: Floats | Spool) -> tuple[Floats, Floats]:
    head, tail = ends_of(values)
    return np.asarray(head, np.float64), np.asarray(tail, np.float64)


def _counts(values: Floats | Spool) -> bool:
    head = _ends(values)[0]
    return (
        float(head[0]).is_integer()
        and bool((np.diff(head) == 1).all())
        and all(bool((steps == 1).all()) for _, _, steps in _stepped(parts_of(values)))
    )


def _stepped(parts: Iterable[Floats]) -> Iterator[tuple[int, Floats, Floats]]:
    """Parts of a column with the place of their first value and the steps to these values, the first one's as well.

    The very first value has no step.
    """
    place, before = 0, np.zeros(0)
    for values in parts:
        part = np.asarray(values, np.float64)
        yield place, part, np.diff(part, prepend=before)
        place, before = place + len(part), part[-1:]


def _even(
    since: Callable[[], Iterator[Floats]],
    count: int,
    last_digit: float,
    name: str,
    start: np.datetime64,
    notes: tuple[str, ...],
) -> Clock:
    """The clock of seconds since the first sample, which ``since`` gives in parts as often as it is asked."""
    usual, span = _usual(since, count, name)
    found = _Steps(usual, span / (count - 1), most=int(_UNEVEN * count))
    for place, times, steps in _stepped(since()):
        found.add(place, times, steps)
    if usual <= 0 or found.odd > _UNEVEN * (count - 1):
        return Clock(_coarse(count - 1, span, found, name), start, notes=notes)
    leaps = found.leaps
    slack = last_digit * (1 + len(leaps))
    if found.kept > 1 and found.kept_high - found.kept_low > 2.5 * last_digit:
        slack += usual if leaps else found.off  # a clock that trembles fixes its rate less sharply
    fs = _short(found.kept, found.kept_sum, slack)
    if not leaps:
        return Clock(fs, start, notes=notes)
    gap = found.leap
    what = f"jumps back by {-gap:.6g} s" if gap < 0 else f"leaps by {gap:.6g} s"
    more = f" and {len(leaps) - 1} more times" if len(leaps) > 1 else ""
    note = f"column {name} {what} behind sample {leaps[0]}{more}: each piece is a record of its own; --window makes them alike"
    return Clock(fs, start, (0, *(i + 1 for i in leaps)), (0.0, *found.begins), (*notes, note))


def _usual(since: Callable[[], Iterator[Floats]], count: int, name: str) -> tuple[float, float]:
    """The median step, of a million of them in a long column, and the time of the last sample."""
    some, stride, last = [], 1 + (count - 1) // _ENOUGH, 0.0
    for place, times, steps in _stepped(since()):
        if not np.isfinite(times).all():
            at = place + int(np.argmin(np.isfinite(times)))
            raise BadField("Q010", name, f"row {at} has no time in column {name}")
        some.append(steps[-max(place - 1, 0) % stride :: stride].copy())
        last = float(times[-1])
    return float(np.median(np.concatenate(some))), last


@dataclass
class _Steps:
    """What the steps of a clock are like; ``even`` is the step of a clock that never trembles.

    ``off``: how far the times lie from such a clock's; ``odd`` steps differ from the usual one by half of it, and the
    others are ``kept``; ``leaps``: the samples before odd steps, at most ``most``; ``begins``: the times behind them;
    ``leap``: the first such step.
    """

    usual: float
    even: float
    most: int
    off: float = 0.0
    low: float = np.inf
    low_at: int = 0
    high: float = -np.inf
    odd: int = 0
    leap: float = 0.0
    leaps: list[int] = field(default_factory=list)
    begins: list[float] = field(default_factory=list)
    kept: int = 0
    kept_sum: float = 0.0
    kept_low: float = np.inf
    kept_high: float = -np.inf

    def add(self, place: int, times: Floats, steps: Floats) -> None:
        """More of the times, the first one at ``place``, and the steps that lead to them."""
        self.off = max(self.off, float(np.abs(times - np.arange(place, place + len(times)) * self.even).max()))
        if not len(steps):
            return
        before = max(place - 1, 0)
        if steps.min() < self.low:
            self.low, self.low_at = float(steps.min()), before + int(np.argmin(steps))
        self.high = max(self.high, float(steps.max()))
        odd = np.abs(steps - self.usual) > 0.5 * self.usual
        at, kept = np.flatnonzero(odd), steps[~odd]
        self.odd += len(at)
        if len(at) and self.odd <= self.most:
            self.leap = self.leap if self.leaps else float(steps[at[0]])
            self.leaps += (at + before).tolist()
            self.begins += times[at + len(times) - len(steps)].tolist()
        if len(kept):
            self.kept, self.kept_sum = self.kept + len(kept), self.kept_sum + float(kept.sum())
            self.kept_low, self.kept_high = min(self.kept_low, kept.min()), max(self.kept_high, kept.max())


def _coarse(count: int, span: float, steps: _Steps, name: str) -> float:
    """The rate by a clock that ticks more slowly than the samples come; BadField (Q010) for uneven steps."""
    low, tick = steps.low, steps.high
    if low < 0:
        raise BadField("Q010", name, f"column {name} jumps back by {-low:.6g} s behind sample {steps.low_at}")
    if span <= 0:
        raise BadField("Q010", name, f"column {name} is the same in every row")
    if steps.off > 1.5 * tick or tick > 0.05 * span:
        detail = f"column {name} has steps from {low:.6g} to {tick:.6g} s: the samples are not evenly spaced"
        raise BadField("Q010", name, detail)
    return _short(count, span, tick)


def _resolution(values: Floats | Spool) -> float:
    """The last decimal that numbers are written with, by a few of them."""
    head, tail = _ends(values)
    some = np.concatenate([head[:32], tail[-32:]])
    size = float(np.abs(some).max()) or 1.0
    for digits in range(13):
        if (np.abs(np.round(some, digits) - some) <= 4e-16 * size).all():
            return float(10.0**-digits)
    return 1e-16 * size


def _short(count: int, span: float, slack: float) -> float:
    """``count / span``, as the shortest number that ``span`` allows, known to ``slack``; a short step counts as well."""
    if span <= 0:
        return 0.0
    least, most = count / (span + slack), count / max(span - slack, span / 2)
    rate = count / span
    for digits in range(-6, 10):
        found = round(rate, digits)
        if found > 0 and least <= found <= most:
            break
    else:
        found = rate
    for digits in range(10):
        step = round(1 / rate, digits)
        if step > 0 and least <= 1 / step <= most:
            return 1 / step if _digits(step) < _digits(found) else float(found)
    return float(found)


def _digits(number: float) -> int:
    """Significant digits of a number as it is written."""
    return len(f"{number:.14e}".partition("e")[0].replace(".", "").rstrip("0"))
