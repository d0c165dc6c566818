"""What a sensor table knows of the machines: a ``Machine`` of every sensor that it says something about."""

from __future__ import annotations

from pathlib import Path

from vibro.diagnosis.knowledge import COLUMNS, Machine, machine_of
from vibro.errors import ConfigError
from vibro.ingest.keys import read_table


def read_machines(path: Path) -> dict[str, Machine]:
    """Sensor id -> machine, from the columns of ``COLUMNS``; ConfigError names the line of values that cannot be."""
    table = read_table(path, ["sensor_id", "machine_id"], "sensor table")
    cells = {name: table.column(name) for name in COLUMNS if name in table.columns}
    found: dict[str, Machine] = {}
    for k, sensor in enumerate(table.column("sensor_id")):
        machine = machine_of({name: column[k] for name, column in cells.items()}, table.place(k))
        if found.setdefault(sensor, machine) != machine:
            raise ConfigError(f"{table.place(k)}: sensor {sensor!r} has two descriptions of its machine")
    return {sensor: machine for sensor, machine in found.items() if machine.table}
