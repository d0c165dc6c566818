"""Which sensor, machine and time a record has, where its file does not say: names of its path and of its channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from vibro.data import NO_TIME, Record, Rejected, from_zone, parse_time
from vibro.ingest.options import NONE, IngestOptions, is_pattern, zone
from vibro.ingest.patterns import PathPattern
from vibro.ingest.stamps import stamp_in
from vibro.ingest.states import names_state, without_state

_IDENTITY = re.compile(r"(?<![A-Za-z0-9])(id|section|machine|sensor|unit|channel|ch)_?(\d+)(?!\d)", re.IGNORECASE)
_TIMES = re.compile(r"(year|quarter|month|week|day|date|hour|minute)=", re.IGNORECASE)  # folders parted by time
_NAMES = re.compile(r"^(machine|sensor)(_id)?=(?=.)", re.IGNORECASE)  # folders parted by these
_NUMBERED = re.compile(r"[xX]\d+_?")  # MATLAB puts an x before a variable's name that begins with a digit


class Namer:
    """Names the records of files below one folder.

    A channel is a sensor; the machine is the path below the folder without names that tell a state; clips of one folder
    are one sensor over time, for the bare name of a file names nothing. What a file states itself stays, unless an option
    says otherwise.
    """

    def __init__(self, options: IngestOptions, root: str) -> None:
        self._patterns = {
            name: PathPattern(text)
            for name, text in (
                ("sensor", options.sensor_from),
                ("machine", options.machine_from),
                ("time", options.time_from),
            )
            if text is not None and is_pattern(text)
        }
        self._no_times = options.time_from == NONE
        self._states = frozenset(options.states)
        self._zone = None if options.tz is None else zone(options.tz)
        self._root = root
        self._states_seen: set[str] = set()
        self._folders_seen: set[str] = set()
        self._identities: dict[str, set[str]] = {}
        self.by_rule = False  # whether a sensor of the last file was named after its path

    def named(self, items: Iterable[Record | Rejected], source: str) -> Iterator[Record | Rejected | str]:
        """The items of one file with their names, and notes (texts) on where these come from.

        The time in a file's name is that of its start: a file with two records of one sensor that start there does not
        get it.
        """
        path = _Path(source, self._states, self._root)
        self.by_rule = False
        fields, unmatched = self._fields(source)
        yield from (f"the path does not fit {text}: the file is named by rule" for text in unmatched)
        given = fields.get("time") or fields.get("day")
        stamp = None if self._no_times or given else stamp_in(path.name)
        held: Record | None = None  # until the next one shows whether its sensor has several
        named: set[str] = set()
        stamped = no_day = False
        unzoned = given is not None and not self._no_times and not parse_time(given)[1]
        for item in items:
            if isinstance(item, Rejected):
                yield item
                continue
            record = self._record(item, fields, path)
            if not item.sensor:
                named.add(self._rule(record, fields, path))
            unzoned |= not (item.zoned or np.isnat(record.time))
            no_day |= item.of_day >= 0 and np.isnat(record.time)
            if held is not None:
                alone, stamp = held, None if _moment(held) == _moment(record) else stamp
                stamped |= stamp is not None
                yield self._stamped(alone, stamp)
                held = None
            if stamp is None or not np.isnat(record.time):
                yield record
            else:
                held = record
        if held is not None:
            stamped |= stamp is not None
            yield self._stamped(held, stamp)
        named.discard("")
        self.by_rule = bool(named)
        yield from sorted(named)
        if stamped and stamp is not None:
            unzoned |= not stamp[0].endswith("Z")
            yield "times come from the names of files"
        elif no_day and not self._no_times:
            yield (
                "times of day without a day were left out:"
                " --time-from '{time:%Y-%m-%d}/*' takes the day from the name of a folder, '*_{time:%Y%m%d}.csv' of a file"
            )
        if unzoned:
            zone = "were read as UTC; --tz ZONE says another" if self._zone is None else f"are in {self._zone.key}"
            yield f"times name no zone and {zone}"

    def _rule(self, record: Record, fields: dict[str, str], path: _Path) -> str:
        """In words, what a sensor without a name of its own is named after."""
        if not record.sensor or {"sensor", "machine"} & set(fields):
            return ""
        parts = [word for word, there in (("folder", path.machine), ("channel", record.channel)) if there]
        machine = f", the machine after the folder {path.root!r}" if not path.machine and path.root else ""
        return f"sensors are named after their {' and '.join(parts)}{machine}"

    def saw(self, source: str) -> None:
        """A file whose sensors were named after its path, for ``told``."""
        path = _Path(source, self._states, self._root)
        self._states_seen.update(path.states)
        self._folders_seen.update(path.folders)
        for word, number in _IDENTITY.findall(path.name):
            self._identities.setdefault(word, set()).add(number)

    def told(self) -> Iterator[str]:
        """What deserves to be said of all files together: folders that name no machine, and pairs that hide a fault."""
        if self._states_seen:
            names = ", ".join(sorted(self._states_seen))
            yield f"folders that tell a state name no machine: {names} (--machine-from PATTERN says otherwise)"
        for word, numbers in self._identities.items():
            if len(numbers) > 1:
                yield (
                    f"names of files hold {word} {', '.join(sorted(numbers)[:3])}, which are one sensor now:"
                    f" --sensor-from '*{word}_{{sensor}}_*' tells them apart"
                )
        beside: dict[str, list[str]] = {}
        for name in sorted(self._folders_seen):
            beside.setdefault(without_state(name), []).append(name)
        for rest, twins in beside.items():
            if len(twins) > 1:
                yield (
                    f"folders {' and '.join(twins[:2])} count as machines of their own, each with its own baseline: if both"
                    f" are {rest}, --machine-from '{{machine}}_{{state}}/*'"
                )

    def _fields(self, source: str) -> tuple[dict[str, str], list[str]]:
        """What the patterns find in a path, and the patterns that do not fit it."""
        fields: dict[str, str] = {}
        unmatched = []
        for option, pattern in self._patterns.items():
            found = pattern.match(source)
            if found is None:
                unmatched.append(f"--{option}-from {pattern.text}")
            else:
                fields |= found
        return fields, unmatched

    def _record(self, record: Record, fields: dict[str, str], path: _Path) -> Record:
        channel = fields.get("channel") or channel_name(record.channel, path.stem)
        machine, sensor = fields.get("machine") or record.machine, record.sensor
        if not sensor or "sensor" in fields:
            place = "/".join(filter(None, (fields.get("machine") or path.machine, fields.get("sensor"))))
            sensor = f"{place}:{channel}" if place and channel else place or channel
            machine = machine or path.machine or (path.root if sensor else "")
        time = record.time
        if self._no_times:
            time = NO_TIME
        elif "time" in fields:
            time = _later(parse_time(fields["time"], self._zone)[0], record.since)
        elif "day" in fields:
            day, zoned = parse_time(fields["day"])
            start = _later(day, max(record.of_day, 0.0))
            time = _later(start if zoned or self._zone is None else from_zone(start, self._zone), record.since)
        elif not record.zoned and self._zone is not None and not np.isnat(time):
            time = from_zone(time, self._zone)
        recording = fields.get("recording") or record.recording
        return replace(record, sensor=sensor, machine=machine, recording=recording, time=time)

    def _stamped(self, record: Record, stamp: tuple[str, str] | None) -> Record:
        if stamp is None:
            return record
        return replace(record, time=_later(parse_time(stamp[0], self._zone)[0], record.since))


def _moment(record: Record) -> tuple[str, float]:
    """What no two records of a file share if its name tells their time."""
    return record.sensor, record.since


def _later(time: np.datetime64, seconds: float) -> np.datetime64:
    return time + np.timedelta64(round(seconds * 1e9), "ns")


class _Path:
    """The parts of a source's path that can name something."""

    def __init__(self, source: str, states: frozenset[str], root: str) -> None:
        *folders, self.name = source.split("/")
        dot = self.name.rfind(".")
        self.stem = self.name[:dot] if 0 < dot < len(self.name) - 1 else self.name
        self.folders = tuple(folders)
        self.states = [name for name in folders if names_state(name, states)]
        named = (_NAMES.sub("", name) for name in folders if name not in self.states and not _TIMES.match(name))
        self.machine = "/".join(named)
        self.root = "" if names_state(root, states) else root


def channel_name(channel: str, stem: str) -> str:
    """A channel's name without what names its file: ``X097_DE_time`` is ``DE_time``, ``A_1.Y`` of ``A_1.mat`` is ``Y``."""
    plain = channel
    if stem and plain.startswith(stem) and len(plain) > len(stem) and not plain[len(stem)].isalnum():
        plain = plain[len(stem) :].lstrip("._/: ")
    elif match := _NUMBERED.match(plain):
        plain = plain[match.end() :] or channel
    return plain or channel
