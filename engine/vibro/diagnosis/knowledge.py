"""What is known of a machine: speed, bearing, gear, mains; the frequencies that follow, and values that cannot be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from vibro.diagnosis.bearings import BEARINGS
from vibro.errors import ConfigError

COLUMNS = (
    *("rpm", "bpfo", "bpfi", "bsf", "ftf", "balls", "ball_d", "pitch_d", "angle"),
    *("bearing", "teeth", "poles", "mains_hz", "winding"),
)
WINDINGS = ("transformer", "motor")
SPEEDS = {"rpm": 60.0, "speed": 60.0, "speed_hz": 1.0}  # covariates that are a shaft speed, and what divides them to Hz
GEOMETRY = ("balls", "ball_d", "pitch_d")
_WHOLE = ("balls", "teeth", "poles")


@dataclass(frozen=True)
class Machine:
    """One row of a sensor table, None where it says nothing.

    ``rpm`` in 1/min; ``bpfo bpfi bsf ftf`` in Hz at that speed (outer race, inner race, ball spin, cage); ``ball_d`` and
    ``pitch_d`` in one unit of length, ``angle`` (contact) in degrees; ``bearing`` a designation of ``BEARINGS``; ``teeth``
    of the gear on this shaft; ``poles`` of the motor; ``mains_hz``; ``winding``: ``transformer`` or ``motor``. ``speed`` is
    the covariate that holds the shaft speed, and ``per_hz`` what divides it to Hz.
    """

    rpm: float | None = None
    bpfo: float | None = None
    bpfi: float | None = None
    bsf: float | None = None
    ftf: float | None = None
    balls: int | None = None
    ball_d: float | None = None
    pitch_d: float | None = None
    angle: float | None = None
    bearing: str | None = None
    teeth: int | None = None
    poles: int | None = None
    mains_hz: float | None = None
    winding: str | None = None

    @property
    def table(self) -> dict[str, Any]:
        """What is known, by column; what JSON holds."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    @property
    def shaft(self) -> float | None:
        """Shaft speed in Hz."""
        return self.rpm / 60 if self.rpm else None

    def rates(self, shaft: float | None) -> dict[str, float]:
        """Fault frequencies in Hz by name (outer, inner, ball, cage), those that are known at this shaft speed in Hz.

        Stated frequencies belong to the stated speed and go with it. The ball's is twice its spin: it hits both races.
        """
        scale = shaft / self.shaft if shaft and self.shaft else 1.0
        stated = {"outer": self.bpfo, "inner": self.bpfi, "ball": self.bsf and 2 * self.bsf, "cage": self.ftf}
        found = {name: hz * scale for name, hz in stated.items() if hz}
        if shaft and self.balls and self.ball_d and self.pitch_d:
            orders = bearing_orders(self.balls, self.ball_d, self.pitch_d, self.angle or 0.0)
            found = {name: order * shaft for name, order in orders.items()} | found
        return found


def bearing_orders(balls: int, ball_d: float, pitch_d: float, angle: float) -> dict[str, float]:
    """Fault frequencies in shaft orders, outer race standing (R.B. Randall and J. Antoni, MSSP 25, 2011, eq. 1 to 4)."""
    ratio = ball_d / pitch_d * math.cos(math.radians(angle))
    return {
        "outer": balls / 2 * (1 - ratio),
        "inner": balls / 2 * (1 + ratio),
        "ball": pitch_d / ball_d * (1 - ratio**2),
        "cage": (1 - ratio) / 2,
    }


def machine_of(cells: Mapping[str, str], place: str) -> Machine:
    """The machine of a row's cells (text, empty = not known); ConfigError names the ``place`` of what cannot be."""
    values: dict[str, Any] = {}
    for name in COLUMNS:
        if cell := cells.get(name, ""):
            values[name] = cell if name in ("bearing", "winding") else _positive(name, cell, place)
    if (winding := values.get("winding")) is not None and winding not in WINDINGS:
        raise ConfigError(
            f"{place}: winding is {winding[:40]!r}", hint=f"use {' or '.join(WINDINGS)}, or leave it empty"
        )
    if (bearing := values.get("bearing")) is not None:
        if bearing not in BEARINGS:
            raise ConfigError(
                f"{place}: bearing {bearing[:40]!r} is not in the table of known ones",
                hint=f"give balls, ball_d, pitch_d and angle; known: {', '.join(BEARINGS)}",
            )
        values = dict(zip((*GEOMETRY, "angle"), BEARINGS[bearing], strict=True)) | values
    _check_geometry(values, place)
    _check_frequencies(values, place)
    return Machine(**values)


def machine_from(table: Mapping[str, Any]) -> Machine:
    """The machine of ``Machine.table``, names it does not know left out."""
    known = {f.name for f in fields(Machine)}
    return Machine(**{name: value for name, value in table.items() if name in known})


def _positive(name: str, cell: str, place: str) -> float | int:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    least = 0.0 if name == "angle" else 1e-9
    if not (math.isfinite(value) and value >= least) or "_" in cell:
        raise ConfigError(f"{place}: {name} is {cell[:40]!r}, not a positive number", hint="leave it empty if unknown")
    if name in _WHOLE and value != round(value):
        raise ConfigError(f"{place}: {name} is {cell[:40]!r}, not a whole number", hint="leave it empty if unknown")
    return int(value) if name in _WHOLE else value


def _check_geometry(values: Mapping[str, Any], place: str) -> None:
    given = [name for name in GEOMETRY if name in values]
    if not given:
        return
    if missing := [name for name in GEOMETRY if name not in values]:
        raise ConfigError(
            f"{place}: {', '.join(given)} without {', '.join(missing)} give no fault frequency",
            hint="give balls, ball_d and pitch_d together, or bpfo, bpfi, bsf, ftf",
        )
    balls, ball, pitch = (values[name] for name in GEOMETRY)
    angle = values.get("angle", 0.0)
    if ball >= pitch:
        raise ConfigError(
            f"{place}: ball_d {ball:g} is not smaller than pitch_d {pitch:g}", hint="are the two swapped?"
        )
    if balls < 3 or balls * ball > math.pi * pitch:
        raise ConfigError(
            f"{place}: {balls} balls of {ball:g} do not fit on a pitch circle of {pitch:g}",
            hint="pitch_d is the diameter through the centres of the balls",
        )
    if angle >= 90:
        raise ConfigError(f"{place}: angle is {angle:g} degrees, a contact angle lies below 90")


def _check_frequencies(values: Mapping[str, Any], place: str) -> None:
    if any(name in values for name in ("bpfo", "bpfi", "bsf", "ftf")) and "rpm" in values:
        shaft = values["rpm"] / 60
        if values.get("ftf", 0) >= shaft:
            raise ConfigError(
                f"{place}: ftf {values['ftf']:g} Hz is not below the shaft's {shaft:g} Hz",
                hint="bpfo, bpfi, bsf and ftf are in Hz at the stated rpm",
            )
    if "bpfo" in values and "bpfi" in values and values["bpfo"] >= values["bpfi"]:
        raise ConfigError(f"{place}: bpfo {values['bpfo']:g} is not below bpfi {values['bpfi']:g}", hint="swapped?")
    if (poles := values.get("poles")) is not None and poles % 2:
        raise ConfigError(f"{place}: poles is {poles}, a motor has an even number")
