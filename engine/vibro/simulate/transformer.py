"""Signals of simulated transformers: mains harmonics of core and winding through the tank wall, cooling, transients.

Shapes: K instants, S sensors, N harmonics, T samples. The lines follow from magnetostriction, lambda(b) = a2 b^2 + a4 b^4 +
a6 b^6 of the flux, and from the winding force i^2 through a resonance; acceleration weighs line n by n^2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro.data import let_go
from vibro.simulate.episodes import Schedule
from vibro.simulate.plant import CURRENT_HARMONICS, Array, Operation, Plant, generator
from vibro.simulate.transients import add_ring, coloured_noise, rattle, spoil

LINES = 24  # i^2 of an 11th harmonic ends at line 22
REST = 256  # instants after which the pages of a mapped file leave memory
CYCLE = 128  # samples of one mains cycle for the Fourier lines
Complex = NDArray[np.complex128]


def signals(
    seed: int, plant: Plant, state: Operation, plan: Schedule, fs: float, out: NDArray[np.float32], mains: float
) -> None:
    """Fills ``out`` (U, K, S, T) with acceleration in g, not yet quantised."""
    units, instants, _ = plan.fault.shape
    for unit in range(units):
        rng = generator(seed, f"unit{unit}")
        lines = _lines(rng, plant, state, plan, unit, mains)
        lines[..., mains * np.arange(1, LINES + 1) >= 0.5 * fs] = 0
        start = rng.uniform(0, 2 * np.pi, (instants,))
        _synthesise(out[unit], lines, mains + state.mains_shift[unit], start, fs)
        _background(rng, out[unit], plant, state, plan, unit, fs)
        _transients(rng, out[unit], plant, plan, unit, fs, mains)
        let_go(out)


def _lines(
    rng: np.random.Generator, plant: Plant, state: Operation, plan: Schedule, unit: int, mains: float
) -> Complex:
    """(K, S, N) complex lines at every sensor of a unit."""
    fault, s, episode = plan.fault[unit], plan.severity[unit], plan.episode[unit]
    instants, sensors = fault.shape
    n = np.arange(1, LINES + 1)

    bias = 0.18 * np.where(fault == "dc_bias", s, 0).max(axis=1)
    core = _core(plant, unit, state.voltage[unit], bias)[:, None, :] * np.ones((1, sensors, 1))
    even = (n % 2 == 0) & (n >= 4)
    for number in np.unique(episode[fault == "core_loose"]):
        here = (episode == number)[..., None]
        rise = 1 + 2.2 * s[..., None] * even * rng.lognormal(0, 0.3, LINES) + 0.15 * s[..., None] * (n == 2)
        core = np.where(here, core * rise, core)

    loose = np.where(fault == "winding_loose", s, 0.0)[..., None]
    load = state.load[unit][:, None, None]
    resonance = plant.winding_hz[unit] * np.sqrt(1 - 0.65 * loose)
    ratio = mains * n / resonance
    winding = load**2 * _force(plant, unit) / (1 - ratio**2 + 2j * plant.winding_damping[unit] * ratio)
    first = winding[..., 1:2].copy()
    winding = winding + first * loose * (0.35 * (n == 2) + load * (0.5 * (n == 4) + 0.25 * (n == 6) + 0.15 * (n == 1)))

    warm = (state.oil[unit] - 45)[:, None]
    hz = plant.mode_hz[unit] * (1 - 2e-4 * warm[..., None])
    path = np.ones((instants, sensors))
    for number in np.unique(episode[fault == "winding_deform"]):
        here = episode == number
        shift, gain = rng.normal(0, 0.05, hz.shape[1:]), rng.normal(0, 0.6, sensors)
        hz = np.where(here[..., None], hz * (1 + s[..., None] * shift), hz)
        path = np.where(here, np.exp(s * gain), path)
    core *= plant.core_gain[unit]
    winding *= plant.winding_gain[unit]
    for start in range(0, instants, REST):  # some at a time: (k, S, modes, N)
        rows = slice(start, start + REST)
        ratio = (mains * n) / hz[rows, ..., None]
        mode = 1 / (1 - ratio**2 + 2j * plant.mode_damping[unit][..., None] * ratio)
        core[rows] *= (mode * plant.core_weight[unit][..., None]).sum(axis=2)
        winding[rows] *= (mode * plant.winding_weight[unit][..., None]).sum(axis=2) * path[rows, :, None]

    y = (core + winding) * (plant.gain[unit] * (1 - 0.002 * warm))[..., None]
    y = y * (1 + 0.02 * rng.standard_normal(y.shape)) * np.exp(0.02j * rng.standard_normal(y.shape))
    y[..., 0] += plant.pickup[unit] * np.exp(1j * plant.pickup_phase[unit]) * state.voltage[unit][:, None]
    return np.asarray(y)


def _core(plant: Plant, unit: int, voltage: Array, bias: Array) -> Complex:
    """(K, N) lines of the core's acceleration."""
    n = np.arange(1, LINES + 1)
    b = bias[:, None] + plant.flux[unit] * voltage[:, None] * np.sin(2 * np.pi * np.arange(CYCLE) / CYCLE)
    a2, a4, a6 = plant.magnetostriction[unit]
    lines = np.fft.rfft(a2 * b**2 + a4 * b**4 + a6 * b**6, axis=1)[:, 1 : LINES + 1] * 2 / CYCLE
    return lines * (n**2 / 4) * np.exp(-n / 14)


