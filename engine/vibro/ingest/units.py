"""Physical units of records: their usual spellings, and the factors between units of one kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STANDARD_GRAVITY = 9.80665  # m/s2, exact by definition (ISO 80000-3)
INCH = 0.0254  # m, exact by definition

_FACTORS: dict[str, dict[str, float]] = {  # kind -> unit -> factor to the first unit of the kind
    "acceleration": {
        "m/s2": 1.0,
        "g": STANDARD_GRAVITY,
        "mg": STANDARD_GRAVITY / 1000,
        "mm/s2": 1e-3,
        "in/s2": INCH,
        "ft/s2": 12 * INCH,
    },
    "velocity": {"mm/s": 1.0, "m/s": 1e3, "in/s": 1e3 * INCH},
    "displacement": {"um": 1.0, "mm": 1e3, "mil": 1e3 * INCH},
    "voltage": {"V": 1.0, "mV": 1e-3},
    "current": {"A": 1.0, "mA": 1e-3},
    "pressure": {"Pa": 1.0, "kPa": 1e3, "bar": 1e5},
}
UNITS = (*(unit for kind in _FACTORS.values() for unit in kind), "unknown")
_KIND = {unit: kind for kind, units in _FACTORS.items() for unit in units}
_SPELLINGS = {  # in small letters and without blanks
    "g": "gn g_n g's gs grav gpk",
    "m/s2": "m/s/s m/s^2 m/ss ms-2 m*s-2 m.s-2 m/sec2 m/sec^2",
    "mm/s2": "mm/s/s mm/s^2 mms-2",
    "in/s2": "in/s/s in/s^2 inch/s2 inch/s^2 in/sec2 in/sec^2",
    "ft/s2": "ft/s^2 ft/sec2",
    "mm/s": "mm/sec mms-1",
    "m/s": "m/sec ms-1",
    "in/s": "ips in/sec inch/s inch/sec",
    "um": "micron microns micrometer micrometre",
    "mil": "mils thou",
    "V": "v volt volts",
    "mV": "mv millivolt millivolts",
    "A": "a amp amps ampere",
    "mA": "ma",
    "Pa": "pa pascal",
    "kPa": "kpa",
    "unknown": "- ? none n/a na a.u. au",
}
_MEANT = {spelling: unit for unit, texts in _SPELLINGS.items() for spelling in texts.split()} | {"": "unknown"}


def unit_named(text: str) -> str | None:
    """The unit that a text means; ``unknown`` for no unit, None for one that is not known."""
    plain = text.strip().strip("[]()").strip().replace("µ", "u").replace("μ", "u").replace("²", "2").replace("·", "*")
    if plain in UNITS:
        return plain
    plain = plain.replace(" ", "").replace("**", "^")
    if plain in UNITS:
        return plain
    lower = plain.lower()
    return _MEANT.get(lower) or (lower if lower in UNITS else None)


def factor(unit: str, target: str) -> float | None:
    """What a value in ``unit`` is multiplied by to be in ``target``; None where the two are of different kinds."""
    kind = _KIND.get(unit)
    if kind is None or kind != _KIND.get(target):
        return 1.0 if unit == target else None
    return _FACTORS[kind][unit] / _FACTORS[kind][target]


def scaled(signal: NDArray[np.float32], times: float) -> NDArray[np.float32]:
    """A signal times a factor, computed in float64."""
    return (signal * np.float64(times)).astype(np.float32)
