"""Transformers and other wound cores: multiples of the mains, the noise between them and impacts, against the baseline.

Signatures: core vibration goes with even multiples, and higher ones when clamps are loose; a loose winding moves its
resonance down; direct current in the neutral brings odd multiples; cooling adds flow noise and the lines of its rotors; a
tap changer gives a few impacts that ring above 1 kHz.
"""

from __future__ import annotations

import numpy as np

from vibro.diagnosis.case import NEGLIGIBLE, Case, robust_spread
from vibro.diagnosis.envelope import envelope
from vibro.diagnosis.hypothesis import NONE, STRONG, WEAK, Finding, Hypothesis, Mark
from vibro.diagnosis.lines import Array

PLAIN = 3.0  # robust deviations from which a line has changed
CLEAR = 6.0  # from which it has changed beyond doubt
RISE = 3.0  # dB
BEYOND = 1.5  # times the usual deviation of normal records, from which a winding is named
OVER = 6.0  # dB above the noise under it, from which a line is one, in the record or usually
LEAST_SPREAD = 0.5  # dB: a baseline is no steadier than that
IMPACT_BAND = (1000.0, 4000.0)  # Hz, where tap changers ring
IMPACT = 6.0  # times the envelope's median
APART = 0.004  # s between two impacts
USUAL_IMPACTS, USUAL_SPAN = 8, 0.25  # of a healthy operation: 3 to 8 impacts within 40 to 250 ms


class Changes:
    """Lines and noise of a record against its baseline: differences in dB and robust deviations."""

    def __init__(self, case: Case, mains: float) -> None:
        assert case.compared is not None
        self.mains = mains
        self.base = case.compared
        self.mine, self.theirs = case.mains_levels
        self.line, self.line_z = case.deviation(self.mine.lines[0], self.theirs.lines, LEAST_SPREAD)
        self.floor, self.floor_z = case.deviation(self.mine.floors[0], self.theirs.floors, LEAST_SPREAD)
        self.low, self.low_z = (float(v[0]) for v in case.deviation(self.mine.low, self.theirs.low[:, None], 1.0))
        self.number = np.arange(1, len(self.line) + 1)
        over = self.mine.lines[0] - self.mine.under[0], np.median(self.theirs.lines - self.theirs.under, axis=0)
        self.there = np.maximum(*over) >= OVER

    def usual(self, numbers: Array) -> float:
        """The mean deviation of these lines that one in twenty of the baseline's own records exceeds."""
        left = self.base.expected(self.theirs.lines[:, numbers - 1])[1]
        own = np.abs(left) / robust_spread(left, LEAST_SPREAD)
        return float(np.quantile(np.minimum(own, 2 * CLEAR).mean(axis=1), 0.95))

    def floors_between(self, low: float, high: float) -> Array:
        """Differences of the noise bands whose middle lies between two frequencies in Hz."""
        edges = self.mine.floor_hz
        middle = np.sqrt(edges[:-1] * edges[1:])
        return self.floor[(middle >= low) & (middle <= high)]

    def told(self, numbers: Array) -> str:
        """Lines with their change, in words."""
        return ", ".join(f"{n * self.mains:.0f} Hz {self.line[n - 1]:+.1f} dB" for n in numbers.astype(int))

    def marks(self, numbers: Array) -> tuple[Mark, ...]:
        """The same lines for the spectrum."""
        return tuple(Mark(float(n * self.mains), f"{n} x mains", "spectrum") for n in numbers.astype(int))


def transformer_faults(case: Case) -> Finding:
    """Hypotheses on core, winding, direct current, cooling and tap changer."""
    mains = case.mains
    if not mains:
        return Finding(unsaid=("core and winding cannot be judged: no mains comb found and no mains_hz given",))
    found = [tap_changer(case)]
    if case.compared is None:
        said = "core and winding cannot be judged: fewer than five normal records of the sensor to compare with"
        return Finding(tuple(h for h in found if h.grade != NONE), (said,))
    if 0.45 * case.fs < 8 * mains:
        said = f"core and winding cannot be judged: fs {case.fs:g} Hz holds too few multiples of {mains:g} Hz"
        return Finding(tuple(h for h in found if h.grade != NONE), (said,))
    change = Changes(case, mains)
    found += [core(change), direct_current(change), winding(change), cooling(change)]
    return Finding(tuple(found))


