"""From the times of samples to a sampling rate, a start, and the places where time leaps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vibro.data import NO_TIME, parse_epoch
from vibro_plugins.readers.text.faults import BadField

_UNEVEN = 0.1  # share of steps that differ from the usual one, from which on a clock counts as coarse or uneven
_EPOCH = 1e8  # a number of this size or above counts since 1970


@dataclass(frozen=True)
class Clock:
    """``fs`` in Hz, 0 = not known; ``start`` of the first sample; ``pieces`` where each piece without a leap begins."""

    fs: float = 0.0
    start: np.datetime64 = NO_TIME
    pieces: tuple[int, ...] = (0,)
    times: NDArray[np.float64] | None = None  # seconds of every sample since the first one, where there are leaps
    notes: tuple[str, ...] = field(default=())
    zoned: bool = True  # False: the times name no zone and were read as UTC

    def since(self, index: int) -> float:
        """Seconds from the first sample to one at which a piece begins."""
        return 0.0 if not index or self.times is None else float(self.times[index])

    def at(self, index: int) -> np.datetime64:
        """The time of a sample at which a piece begins."""
        return self.start + np.timedelta64(round(self.since(index) * 1e9), "ns")


def clock_of_numbers(values: NDArray[np.float64], unit: float, name: str) -> Clock:
    """The clock of a column of numbers: seconds times ``unit``, a count since 1970, or the number of the sample.

    ``unit`` 0 = the column does not say it. BadField (Q010) where times do not rise or are no clock of even steps.
    """
    if len(values) < 2:
        return Clock()
    if abs(values[0]) >= _EPOCH and (not unit or unit * abs(values[0]) >= _EPOCH):
        start, kind = parse_epoch(float(values[0]))
        scale = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[kind]
        note = f"column {name} counts {kind} since 1970 (UTC)"
        return _even((values - values[0]) * scale, _resolution(values) * scale, name, start, (note,))
    if not unit and _counts(values):
        note = f"column {name} only counts the samples and gives no time; --fs HZ gives the sampling rate"
        return Clock(notes=(note,))
    scale = unit or 1.0
    return _even((values - values[0]) * scale, _resolution(values) * scale, name, NO_TIME, ())


def clock_of_stamps(values: NDArray[np.datetime64], name: str, start: np.datetime64) -> Clock:
    """The clock of a column of times (datetime64[ns])."""
    since = (values - values[0]).astype(np.int64)
    steps = np.gcd.reduce(since) if len(since) else 0
    return _even(since / 1e9, max(float(steps), 1.0) / 1e9, name, start, ())


def counts(values: NDArray[np.float64]) -> bool:
    """Whether a column counts its rows, from 0 or 1."""
    return len(values) > 1 and values[0] in (0, 1) and _counts(values)


def is_axis(values: NDArray[np.float64]) -> bool:
    """Whether numbers rise in steps so even that they can only be times: each step within 1 % or a last digit."""
    if (
        len(values) < 3
        or not np.isfinite(values[[0, -1]]).all()
        or not (values[1:64] > values[: min(63, len(values) - 1)]).all()
    ):
        return False
    step = (values[-1] - values[0]) / (len(values) - 1)
    if not step > 0:
        return False
    slack = max(0.01 * step, 1.01 * _resolution(values))
    return bool(slack < step / 2 and (np.abs(np.diff(values) - step) <= slack).all())


def _counts(values: NDArray[np.float64]) -> bool:
    return float(values[0]).is_integer() and all(bool((np.diff(part) == 1).all()) for part in (values[:64], values))


def _even(
    times: NDArray[np.float64], last_digit: float, name: str, start: np.datetime64, notes: tuple[str, ...]
) -> Clock:
    """The clock of seconds since the first sample."""
    if not np.isfinite(times).all():
        raise BadField("Q010", name, f"row {int(np.argmin(np.isfinite(times)))} has no time in column {name}")
    steps = np.diff(times)
    usual = float(np.median(steps))
    odd = np.abs(steps - usual) > 0.5 * usual
    span = float(times[-1] - times[0])
    if usual <= 0 or odd.mean() > _UNEVEN:
        return Clock(_coarse(times, steps, span, name), start, (0,), None, notes)
    leaps = np.flatnonzero(odd)
    kept = steps[~odd]
    slack = last_digit * (1 + len(leaps))
    if (
        len(kept) > 1 and kept.max() - kept.min() > 2.5 * last_digit
    ):  # a clock that trembles fixes its rate less sharply
        slack += float(np.abs(times - np.linspace(times[0], times[-1], len(times))).max()) if not len(leaps) else usual
    fs = _short(len(kept), float(kept.sum()), slack)
    if not len(leaps):
        return Clock(fs, start, (0,), None, notes)
    gap = float(steps[leaps[0]])
    what = f"jumps back by {-gap:.6g} s" if gap < 0 else f"leaps by {gap:.6g} s"
    more = f" and {len(leaps) - 1} more times" if len(leaps) > 1 else ""
    note = f"column {name} {what} behind sample {leaps[0]}{more}: each piece is a record of its own; --window makes them alike"
    return Clock(fs, start, (0, *(int(i) + 1 for i in leaps)), times, (*notes, note))


def _coarse(times: NDArray[np.float64], steps: NDArray[np.float64], span: float, name: str) -> float:
    """The rate by a clock that ticks more slowly than the samples come; BadField (Q010) for uneven steps."""
    back = int(np.argmin(steps))
    if steps[back] < 0:
        raise BadField("Q010", name, f"column {name} jumps back by {-steps[back]:.6g} s behind sample {back}")
    if span <= 0:
        raise BadField("Q010", name, f"column {name} is the same in every row")
    tick = float(steps.max())
    off = np.abs(times - np.linspace(times[0], times[-1], len(times)))
    if off.max() > 1.5 * tick or tick > 0.05 * span:
        low, high = float(steps.min()), tick
        detail = f"column {name} has steps from {low:.6g} to {high:.6g} s: the samples are not evenly spaced"
        raise BadField("Q010", name, detail)
    return _short(len(steps), span, tick)


def _resolution(values: NDArray[np.float64]) -> float:
    """The last decimal that numbers are written with, by a few of them."""
    some = np.concatenate([values[:32], values[-32:]])
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
