"""Signals of simulated machines on rolling bearings: shaft orders, and impulse trains where a race is damaged.

Fault frequencies are those of a bearing with 9 balls and a ratio of ball to pitch diameter of 0.24 at zero contact
angle: BPFO = 9/2 (1 - 0.24) fr, BPFI = 9/2 (1 + 0.24) fr. Impulses slip by 1 % and ring at 2-4 kHz; an inner race turns
through the load zone, so its train is modulated by the shaft (Randall & Antoni, MSSP 25, 2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import let_go
from vibro.simulate.episodes import Schedule
from vibro.simulate.plant import CADENCE_H, LEVEL, Array, generator
from vibro.simulate.transients import Signal, add_ring, coloured_noise, spoil

BPFO, BPFI = 4.5 * (1 - 0.24), 4.5 * (1 + 0.24)
ORDERS = 6


def run_bearings(seed: int, plan: Schedule, fs: float, out: NDArray[np.float32]) -> tuple[dict[str, Array], Array]:
    """Fills ``out`` (U, K, S, T) with acceleration in g; covariates (U, K) ``load``, ``speed`` (1/min), ``temp``, hours (K,)."""
    units, instants = plan.oltc.shape
    rng = generator(seed, "bearing")
    hours = np.asarray(np.arange(instants) * CADENCE_H)
    load = np.clip(0.6 + 0.2 * np.sin(2 * np.pi * hours / 24) + 0.08 * rng.standard_normal((units, instants)), 0.1, 1.1)
    nominal = rng.uniform(20, 30, (units, 1))
    speed = nominal * (1 - 0.02 * load) * (1 + 0.05 * rng.standard_normal((units, instants)))
    temp = 35 + 20 * load + rng.standard_normal((units, instants))
    for unit in range(units):
        _unit(generator(seed, f"bearing{unit}"), out[unit], plan, unit, load[unit], speed[unit], nominal[unit], fs)
        let_go(out)
    return {"load": load, "speed": 60 * speed, "temp": temp}, hours


def _unit(
    rng: np.random.Generator,
    out: NDArray[np.float32],
    plan: Schedule,
    unit: int,
    load: Any,
    speed: Any,
    nominal: Any,
    fs: float,
) -> None:
    """Fills the records (K, S, T) of one machine."""
    instants, sensors, length = out.shape
    t = np.arange(length) / fs
    order = np.arange(1, ORDERS + 1)
    amplitude = LEVEL * rng.lognormal(0, 0.4, (sensors, ORDERS)) / order * rng.lognormal(0, 0.3, (sensors, 1))
    phase = rng.uniform(0, 2 * np.pi, (sensors, ORDERS))
    noise = LEVEL * rng.lognormal(np.log(0.2), 0.4, (sensors,))
    ring_hz = np.minimum(rng.uniform(2000, 4000, sensors), 0.4 * fs)
    for k in range(instants):
        fault, s = plan.fault[unit, k], plan.severity[unit, k]
        rise = 1 + 3 * np.where(fault == "imbalance", s, 0.0)[:, None] * (order == 1)
        turn = phase + order * rng.uniform(0, 2 * np.pi)
        y = amplitude * rise * (speed[k] / nominal) ** 2 * (1 + 0.03 * rng.standard_normal((sensors, ORDERS)))
        basis = np.exp(2j * np.pi * speed[k] * order[:, None] * t)
        out[k] = ((y * np.exp(1j * turn)) @ basis).real
        out[k] += coloured_noise(rng, noise * (0.7 + 0.5 * load[k]), 0.5 * noise * load[k], length, fs)
        for sensor in np.flatnonzero(s > 0):
            name, severity = str(fault[sensor]), float(s[sensor])
            if name in ("outer_race", "inner_race"):
                strength = 2 * LEVEL * severity * (0.5 + load[k])
                _train(rng, out[k, sensor], name, float(speed[k]), strength, float(ring_hz[sensor]), fs)
            elif name.startswith("s_"):
                number = int(plan.episode[unit, k, sensor])
                out[k, sensor] = spoil(rng, out[k, sensor], name, severity, number, fs, float(noise[sensor]))


def _train(
    rng: np.random.Generator, x: Signal, name: str, speed: float, strength: float, resonance: float, fs: float
) -> None:
    """Adds the impulses of a damaged race to one record."""
    period = 1 / (speed * (BPFO if name == "outer_race" else BPFI))
    start = rng.uniform(0, 1 / speed)
    time = rng.uniform(0, period)
    while time < len(x) / fs:
        zone = 1.0 if name == "outer_race" else max(0.0, float(np.cos(2 * np.pi * speed * (time - start)))) ** 0.5
        add_ring(x, time, strength * zone * rng.lognormal(0, 0.2), resonance, 0.0012, fs)
        time += period * (1 + 0.01 * rng.standard_normal())