def _force(plant: Plant, unit: int) -> Complex:
    """(N,) lines of the squared current at one per unit of load."""
    angle = 2 * np.pi * np.arange(CYCLE) / CYCLE
    current = np.sin(angle)
    for order, share, phase in zip(CURRENT_HARMONICS, plant.harmonics[unit], plant.harmonic_phase[unit], strict=True):
        current = current + share * np.sin(order * angle + phase)
    return np.asarray(np.fft.rfft(2 * current**2)[1 : LINES + 1] * 2 / CYCLE)


def _synthesise(out: NDArray[np.float32], lines: Complex, mains: Array, phase: Array, fs: float) -> None:
    """Writes the sum of all lines into ``out`` (K, S, T); one instant is one product of matrices."""
    t = np.arange(out.shape[-1]) / fs
    power = np.empty((LINES, len(t)), np.complex64)
    for k in range(len(out)):
        power[0] = np.exp(1j * (2 * np.pi * mains[k] * t + phase[k]))
        for n in range(1, LINES):
            np.multiply(power[n - 1], power[0], out=power[n])
        c = lines[k].astype(np.complex64)
        out[k] = c.real @ power.real - c.imag @ power.imag
        if k % REST == 0:
            let_go(out)


def _background(
    rng: np.random.Generator,
    out: NDArray[np.float32],
    plant: Plant,
    state: Operation,
    plan: Schedule,
    unit: int,
    fs: float,
) -> None:
    """Adds white, pink and flow noise and the lines of fans and pumps."""
    instants, sensors, length = out.shape
    t = np.arange(length) / fs
    faulty = np.where(plan.fault[unit] == "cooling", plan.severity[unit], 0.0)
    running = state.fan[unit][:, None] * np.ones((1, sensors))
    rotor = np.array([plant.fan_hz[unit], plant.fan_hz[unit] * plant.blades[unit]])
    hz = np.concatenate([rotor, plant.pump_hz[unit] * np.array([1.0, 2.0])])
    basis = np.exp(2j * np.pi * hz[:, None] * t).astype(np.complex64)
    amplitude = plant.cooling[unit] * np.stack(
        [running * (1 + 7 * faulty), running * (1 + 7 * faulty)] + 2 * [np.ones_like(running)], axis=-1
    )
    turn = np.exp(2j * np.pi * rng.random(amplitude.shape))
    c = (amplitude * turn).astype(np.complex64)
    flow = plant.noise[unit] * (0.2 + 0.5 * running) * (1 + 2 * faulty)
    for k in range(instants):
        out[k] += c[k].real @ basis.real - c[k].imag @ basis.imag
        out[k] += coloured_noise(rng, plant.noise[unit], flow[k], length, fs)
        if k % REST == 0:
            let_go(out)


def _transients(
    rng: np.random.Generator,
    out: NDArray[np.float32],
    plant: Plant,
    plan: Schedule,
    unit: int,
    fs: float,
    mains: float,
) -> None:
    """Adds tap-changer operations and core rattle, then spoils the records of faulty sensors."""
    for k in np.flatnonzero(plan.oltc[unit]):
        _tap_change(rng, out[k], plant.gain[unit], fs)
    worn = np.where(plan.fault[unit] == "oltc_wear", plan.severity[unit], 0.0).max(axis=1)
    for k in np.flatnonzero(worn):
        _tap_change(rng, out[k], plant.gain[unit], fs, float(worn[k]))
    for k, sensor in np.argwhere(plan.severity[unit] > 0):
        name, s = str(plan.fault[unit, k, sensor]), float(plan.severity[unit, k, sensor])
        if name == "core_loose":
            out[k, sensor] += rattle(rng, out[k, sensor], s, 2 * mains, fs)
        elif name.startswith("s_"):
            number = int(plan.episode[unit, k, sensor])
            out[k, sensor] = spoil(rng, out[k, sensor], name, s, number, fs, plant.noise[unit, sensor], mains)


def _tap_change(rng: np.random.Generator, out: NDArray[np.float32], gain: Array, fs: float, wear: float = 0.0) -> None:
    """Adds 3-8 impacts within 40-250 ms, each ringing at 1-4 kHz for 2-6 ms, to all sensors (S, T).

    Worn contacts (``wear`` up to 1) bounce: up to six more impacts, over up to three times as long, up to 2.5 times as hard.
    """
    length = out.shape[-1]
    impacts = int(rng.integers(3, 9)) + round(6 * wear)
    start = rng.uniform(0.05, 0.7) * length / fs
    times = start + np.sort(rng.uniform(0, rng.uniform(0.04, 0.25) * (1 + 2 * wear), impacts))
    force = (1 + 1.5 * wear) * rng.lognormal(np.log(0.05), 0.4) * rng.lognormal(0, 0.4, impacts)
    for time, strength in zip(times, force, strict=True):
        for sensor in range(len(out)):
            hz = rng.uniform(min(1000, 0.3 * fs), min(4000, 0.45 * fs))
            decay = rng.uniform(0.002, 0.006) / 3
            add_ring(out[sensor], time, strength * gain[sensor] * rng.lognormal(0, 0.3), hz, decay, fs)