def core(c: Changes) -> Hypothesis:
    """Loose clamps: even multiples from the 4th rise together, higher ones more, 100 Hz hardly; rattle fills the noise."""
    name = "core: loose clamping"
    even = c.number[(c.number % 2 == 0) & (c.number >= 4) & (c.number <= 20)]
    risen = even[(c.line[even - 1] >= RISE) & (c.line_z[even - 1] >= PLAIN) & c.there[even - 1]]
    odd = c.number[(c.number % 2 == 1) & (c.number <= 11)]
    middle, share = float(np.median(c.line[even - 1])), len(risen) / len(even)
    rattle = c.floors_between(600, 1800)
    against = []
    if c.line[1] > middle:
        against.append(f"{2 * c.mains:.0f} Hz itself rose more ({c.line[1]:+.1f} dB)")
    if np.median(c.line[odd - 1]) > middle:
        against.append("odd multiples rose as much")
    if share < 0.5 or middle < RISE or len(against) == 2:
        said = f"{len(risen)} of {len(even)} even multiples from {4 * c.mains:.0f} Hz up have risen"
        return Hypothesis(name, NONE, against=(said, *against), weight=share)
    evidence = [f"{len(risen)} of {len(even)} even multiples of the mains have risen, median {middle:+.1f} dB"]
    evidence.append(c.told(risen[:6]))
    rattles = len(rattle) > 0 and float(rattle.max()) >= RISE
    if rattles:
        evidence.append(f"noise between the lines at 0.6 to 1.8 kHz up by {rattle.max():.1f} dB: rattle")
    else:
        against.append("no rattle: the noise at 0.6 to 1.8 kHz has not risen")
    strong = share >= 0.6 and float(np.median(c.line_z[risen - 1])) >= CLEAR and (rattles or not against[1:])
    return Hypothesis(
        name, STRONG if strong else WEAK, tuple(evidence), tuple(against), c.marks(risen), 10 * share + middle / 3
    )


def direct_current(c: Changes) -> Hypothesis:
    """Half-cycle saturation by direct current: odd multiples appear while even ones and the noise stay."""
    name = "core: DC bias"
    odd = c.number[(c.number % 2 == 1) & (c.number >= 3) & (c.number <= 9)]
    even = c.number[(c.number % 2 == 0) & (c.number <= 10)]
    over = c.mine.lines[0] - c.mine.under[0]  # a line must stand above the noise that it grew out of
    risen = odd[(c.line[odd - 1] >= 2 * RISE) & (c.line_z[odd - 1] >= PLAIN) & (over[odd - 1] >= 2 * RISE)]
    noise, others = float(np.median(c.floor)), float(np.median(c.line[even - 1]))
    if not len(risen) or c.line[risen - 1].max() < others + 2 * RISE:
        return Hypothesis(name, NONE, against=("odd multiples of the mains have not risen above the even ones",))
    against = [f"{5 * c.mains:.0f} Hz has not risen"] if 5 not in risen else []
    if noise >= RISE / 2:
        against.append(f"the noise between the lines rose too ({noise:+.1f} dB): interference does that")
    evidence = (f"odd multiples of the mains have risen: {c.told(risen)}; even ones {others:+.1f} dB",)
    strong = c.line[risen - 1].max() >= 10 and not against
    return Hypothesis(
        name, STRONG if strong else WEAK, evidence, tuple(against), c.marks(risen), float(c.line[risen - 1].max()) / 2
    )


