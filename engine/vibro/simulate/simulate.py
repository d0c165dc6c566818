"""``simulate``: labelled records of a preset plant, the same for the same arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import let_go, new_map
from vibro.errors import ConfigError
from vibro.simulate.episodes import (
    BEARING_MIX,
    FIELD_MIX,
    TRANSFORMER_MIX,
    schedule_by_machine,
)
from vibro.simulate.plant import build_plant, generator, operate

PRESETS = ("transformer", "transformer-60hz", "transformer-field", "bearing")
STEPS_A_UNIT = 40_000  # quantisation: 2.5e-5 of the unit; k / 40000 is the double nearest to its decimal text
TAP_CHANGES = 0.012  # share of the instants of a transformer at which its tap changer works
BLOCK = 256  # records or instants that are worked on at a time
START = np.datetime64("2024-01-01T00:00:00", "ns")


@dataclass(frozen=True)
class Simulated:
    """n records with the truth about them, in order of time, unit and sensor.

    ``x`` float32 (n, 1, T) holds multiples of 2.5e-5 in ``unit``. ``label`` is 1 for kinds ``machine`` and ``sensor``,
    0 for ``normal`` and ``benign`` (a tap-changer operation on a healthy unit). ``covariates`` maps names to (n,).
    """

    x: NDArray[np.float32]
    sensor: NDArray[np.str_]
    machine: NDArray[np.str_]
    time: NDArray[np.datetime64]
    label: NDArray[np.int16]
    kind: NDArray[np.str_]
    fault_type: NDArray[np.str_]
    severity: NDArray[np.float64]
    covariates: dict[str, NDArray[np.float64]]
    oltc: NDArray[np.bool_]
    fs: float
    preset: str
    unit: str = "g"

    def __len__(self) -> int:
        return len(self.x)


def simulate(
    records: int = 2000,
    units: int = 2,
    sensors: int = 5,
    faults: float | Sequence[float] = 0.05,
    preset: str = "transformer",
    fs: float = 8192,
    seed: int = 0,
    length: int | None = None,
    tap_changes: float | None = None,
    name: str = "",
    scratch: Path | None = None,
) -> Simulated:
    """Records of ``units`` machines with ``sensors`` each, a share ``faults`` of them faulty, or a share for each machine.

    ``length`` samples per record (default: one second). Instants are half an hour apart and follow each other until
    there are ``records`` records; ``preset`` is one of PRESETS: ``transformer-field`` adds worn tap changers,
    electrical interference and records of a wrong sampling rate to the faults of ``transformer``. ``tap_changes`` is the
    share of the instants of a transformer at which its tap changer works (default: 1.2 %). ``name`` goes before the names of
    machines and sensors, so that those of several simulations differ. With ``scratch`` the samples lie in a file of that
    folder, which must outlive the result; memory then does not grow with them.
    """
    length = round(fs) if length is None else length
    _check(records, units, sensors, faults, preset, fs, length, tap_changes)
    instants = -(-records // (units * sensors))
    shape = (units, instants, sensors)
    rng = generator(seed, "faults")
    x = _room(scratch, (instants, units, sensors, length))
    by_unit = np.moveaxis(x, 1, 0)
    if preset == "bearing":
        from vibro.simulate.bearing import run_bearings

        plan = schedule_by_machine(rng, shape, faults, BEARING_MIX, np.ones(shape[:2], bool), 0.0)
        covariates, hours = run_bearings(seed, plan, fs, by_unit)
    else:
        from vibro.simulate.transformer import signals

        plant, state = build_plant(seed, units, sensors), operate(seed, units, instants)
        mix = FIELD_MIX if preset == "transformer-field" else TRANSFORMER_MIX
        plan = schedule_by_machine(
            rng, shape, faults, mix, state.fan, TAP_CHANGES if tap_changes is None else tap_changes
        )
        signals(seed, plant, state, plan, fs, by_unit, 60.0 if preset == "transformer-60hz" else 50.0)
        hours = state.hours
        covariates = {
            "load": state.load,
            "voltage": state.voltage,
            "oil_temp": state.oil,
            "fan": state.fan.astype(float),
        }

    def rows(grid: NDArray[Any]) -> NDArray[Any]:
        """(U, K, S, ...) or (U, K) in order of time, unit and sensor, cut to the wished number."""
        if grid.ndim == 2:
            grid = np.broadcast_to(grid[..., None], shape)
        return np.ascontiguousarray(np.moveaxis(grid, 0, 1).reshape(-1, *grid.shape[3:])[:records])

    x = x.reshape(-1, length)[:records]
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        np.rint(block * np.float32(STEPS_A_UNIT), out=block)
        block[...] = block.astype(np.float64) / STEPS_A_UNIT
        block += np.float32(0)  # no negative zero: text does not keep its sign
        let_go(x)
    fault, oltc = rows(plan.fault), rows(plan.oltc)
    kind = np.where(oltc, "benign", "normal")
    kind = np.where(fault == "", kind, np.where(np.char.startswith(fault, "s_"), "sensor", "machine"))
    unit_of, sensor_of = np.broadcast_arrays(np.arange(units)[:, None, None], np.arange(sensors))
    unit_of, sensor_of = (rows(np.broadcast_to(codes, shape)) for codes in (unit_of, sensor_of))
    time = START + (hours * 3600).astype("timedelta64[s]").astype("timedelta64[ns]")
    return Simulated(
        x=x[:, None, :],
        sensor=np.array([f"{name}U{u + 1}-S{s + 1}" for u, s in zip(unit_of, sensor_of, strict=True)]),
        machine=np.array([f"{name}U{u + 1}" for u in unit_of]),
        time=rows(np.broadcast_to(time[None, :], shape[:2])),
        label=(fault != "").astype(np.int16),
        kind=kind,
        fault_type=fault,
        severity=np.round(rows(plan.severity), 4),
        covariates={name: np.asarray(np.round(rows(grid), 4), np.float64) for name, grid in covariates.items()},
        oltc=oltc,
        fs=float(fs),
        preset=preset,
    )


def _room(scratch: Path | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A place for samples in order of time, unit and sensor: memory, or a file."""
    if scratch is None:
        return np.empty(shape, np.float32)
    return new_map(scratch / "samples.npy", shape)


def _check(
    records: int,
    units: int,
    sensors: int,
    faults: float | Sequence[float],
    preset: str,
    fs: float,
    length: int,
    tap_changes: float | None,
) -> None:
    """ConfigError for arguments that make no sense."""
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}", hint=f"presets: {', '.join(PRESETS)}")
    if min(records, units, sensors) < 1:
        raise ConfigError("records, units and sensors must be at least 1")
    shares = [faults] if isinstance(faults, int | float) else list(faults)
    for share in shares:
        if not 0 <= share <= 0.5:
            raise ConfigError(f"the share of faults must lie in 0..0.5, not {share}")
    if not isinstance(faults, int | float) and len(shares) != units:
        raise ConfigError(
            f"{len(shares)} shares of faults for {units} machines", hint="give one share for all, or one a machine"
        )
    if not fs >= 1000 or length < 64:
        raise ConfigError("a simulated record needs fs of at least 1000 Hz and 64 samples")
    if tap_changes is not None and not 0 <= tap_changes <= 0.5:
        raise ConfigError(f"the share of tap changes must lie in 0..0.5, not {tap_changes}")
    if tap_changes is not None and preset == "bearing":
        raise ConfigError(
            "a bearing has no tap changer", hint="leave --tap-changes out, or choose a transformer preset"
        )
