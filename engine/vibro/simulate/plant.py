"""A simulated substation: what its transformers and sensors are, and how load, voltage and temperature move.

Shapes: U units, S sensors per unit, K instants. Physics: magnetostriction and winding forces (core
vibration goes with the square of the voltage, winding vibration with the square of the current); the oil equation is
the top-oil model of IEC 60076-7 with one time constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vibro.context import child_seed

Array = NDArray[np.float64]

CADENCE_H = 0.5  # hours between instants
MODES = 6
CURRENT_HARMONICS = (3, 5, 7, 11)
LEVEL = 0.05  # g, scale of a healthy channel


def generator(seed: int, name: str) -> np.random.Generator:
    """Independent stream of a named part, so that one part may change without moving the others."""
    return np.random.default_rng(child_seed(seed, f"simulate.{name}"))


@dataclass(frozen=True)
class Plant:
    """Constants of every unit (U,) and sensor (U, S), with wall modes (U, S, MODES)."""

    flux: Array
    magnetostriction: Array  # (U, 3): a2, a4, a6
    harmonics: Array  # (U, 4) share of the 3rd, 5th, 7th, 11th current harmonic
    harmonic_phase: Array
    winding_hz: Array
    winding_damping: Array
    core_gain: Array
    winding_gain: Array
    fan_hz: Array
    blades: Array
    pump_hz: Array
    mode_hz: Array
    mode_damping: Array
    core_weight: Array
    winding_weight: Array
    gain: Array
    noise: Array
    pickup: Array
    pickup_phase: Array
    cooling: Array  # (U, S, 4) amplitude of fan, blade, pump and twice pump line


def build_plant(seed: int, units: int, sensors: int) -> Plant:
    """Draws the constants of a plant."""
    rng = generator(seed, "plant")
    u, us, usm = (units,), (units, sensors), (units, sensors, MODES)
    return Plant(
        flux=rng.uniform(0.92, 1.0, u),
        magnetostriction=np.stack([np.ones(u), rng.uniform(0.1, 0.25, u), rng.uniform(0.02, 0.10, u)], axis=1),
        harmonics=rng.uniform(0.005, 0.03, (units, len(CURRENT_HARMONICS))),
        harmonic_phase=rng.uniform(0, 2 * np.pi, (units, len(CURRENT_HARMONICS))),
        winding_hz=rng.uniform(260, 420, u),
        winding_damping=rng.uniform(0.03, 0.08, u),
        core_gain=LEVEL * rng.lognormal(0, 0.25, u),
        winding_gain=LEVEL * rng.lognormal(0, 0.3, u),
        fan_hz=rng.uniform(12.2, 16.2, u),
        blades=rng.integers(5, 8, u).astype(float),
        pump_hz=rng.uniform(24.3, 24.9, u),
        mode_hz=np.exp(rng.uniform(np.log(60), np.log(1500), usm)),
        mode_damping=rng.uniform(0.015, 0.06, usm),
        core_weight=rng.standard_normal(usm) / np.sqrt(MODES),
        winding_weight=rng.standard_normal(usm) / np.sqrt(MODES),
        gain=rng.lognormal(0, 0.35, us),
        noise=rng.lognormal(np.log(0.0012), 0.5, us),
        pickup=np.abs(rng.normal(0, 0.012, us)),
        pickup_phase=rng.uniform(0, 2 * np.pi, us),
        cooling=np.array([0.0010, 0.0020, 0.0008, 0.0012]) * rng.lognormal(0, 0.4, (units, sensors, 4)),
    )


@dataclass(frozen=True)
class Operation:
    """Operating state (U, K): load and voltage in per unit, oil in degrees Celsius, fans on, mains deviation in Hz."""

    hours: Array  # (K,)
    load: Array
    voltage: Array
    oil: Array
    fan: NDArray[np.bool_]
    mains_shift: Array


def operate(seed: int, units: int, instants: int) -> Operation:
    """Runs the plant for ``instants`` steps of half an hour, with one no-load window per unit (4 % of the time)."""
    rng = generator(seed, "operation")
    hours = np.asarray(np.arange(instants) * CADENCE_H, dtype=np.float64)
    phase = rng.uniform(-1, 1, (units, 1))
    daily = np.sin(2 * np.pi * (hours - 9 + phase) / 24)
    half_daily = np.sin(2 * np.pi * (hours - 7 + phase) / 12)
    load = 0.55 + 0.2 * daily + 0.08 * half_daily + _ou(rng, (units, instants), 0.07, 0.7)
    load = np.clip(load, 0.03, 1.15)
    window = round(0.04 * instants)
    for unit in range(units):
        start = int(rng.integers(0, instants - window + 1))
        load[unit, start : start + window] = 0.03
    voltage = 1 + _ou(rng, (units, instants), 0.01, 2.0)
    ambient = 20 + 8 * np.sin(2 * np.pi * (hours - 10) / 24)
    rise = ambient + 45 * ((6 * load**2 + 1) / 7) ** 0.8
    oil = np.empty((units, instants))
    oil[:, 0] = rise[:, 0]
    keep = np.exp(-CADENCE_H / 3)
    for k in range(1, instants):
        oil[:, k] = keep * oil[:, k - 1] + (1 - keep) * rise[:, k - 1]
    fan = oil > np.quantile(oil, 0.6, axis=1, keepdims=True)
    return Operation(hours, load, voltage, oil, fan, _ou(rng, (units, instants), 0.015, 0.5))


def _ou(rng: np.random.Generator, shape: tuple[int, int], sd: float, hours: float) -> Array:
    """Ornstein-Uhlenbeck noise along the last axis with this stationary deviation and time constant."""
    keep = np.exp(-CADENCE_H / hours)
    step = rng.standard_normal(shape) * sd
    out = np.empty(shape)
    out[:, 0] = step[:, 0]
    for k in range(1, shape[1]):
        out[:, k] = keep * out[:, k - 1] + np.sqrt(1 - keep**2) * step[:, k]
    return out
