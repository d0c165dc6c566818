"""What a command, or a ``vibro.toml`` beside the data, says about how files are read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from vibro.errors import ConfigError
from vibro.ingest.patterns import PathPattern
from vibro.ingest.units import UNITS, unit_named

NONE = "none"
COLUMNS = ("time", "signal", "sensor", "machine", "recording", "fs", "unit")
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min)?", re.ASCII)
_SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0}


@dataclass(frozen=True)
class IngestOptions:
    """How files are read; None and empty = not said.

    ``fs`` in Hz; ``unit`` the target of all conversions; ``length`` in samples; ``channels`` patterns on the names of
    columns, variables and data sets; ``columns`` the column of a table for each of COLUMNS; ``encoding`` of texts;
    ``sensor_from``, ``machine_from``, ``time_from`` path patterns or column names; ``tz`` the zone of times that name none;
    ``states`` folder names that tell a state and name no machine; ``window`` and ``hop`` in samples (``4096``) or time
    (``1s``); ``resample`` in Hz; ``repair`` the longest gap, in samples, that is filled by interpolation.
    ``strict_quality`` quarantines records of level ``invalid``; without ``need_fs`` an unknown sampling rate is no error
    but 0; ``prefer_fs``, ``prefer_unit``, ``prefer_length``, ``prefer_channels`` are those of a model, taken where the data state
    none or several; what the data state is converted to ``prefer_unit``.
    """

    fs: float | None = None
    unit: str | None = None
    length: int | None = None
    strict_quality: bool = False
    need_fs: bool = True
    channels: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    sensor_from: str | None = None
    machine_from: str | None = None
    time_from: str | None = None
    tz: str | None = None
    states: tuple[str, ...] = ()
    window: str | None = None
    hop: str | None = None
    resample: float | None = None
    repair: int = 0
    prefer_fs: float | None = None
    prefer_unit: str | None = None
    prefer_length: int | None = None
    prefer_channels: int | None = None


def check_options(options: IngestOptions) -> None:
    """ConfigError for an option that cannot be."""
    for name, value in (("--fs", options.fs), ("--resample", options.resample)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} {value:g} is not a sampling rate in Hz", hint=f"{name} 25600")
    if options.length is not None and options.length < 1:
        raise ConfigError(f"--length {options.length} is not a number of samples", hint="--length 4096")
    if options.unit is not None and unit_named(options.unit) is None:
        raise ConfigError(f"--unit {options.unit!r} is not known", hint=f"units: {', '.join(UNITS)}")
    if options.tz is not None:
        zone(options.tz)
    if options.encoding is not None:
        try:
            "".encode(options.encoding)
        except (LookupError, UnicodeError):
            raise ConfigError(
                f"--encoding {options.encoding!r} is not known", hint="utf-8, utf-16, gb18030, latin-1"
            ) from None
    for name in options.columns:
        if name not in COLUMNS:
            raise ConfigError(f"--columns: {name!r} is no role of a column", hint=f"roles: {', '.join(COLUMNS)}")
    for text in (options.sensor_from, options.machine_from, options.time_from):
        if text is not None and is_pattern(text):
            PathPattern(text)
    if options.hop is not None and options.window is None:
        raise ConfigError("--hop needs --window", hint="--window 4096 --hop 2048")
    for name, text in (("--window", options.window), ("--hop", options.hop)):
        if text is not None and samples_of(text, 1e9, name) < 1:
            raise ConfigError(f"{name} {text} is not above 0", hint=f"{name} 4096, {name} 1s")
    if options.repair < 0:
        raise ConfigError(f"--repair {options.repair} is no length of a gap", hint="--repair interpolate:8")


def is_pattern(text: str) -> bool:
    """Whether a ``--sensor-from`` is a pattern on the path rather than a column's name."""
    return "{" in text or "/" in text


def columns_named(options: IngestOptions) -> dict[str, str]:
    """The columns that ``--sensor-from NAME`` and its like name."""
    texts = {"sensor": options.sensor_from, "machine": options.machine_from, "time": options.time_from}
    return {role: text for role, text in texts.items() if text and text != NONE and not is_pattern(text)}


def zone(name: str) -> ZoneInfo:
    """The time zone of a name such as ``Europe/Berlin``."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # not found, or no name at all
        raise ConfigError(f"--tz {name!r} is no time zone", hint="--tz Europe/Berlin, --tz Asia/Shanghai") from None


def samples_of(text: str, fs: float, option: str) -> int:
    """Samples of a span: ``4096`` as it is, ``1s``, ``250ms``, ``0.5min`` at ``fs`` Hz."""
    match = _SPAN.fullmatch(text.strip())
    if match is None or (match[2] is None and "." in match[1]):
        raise ConfigError(f"{option} {text!r} is neither samples nor a time", hint=f"{option} 4096, {option} 1s")
    if match[2] is None:
        return int(match[1])
    if not fs:
        raise ConfigError(
            f"{option} {text} needs a sampling rate, and the data do not give one", hint="give it: --fs HZ"
        )
    return round(float(match[1]) * _SECONDS[match[2]] * fs)


def names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names of texts that may hold several parted by commas."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` by name, of texts that may hold several parted by commas."""
    found: dict[str, str] = {}
    for text in texts:
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.rpartition("="))
            if not (name and equals and value):
                raise ConfigError(f"{option} {part.strip()!r} is not NAME=VALUE", hint=f"{option} NAME=VALUE")
            if found.setdefault(name, value) != value:
                raise ConfigError(f"{option} names {name!r} twice", hint="leave one out")
    return found


def repair_length(text: str) -> int:
    """The longest gap of ``interpolate:8``."""
    how, _, number = text.partition(":")
    if how != "interpolate" or not number.isdecimal() or not 0 < int(number) <= 10_000:
        raise ConfigError(f"--repair {text!r} is not known", hint="--repair interpolate:8")
    return int(number)
