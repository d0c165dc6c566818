"""From the fields of one item (a JSON object, a row of a table) to a Record or a Rejected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Record, Rejected
from vibro.data import parse_epoch, parse_time
from vibro_plugins.readers.text.choice import RecordParams, chosen, fields_of
from vibro_plugins.readers.text.faults import BadField
from vibro_plugins.readers.text.lines import excerpt
from vibro_plugins.readers.text.numbers import BadNumber, Constant, shown

SIGNAL = "signal_value"
TEXTS = ("machine_id", "recording", "unit")
KNOWN = frozenset(("sensor_id", "data_time", "fs", "covariates", SIGNAL, *TEXTS))


class ItemReader:
    """Makes records of the items of one file and remembers what deserves a note."""

    def __init__(self, params: RecordParams) -> None:
        self._fields = fields_of(params.columns)
        self._patterns = params.channels
        self.with_bom = False
        self.epochs: dict[str, int] = {}  # unit -> times that are counts of it

    def notes(self) -> list[str]:
        """Sentences for the warnings."""
        found = []
        if self.with_bom:
            found.append("the text starts with a byte-order mark, which was skipped")
        for unit, count in self.epochs.items():
            found.append(f"{count} times are numbers and were read as {unit} since 1970-01-01 UTC, by their size")
        return found

    def item(
        self,
        table: object,
        signal: Callable[[Any], NDArray[np.float32]],
        *,
        row: int,
        line: int = -1,
        offset: int = -1,
        pointer: str = "",
        raw: bytes | str = "",
    ) -> Record | Rejected:
        """A Record of the item, or a Rejected with the first reason found.

        ``signal`` turns a value into samples: (T,), or (C, T) where the value holds channels.
        """
        sensor = stamp = ""

        def refused(code: str, detail: str, field: str = "") -> Rejected:
            where = f"{pointer}/{field}" if field else pointer
            return Rejected(code, detail, row, line, offset, where, excerpt(raw), sensor, excerpt(str(stamp or ""), 40))

        if not isinstance(table, Mapping):
            return refused("Q004", f"a record is an object, not {_kind(table)}")
        if self._fields:
            table = {self._fields.get(name, name): value for name, value in table.items()}
        try:
            sensor = identifier(table.get("sensor_id"), "sensor_id")
            stamp = table.get("data_time")
            if stamp is None or stamp == "":
                raise BadField("Q005", "data_time", "data_time is missing")
            time, zone = self._time(stamp)
            machine, recording, unit = (text(table[name], name) if name in table else "" for name in TEXTS)
            fs = rate(table["fs"]) if "fs" in table else 0.0
            covariates = numbers(table["covariates"]) if "covariates" in table else {}
            samples, channel = self._samples(table, signal)
            for name, value in table.items():
                if name not in KNOWN and (constant := _constant(value)):
                    raise BadField("Q002", name, f"{constant} is no JSON")
        except BadField as error:
            return refused(error.code, error.detail, error.field)
        except BadNumber as error:
            return refused(error.code, error.detail, f"{SIGNAL}/{error.index}")
        return Record(samples, sensor, time, fs, unit, machine, recording, covariates, row, line, offset, channel, zone)

    def _samples(
        self, table: Mapping[str, Any], signal: Callable[[Any], NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], str]:
        """(C, T) samples, and the channel's name where one of several was chosen.

        Channels are a list of lists, an object of lists, or, without ``signal_value``, fields of lists such as x, y, z.
        """
        value = table.get(SIGNAL)
        if value is None:
            value = {name: item for name, item in table.items() if name not in KNOWN and _is_series(item)}
        elif isinstance(value, list) and value and isinstance(value[0], list):
            value = {str(i + 1): item for i, item in enumerate(value)}
        if not isinstance(value, Mapping):
            return np.atleast_2d(signal(value)), ""
        if not value:
            given = table.get(SIGNAL) is not None
            detail = (
                f"{SIGNAL} is an empty object, neither a text nor a list of numbers"
                if given
                else f"{SIGNAL} is missing"
            )
            raise BadField("Q006" if given else "Q005", SIGNAL, detail)
        names = list(value)
        kept = [names[i] for i in chosen([(name,) for name in names], self._patterns, "channel")]
        found = []
        for name in kept:
            try:
                found.append(signal(value[name]))
            except BadNumber as error:
                place = f"{name}/{error.index}" if table.get(SIGNAL) is None else f"{SIGNAL}/{name}/{error.index}"
                raise BadField(error.code, place, f"channel {name}: {error.detail}") from None
        lengths = {name: len(samples) for name, samples in zip(kept, found, strict=True)}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise BadField("Q008", SIGNAL, f"channels of one record have one length, not {said} samples")
        return np.stack(found), kept[0] if len(kept) == 1 and len(names) > 1 else ""

    def _time(self, stamp: object) -> tuple[np.datetime64, bool]:
        """The instant, and whether its zone is known."""
        try:
            if isinstance(stamp, str) and not isinstance(stamp, Constant):
                return parse_time(stamp)
            if type(stamp) in (int, float):
                time, unit = parse_epoch(stamp)
                self.epochs[unit] = self.epochs.get(unit, 0) + 1
                return time, True
        except ValueError as error:
            raise BadField("Q010", "data_time", f"data_time is {shown(stamp)}: {error}") from None
        raise BadField("Q010", "data_time", f"data_time is {shown(stamp)}, neither ISO 8601 text nor a number")


def identifier(value: object, name: str) -> str:
    """A name that must be given: text, or an integer as its digits."""
    found = text(value, name)
    if not found:
        raise BadField("Q005", name, f"{name} is missing")
    return found


def text(value: object, name: str) -> str:
    """An optional text without control characters; an integer counts as its digits, null as not given."""
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or isinstance(value, Constant):
        raise BadField("Q005", name, f"{name} is {_kind(value)}, not a text")
    if value.isprintable():
        return value
    if any(c < " " or c == "\x7f" for c in value):
        raise BadField("Q005", name, f"{name} holds a control character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadField("Q001", name, f"{name} holds half a surrogate pair") from None
    return value


def rate(value: object) -> float:
    """A sampling rate in Hz; 0 and null stand for not given."""
    found = _number(value, "fs")
    if found is None:
        return 0.0
    if found < 0:
        raise BadField("Q006", "fs", f"fs is {shown(value)}, not a rate in Hz")
    return found


def numbers(value: object) -> dict[str, float]:
    """Covariates by name; null = not given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadField("Q006", "covariates", f"covariates are {_kind(value)}, not an object of numbers")
    found = {text(name, "covariates"): _number(item, f"covariates/{name}") for name, item in value.items()}
    return {name: item for name, item in found.items() if item is not None}


def _number(value: object, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, Constant):
        raise BadField("Q007", name, f"{name} is {value}, not a finite number")
    if type(value) not in (int, float):
        raise BadField("Q006", name, f"{name} is {shown(value)}, not a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not abs(found) <= float(np.finfo(np.float32).max):
        raise BadField("Q007", name, f"{name} is too large")
    return found


def _constant(value: object) -> str:
    """A NaN or infinity anywhere inside a value, or nothing."""
    if isinstance(value, Constant):
        return str(value)
    if isinstance(value, Mapping | list):
        return next(filter(None, map(_constant, value.values() if isinstance(value, Mapping) else value)), "")
    return ""


def _is_series(value: object) -> bool:
    """Whether a value is a list that begins with two numbers."""
    return isinstance(value, list) and len(value) > 1 and all(type(item) in (int, float) for item in value[:2])


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
