"""Shafts, gears and motors: multiples of the shaft speed in the spectrum, against the sensor's own baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.diagnosis.case import Case
from vibro.diagnosis.hypothesis import STRONG, WEAK, Finding, Hypothesis, Mark
from vibro.diagnosis.levels import decibel
from vibro.diagnosis.lines import MOST, THERE, Array, Lines, find_lines, highest

ORDERS = 10  # shaft orders looked at
RISE = 6.0  # dB
CLEAR = 10.0  # dB
PLAIN = 3.0  # robust deviations
OFF = 0.01  # share by which the stated speed may be off
LEAST_SPREAD = 1.0  # dB
LEAST_TURNS = 4  # revolutions in a record: below, a Hann window does not part the orders
SURE_TURNS = 10  # revolutions from which a shaft fault can be strong: an order is ten cells of the spectrum wide


def shaft_faults(case: Case) -> Finding:
    """Hypotheses on the rotor, its alignment and support, and on gear and motor where they are known."""
    if case.shaft is None:
        return Finding(unsaid=("imbalance, misalignment and looseness cannot be judged: shaft speed (rpm) not given",))
    step = case.fs / len(case.x)
    if case.shaft < LEAST_TURNS * step:
        turns = case.shaft / step
        return Finding(unsaid=(f"shaft orders cannot be judged: the record holds {turns:.1f} revolutions",))
    if case.shaft > 0.45 * case.fs:
        return Finding(unsaid=(f"shaft orders cannot be judged: fs {case.fs:g} Hz is too low for {case.shaft:.4g} Hz",))
    lines = find_lines(case.x, case.fs)
    found, unsaid = [*gear(case, lines)], [*_motor_unsaid(case, lines)]
    if case.compared is None:
        unsaid.append(
            "imbalance, misalignment and looseness cannot be judged: fewer than five normal records of the sensor"
        )
    else:
        orders = np.arange(1, min(ORDERS, int(0.45 * case.fs / case.shaft)) + 1, dtype=np.float64)
        found += [uncertain(h, case.shaft / step) for h in rotor(case, orders, lines)]
        found += motor(case, lines)
    return Finding(tuple(found), tuple(unsaid))


def order_levels(power: Array, hz: Array, shaft: Array, orders: Array) -> Array:
    """Level in dB (n, m) of shaft orders in power spectra (n, k) at their own shaft speeds (n,) in Hz."""
    found = np.empty((len(power), len(orders)))
    for i, speed in enumerate(shaft):
        for j, order in enumerate(orders):
            reach = max(2 * hz[0], OFF * order * speed)
            found[i, j] = power[i, np.abs(hz - order * speed) <= min(reach, 0.25 * speed + hz[0])].sum()
    return decibel(found)


def _changes(case: Case, orders: Array) -> tuple[Array, Array]:
    """Difference in dB and robust deviations of shaft orders to the baseline."""
    assert case.compared is not None and case.shaft is not None
    theirs = case.shaft * case.speeds
    mine = order_levels(*case.power, np.array([case.shaft]), orders)[0]
    return case.deviation(mine, order_levels(case.usual_power, case.power[1], theirs, orders), LEAST_SPREAD)


def standing(lines: Lines, shaft: float, orders: Array) -> NDArray[np.bool_]:
    """(m,) which shaft orders are lines above the noise around them, at the speed near ``shaft`` Hz that fits best."""
    tried = shaft * (1 + OFF * np.linspace(-1, 1, 21))
    ratios = lines.at(tried[:, None] * orders)
    return np.asarray(ratios[highest(np.minimum(ratios, MOST).sum(axis=1))] > THERE)


def rotor(case: Case, orders: Array, lines: Lines) -> list[Hypothesis]:
    """Imbalance raises the first order alone, misalignment the second (or third), looseness many and the half ones.

    An order must be a line: noise or impacts that fill the spectrum raise all of them.
    """
    assert case.shaft is not None
    d, z = _changes(case, orders)
    up = (d >= RISE) & (z >= PLAIN) & standing(lines, case.shaft, orders)
    others = float(np.median(d[1:])) if len(d) > 1 else 0.0
    found = []
    told = ", ".join(f"{order:g}x {change:+.1f} dB" for order, change in zip(orders[:4], d[:4], strict=True))
    if up[0] and d[0] >= others + RISE / 2 and (len(d) < 2 or d[0] > d[1] + 2):
        grade = STRONG if d[0] >= CLEAR and up[1:].sum() == 0 else WEAK
        against = () if not up[1:].any() else (f"{int(up[1:].sum())} higher orders have risen too",)
        why = f"the first shaft order ({case.shaft:.4g} Hz) has risen: {told}"
        found.append(Hypothesis("shaft: imbalance", grade, (why,), against, _marks(case, orders[:1]), 4 + d[0] / 3))
    if len(d) >= 3 and up[1:3].any() and d[1:3].max() > d[0] + 2 and up[3:].sum() <= 1:
        grade = STRONG if d[1:3].max() >= CLEAR else WEAK
        why = f"the second or third shaft order has risen more than the first: {told}"
        against = ("a bent shaft or a coupling looks the same",)
        found.append(
            Hypothesis("shaft: misalignment", grade, (why,), against, _marks(case, orders[1:3]), 4 + d[1:3].max() / 3)
        )
    odd = np.array([0.5, 1.5, 2.5])
    half, half_z = _changes(case, odd)
    half_up = (half >= RISE) & (half_z >= PLAIN) & standing(lines, case.shaft, odd)
    halves = int(half_up.sum()) if case.shaft * len(case.x) / case.fs >= 12 else 0
    if up.sum() >= 5 or halves >= 2:
        evidence = [f"{int(up.sum())} of {len(orders)} shaft orders have risen: {told}"]
        if halves:
            evidence.append(f"{halves} half orders have risen (0.5x, 1.5x, 2.5x)")
        grade = STRONG if up.sum() >= 5 and halves else WEAK
        found.append(Hypothesis("shaft: looseness", grade, tuple(evidence), (), _marks(case, orders[up]), 3 + up.sum()))
    return found


def uncertain(found: Hypothesis, turns: float) -> Hypothesis:
    """A hypothesis from a few revolutions is weak, and comes after what needs no revolutions."""
    if turns >= SURE_TURNS:
        return found
    against = (*found.against, f"the record holds only {turns:.1f} revolutions: its lines are wide and few")
    return replace(found, grade=WEAK, against=against, weight=found.weight * turns / SURE_TURNS)


def gear(case: Case, lines: Lines) -> list[Hypothesis]:
    """A damaged tooth modulates the mesh once a revolution: side bands at shaft speed around the mesh and its double."""
    if not case.machine.teeth or case.shaft is None:
        return []
    mesh = case.machine.teeth * case.shaft
    if mesh * 1.1 > lines.top or case.shaft < 2 * lines.resolution:
        return []
    tried = mesh * (1 + OFF * np.linspace(-1, 1, 81))
    place = float(tried[highest(lines.at(tried))])
    offsets = np.array([-3, -2, -1, 1, 2, 3], np.float64)
    sides = np.concatenate([place + case.shaft * offsets, 2 * place + case.shaft * offsets])
    there = sides[lines.at(sides) > THERE]
    if lines.at(np.array([place]))[0] <= THERE or len(there) < 4:
        return []
    evidence = [
        f"mesh line at {place:.4g} Hz with {len(there)} of {len(sides)} side bands at shaft speed ({case.shaft:.4g} Hz)"
    ]
    against, grade = [], WEAK
    if case.compared is not None:
        d, z = _changes(case, np.concatenate([case.machine.teeth + offsets[1:5]]))
        risen = float(np.median(d))
        evidence.append(f"the side bands are {risen:+.1f} dB against the baseline")
        grade = STRONG if risen >= RISE and np.median(z) >= PLAIN else WEAK
        if risen < RISE:
            against.append("a healthy gear has side bands too, and these have hardly risen")
    else:
        against.append("a healthy gear has side bands too, and there is no baseline to compare with")
    marks = (Mark(place, "gear mesh", "spectrum"), *(Mark(float(hz), "side band", "spectrum") for hz in there))
    return [Hypothesis("gear: damaged tooth", grade, tuple(evidence), tuple(against), marks, 3 + len(there) / 2)]


def motor(case: Case, lines: Lines) -> list[Hypothesis]:
    """Stator and air gap raise twice the mains; broken rotor bars give side bands of the shaft speed at pole passing."""
    if case.machine.winding != "motor" or not case.mains or case.shaft is None:
        return []
    found = []
    d, z = _changes(case, np.array([2 * case.mains / case.shaft]))
    if d[0] >= RISE and z[0] >= PLAIN and lines.at(np.array([2 * case.mains]))[0] > THERE:
        why = f"twice the mains ({2 * case.mains:g} Hz) has risen by {d[0]:.1f} dB"
        mark = (Mark(2 * case.mains, "2 x mains", "spectrum"),)
        found.append(
            Hypothesis("motor: stator or air gap", STRONG if d[0] >= CLEAR else WEAK, (why,), (), mark, 4 + d[0] / 3)
        )
    passing = _pole_passing(case)
    if passing is not None and passing >= 2 * lines.resolution:
        sides = np.concatenate([n * case.shaft + np.array([-passing, passing]) for n in (1, 2, 3)])
        there = sides[lines.at(sides) > THERE]
        change, change_z = _changes(case, sides / case.shaft)
        if len(there) >= 4 and float(np.median(change)) >= RISE and float(np.median(change_z)) >= PLAIN:
            why = f"{len(there)} of 6 side bands at pole passing ({passing:.3g} Hz), {np.median(change):+.1f} dB"
            marks = tuple(Mark(float(hz), "pole passing", "spectrum") for hz in there)
            found.append(Hypothesis("motor: rotor bars", STRONG, (why,), (), marks, 6.0))
    return found


def _pole_passing(case: Case) -> float | None:
    """Slip times poles in Hz; None where poles or mains are not known, or the speed is no motor's."""
    if not case.machine.poles or not case.mains or case.shaft is None:
        return None
    slip = 2 * case.mains / case.machine.poles - case.shaft
    return slip * case.machine.poles if 0 < slip < 0.1 * case.shaft else None


def _motor_unsaid(case: Case, lines: Lines) -> list[str]:
    if case.machine.winding != "motor":
        return []
    if not case.mains:
        return ["electrical faults of the motor cannot be judged: mains_hz not given"]
    passing = _pole_passing(case)
    if passing is None:
        return ["rotor bars cannot be judged: poles, mains_hz and the true speed (below synchronous) are needed"]
    if passing < 2 * lines.resolution:
        need = 2 * 2 / passing
        return [f"rotor bars cannot be judged: side bands {passing:.3g} Hz apart need records of {need:.0f} s"]
    return []


def _marks(case: Case, orders: Array) -> tuple[Mark, ...]:
    assert case.shaft is not None
    return tuple(Mark(float(order * case.shaft), f"{order:g} x shaft", "spectrum") for order in orders)