def winding(c: Changes) -> Hypothesis:
    """Loosening: the winding's resonance falls, so that it answers less to the even multiples above it, which fall together,
    and no less, or more, to the lowest two; deformation: some of each.

    Named only if the even multiples lie together half as far again from the baseline as one in twenty of its own records.
    """
    even = c.number[(c.number % 2 == 0) & (c.number <= 16)]
    d, z = c.line[even - 1], c.line_z[even - 1]
    changed = even[(np.abs(d) >= 2) & (np.abs(z) >= PLAIN) & c.there[even - 1]]
    noise = float(np.max(np.abs(c.floor[len(c.floor) // 2 :])))
    usual = c.usual(even)
    distance = float(np.mean(np.minimum(np.abs(z), 2 * CLEAR)))
    if not len(changed) or distance <= BEYOND * usual:
        said = f"{len(changed)} of {len(even)} even multiples have changed, together little more than in normal records"
        return Hypothesis("winding: deformation", NONE, against=(said,), weight=len(changed))
    falls, low, high = changed[c.line[changed - 1] < 0], changed[changed <= 4], changed[changed > 4]
    moved = np.all(np.diff(np.sign(c.line[changed - 1])) <= 0) and not np.any(
        falls <= 4
    )  # up below the resonance, down above
    risen = len(low) > 0 and c.line[low - 1].max() >= RISE and np.all(c.line[high - 1] < 0)
    loose = bool(moved and (len(falls) >= 2 or risen))
    name = "winding: loose clamping" if loose else "winding: deformation"
    if loose:
        evidence = [f"higher multiples down, the lowest two not: {c.told(changed[:6])}: a resonance has moved down"]
    else:
        evidence = [f"even multiples changed, up and down: {c.told(changed[:6])}"]
    against = []
    if np.all(c.line[changed - 1] > 0) and not loose:
        against.append("all changes are rises")
    if np.all(c.line[changed - 1] < 0) and not loose:
        against.append("all changes are falls")
    if noise >= RISE:
        against.append(f"the noise between the lines changed as well ({noise:.1f} dB)")
    strong = len(changed) >= 3 and float(np.median(np.abs(c.line_z[changed - 1]))) >= CLEAR - 2 and not against
    weight = len(changed) + float(np.median(np.abs(c.line_z[changed - 1]))) / 4
    return Hypothesis(name, STRONG if strong else WEAK, tuple(evidence), tuple(against), c.marks(changed), weight)


def cooling(c: Changes) -> Hypothesis:
    """Fans and pumps: flow noise of 0.3 to 1.5 kHz and the lines of the rotor below twice the mains."""
    name = "cooling: fan or pump"
    flow, above = c.floors_between(350, 1400), c.floors_between(2000, 1e9)
    rise = float(np.median(flow)) if len(flow) else 0.0
    quiet = float(np.median(above)) if len(above) else 0.0
    rotor = c.low >= RISE and c.low_z >= PLAIN
    if rise < RISE - 1 or rise < quiet + 2 or not rotor:
        return Hypothesis(name, NONE, against=(f"flow noise {rise:+.1f} dB, below 20 Hz {c.low:+.1f} dB",), weight=rise)
    evidence = (
        f"noise at 0.3 to 1.5 kHz up by {rise:.1f} dB, above 2 kHz by {quiet:.1f} dB",
        f"rotor lines below 20 Hz up by {c.low:.1f} dB",
    )
    even = float(np.median(c.line[3:20:2]))
    against = (f"even multiples of the mains rose as well ({even:+.1f} dB)",) if even >= RISE else ()
    return Hypothesis(name, STRONG if rise >= RISE and not against else WEAK, evidence, against, weight=10 + rise)


def tap_changer(case: Case) -> Hypothesis:
    """A few impacts above 1 kHz within a short time are an operation; more of them or longer, worn contacts."""
    name = "tap changer: operation"
    times = impacts(case)
    seconds = len(case.x) / case.fs
    span = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    if len(times) < 3 or span > 0.75 * seconds or len(times) / max(span, 0.02) < 6:
        return Hypothesis(name, NONE, against=(f"{len(times)} impacts above 1 kHz",))
    evidence = f"{len(times)} impacts above 1 kHz within {1000 * span:.0f} ms"
    if len(times) <= USUAL_IMPACTS and span <= USUAL_SPAN:
        normal = "a healthy operation gives 3 to 8 impacts within 40 to 250 ms: no fault by itself"
        return Hypothesis(name, WEAK, (evidence,), (normal,), weight=6)
    usual = f"a healthy operation gives at most {USUAL_IMPACTS} within {1000 * USUAL_SPAN:.0f} ms"
    return Hypothesis("tap changer: wear", STRONG if len(times) > USUAL_IMPACTS else WEAK, (evidence, usual), weight=12)


def impacts(case: Case) -> Array:
    """Times in s of the impacts above 1 kHz."""
    from scipy.signal import find_peaks

    high = min(IMPACT_BAND[1], 0.48 * case.fs)
    if high < 1.5 * IMPACT_BAND[0]:
        return np.zeros(0)
    a, rate = envelope(case.x, case.fs, IMPACT_BAND[0], high)
    least = max(IMPACT * float(np.median(a)), NEGLIGIBLE * float(case.x.std()), 1e-12)
    place, _ = find_peaks(a, height=least, distance=max(1, round(APART * rate)))
    return np.asarray(place / rate, np.float64)
