"""One record, its sensor's baseline and what is known of the machine: hypotheses, strongest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.diagnosis.case import ENOUGH, Baseline, Case
from vibro.diagnosis.hypothesis import NONE, Finding, Hypothesis, in_channel, ordered
from vibro.diagnosis.knowledge import SPEEDS, Machine
from vibro.diagnosis.modulation import modulation
from vibro.diagnosis.overall import level_rise, velocity_zone
from vibro.diagnosis.rolling import bearing_faults
from vibro.diagnosis.sensor import sensor_faults
from vibro.diagnosis.shaft import shaft_faults
from vibro.diagnosis.transformer import transformer_faults

NEAREST = 60  # normal records of the most similar operating state
SAMPLES = 1 << 22  # of all these together, about
SHORTEST = 64  # samples


@dataclass(frozen=True)
class Known:
    """What is known about a record besides its samples: fs in Hz, unit, mains found in the run in Hz, machine, shaft in Hz."""

    fs: float
    unit: str = ""
    mains: float | None = None
    machine: Machine = field(default_factory=Machine)
    shaft: float | None = None


@dataclass(frozen=True)
class Diagnosis:
    """Hypotheses (the strongest first), sentences on what could not be judged, and facts that are no hypotheses.

    ``judged`` is False where no rule was tried at all, which ``unsaid`` explains.
    """

    hypotheses: tuple[Hypothesis, ...]
    unsaid: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    judged: bool = True

    @property
    def named(self) -> tuple[Hypothesis, ...]:
        """Those that have evidence."""
        return tuple(h for h in self.hypotheses if h.grade != NONE)


@dataclass(frozen=True)
class Mates:
    """Normal records to compare with: their rows, and their operating state (b, k) less that of the record."""

    rows: list[int]
    state: NDArray[np.float64]


def diagnose(
    x: NDArray[Any],
    known: Known,
    baseline: NDArray[Any] | None = None,
    shafts: NDArray[Any] | None = None,
    state: NDArray[Any] | None = None,
) -> Diagnosis:
    """Hypotheses about a record x (C, T) against normal records of its sensor (b, C, T).

    ``shafts`` (b,) are their speeds in Hz, ``state`` (b, k) their operating state less that of the record, in standard
    deviations. Channels are judged one by one; of one name the strongest counts.
    """
    if not np.isfinite(x).all():
        return Diagnosis((), ("the record holds values that are no numbers",), judged=False)
    if x.shape[1] < SHORTEST:
        return Diagnosis((), (f"the record has {x.shape[1]} samples: too few for any hypothesis",), judged=False)
    machine = known.machine
    found: dict[str, Hypothesis] = {}
    unsaid: list[str] = []
    facts: list[str] = []
    for channel in range(len(x)):
        base = None
        if baseline is not None and len(baseline):
            speeds = np.zeros(0) if shafts is None else np.asarray(shafts, np.float64)
            where = np.zeros((0, 0)) if state is None else np.asarray(state, np.float64)
            base = Baseline(np.asarray(baseline[:, channel], np.float64), speeds, where)
        mains = machine.mains_hz or known.mains
        case = Case(np.asarray(x[channel], np.float64), known.fs, machine, known.shaft, mains, base, known.unit)
        judged = judge(case)
        for h in judged.hypotheses:
            said = in_channel(h, channel) if len(x) > 1 else h
            if h.name not in found or ordered([said, found[h.name]])[0] is said:
                found[h.name] = said
        unsaid += [line for line in judged.unsaid if line not in unsaid]
        for fact in filter(None, (velocity_zone(case), modulation(case))):
            facts.append(f"channel {channel}: {fact}" if len(x) > 1 else fact)
    if baseline is None or len(baseline) < ENOUGH:
        unsaid.append("levels cannot be compared: fewer than five normal records of the sensor")
    return Diagnosis(tuple(ordered(found.values())), tuple(unsaid), tuple(facts))


def judge(case: Case) -> Finding:
    """What the rules that apply to this machine say of one channel."""
    hypotheses: list[Hypothesis] = []
    unsaid: list[str] = []
    families = [sensor_faults]
    if case.machine.winding == "transformer" or (case.machine.winding is None and case.mains and not case.rotating):
        families.append(transformer_faults)
    else:
        families += [bearing_faults, shaft_faults]
    for family in families:
        said = family(case)
        hypotheses += said.hypotheses
        unsaid += said.unsaid
    dead = any(h.name == "sensor: dead" for h in hypotheses)
    return Finding(tuple(hypotheses[:1] if dead else [*hypotheses, *level_rise(case)]), tuple(unsaid))


def mates_of(rows: Sequence[int], row: int, covariates: NDArray[Any], samples: int) -> Mates:
    """Of normal rows those to compare ``row`` with: in the nearest operating states, or evenly spaced where none is known.

    ``covariates`` (n, k), NaN = not given; each is measured in standard deviations of the candidates. ``samples`` of a
    record, all channels, bound their number.
    """
    most = int(np.clip(SAMPLES // max(1, samples), ENOUGH, NEAREST))
    candidates = np.asarray(rows, np.intp)
    state = np.asarray(covariates, np.float64).reshape(len(covariates), -1)
    state = (state[candidates] - state[row]) if len(candidates) else np.zeros((0, 0))
    state = state[:, np.isfinite(state).all(axis=0)]
    state = state[:, state.std(axis=0) > 0] if len(candidates) else state
    if not state.shape[1]:
        chosen = np.unique(np.linspace(0, len(candidates) - 1, min(most, len(candidates))).round().astype(int))
        return Mates(candidates[chosen].tolist(), np.zeros((len(chosen), 0)))
    state = state / state.std(axis=0)
    chosen = np.sort(np.argsort((state**2).sum(axis=1), kind="stable")[:most])
    return Mates(candidates[chosen].tolist(), state[chosen])


def shaft_of(machine: Machine, covariates: Mapping[str, float]) -> float | None:
    """Shaft speed of a record in Hz: its covariate ``rpm``, ``speed`` (1/min) or ``speed_hz``, else that of the machine."""
    for name, per_hz in SPEEDS.items():
        value = covariates.get(name)
        if value is not None and np.isfinite(value) and value > 0:
            return float(value) / per_hz
    return machine.shaft
