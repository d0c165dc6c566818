"""Settings of readers that choose what of a file is read, and how names are matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from vibro.api import Params
from vibro_plugins.readers.text.faults import BadField

_SHOWN = 8  # names in a message


@dataclass(frozen=True)
class GapParams(Params):
    """``gaps``: samples that are no number stay in a record, as NaN; else they cost it, with their place."""

    gaps: bool = False


@dataclass(frozen=True)
class ChannelParams(GapParams):
    """``channels``: patterns (``acc_*``) on the names of channels; only those that match one are read, all by default."""

    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextParams(ChannelParams):
    """``encoding``: of the text, where what is found by its bytes is not right."""

    encoding: str | None = None


@dataclass(frozen=True)
class RecordParams(ChannelParams):
    """``columns``: the name by which a file calls a field, by role (``time``, ``signal``, ``sensor`` and those of ROLES)."""

    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableParams(RecordParams, TextParams):
    """Of a table of text with samples down its rows."""


ROLES = {
    "time": "data_time",
    "signal": "signal_value",
    "sensor": "sensor_id",
    "machine": "machine_id",
    "recording": "recording",
    "fs": "fs",
    "unit": "unit",
}


def fields_of(columns: Mapping[str, str]) -> dict[str, str]:
    """The field that each column of a file stands for, by the user's words."""
    return {column: ROLES[role] for role, column in columns.items() if role in ROLES}


def matches(pattern: str, *names: str) -> bool:
    """Whether one of the names fits a pattern with ``*`` and ``?``, upper and lower case being the same; ``[`` is itself."""
    pattern = pattern.replace("[", "[[]").lower()
    return any(fnmatchcase(name.lower(), pattern) for name in names)


def chosen(names: Sequence[tuple[str, ...]], patterns: Sequence[str], what: str) -> list[int]:
    """The places of the names that fit a pattern, all without one; BadField (Q005) where none does."""
    found = [i for i, name in enumerate(names) if not patterns or any(matches(p, *name) for p in patterns)]
    if not found:
        known = ", ".join(name[-1] for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        asked = " ".join(f"--channels {pattern!r}" for pattern in patterns)
        raise BadField("Q005", "", f"no {what} fits {asked} (the file has: {known or 'none'})")
    return found
