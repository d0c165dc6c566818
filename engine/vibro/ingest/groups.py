"""Groups of like sensors: the column ``group`` of a sensor table."""

from __future__ import annotations

from pathlib import Path

from vibro.errors import ConfigError
from vibro.ingest.keys import read_table
from vibro.ingest.tables import number
from vibro.ingest.units import unit_named


def read_groups(path: Path) -> dict[str, str]:
    """Sensor id -> group, of sensors that have one.

    ConfigError names the line of a sensor in two groups, and of a group whose sensors differ in unit or sampling rate,
    where the table states them: such are not alike.
    """
    table = read_table(path, ["sensor_id", "machine_id"], "sensor table")
    found: dict[str, str] = {}
    stated: dict[tuple[str, str], str] = {}
    cells = (table.column(name) for name in ("sensor_id", "group", "unit", "fs"))
    for k, (sensor, group, unit, fs) in enumerate(zip(*cells, strict=True)):
        if not group:
            continue
        if found.setdefault(sensor, group) != group:
            raise ConfigError(f"{table.place(k)}: sensor {sensor!r} has group {found[sensor]!r} and {group!r}")
        rate = fs and f"{number(table, k, 'fs', fs):g}"
        for what, value in (("unit", unit and (unit_named(unit) or unit)), ("fs", rate)):
            if value and stated.setdefault((group, what), value) != value:
                raise ConfigError(
                    f"{table.place(k)}: group {group!r} mixes {what} {stated[group, what]} and {value}",
                    hint="sensors of a group are alike; give those another group, or none",
                )
    return found
