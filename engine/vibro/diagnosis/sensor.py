"""What looks like a fault of the sensor and not of the machine: clipping, dropout, spikes, drift, mount, gain, rate."""

from __future__ import annotations

import numpy as np

from vibro.diagnosis.case import NEGLIGIBLE, Case
from vibro.diagnosis.envelope import envelope, log_level
from vibro.diagnosis.hypothesis import STRONG, WEAK, Finding, Hypothesis
from vibro.diagnosis.levels import LOW_TOP, decibel, log_bands
from vibro.diagnosis.lines import Array, find_lines, strongest_series

FLAT = 0.002  # share of the samples at an extreme value
FEWEST = 3  # of them, since one in a short record is a large share
HELD = 0.01  # share of a record that is one value
SPIKE = 12.0  # robust deviations of a single sample from its neighbours
RISE = 6.0  # dB
PLAIN = 4.0  # robust deviations
STEADY = 1e-3  # probability by chance of a series of lines in the envelope, below which a noise is no steady one
SURE = 3.0  # times the record's own standard deviation and the usual one, from which an offset is beyond doubt
EVEN = 1.5  # dB by which a change of gain may differ between bands
RATES = (0.7, 1.4)
COMB = 3  # multiples of twice the mains that must agree


def sensor_faults(case: Case) -> Finding:
    """Hypotheses on the sensor, its mount, cable and sampling."""
    x = case.x
    if float(np.ptp(x)) == 0:
        return Finding((Hypothesis("sensor: dead", STRONG, ("every sample has the same value",), weight=50),))
    found = [clipping(x), dropout(x), spikes(case), *_against_baseline(case)]
    return Finding(tuple(h for h in found if h is not None))


def clipping(x: Array) -> Hypothesis | None:
    """Many samples at exactly the largest and the smallest value."""
    top, bottom = float(np.mean(x == x.max())), float(np.mean(x == x.min()))
    least = max(FLAT, FEWEST / len(x))
    if max(top, bottom) < least or len(np.unique(x)) < 32:
        return None
    evidence = f"{top:.1%} of the samples at the largest value, {bottom:.1%} at the smallest"
    against = () if min(top, bottom) >= least else ("only one side is flat",)
    return Hypothesis("sensor: clipping", STRONG if not against else WEAK, (evidence,), against, weight=36)


def dropout(x: Array) -> Hypothesis | None:
    """One value is held for a while."""
    change = np.flatnonzero(np.diff(x) != 0)
    edges = np.concatenate([[-1], change, [len(x) - 1]])
    longest = int(np.diff(edges).max())
    usual = float(np.median(np.diff(edges)))
    if longest < max(HELD * len(x), 16, 8 * usual):
        return None
    start = int(edges[np.diff(edges).argmax()]) + 1
    evidence = f"one value ({x[start]:.4g}) is held for {longest} samples, {longest / len(x):.0%} of the record"
    return Hypothesis("sensor: dropout", STRONG, (evidence,), weight=40)


def spikes(case: Case) -> Hypothesis | None:
    """Single samples far from both neighbours, in no ring: electrical interference."""
    x = case.x
    inner = x[1:-1] - (x[:-2] + x[2:]) / 2
    before, after = x[1:-1] - x[:-2], x[1:-1] - x[2:]
    scale = 1.4826 * float(np.median(np.abs(inner - np.median(inner)))) + 1e-30
    alone = (before * after > 0) & (np.minimum(np.abs(before), np.abs(after)) > 0.6 * np.abs(inner))
    beside = np.zeros(len(inner))  # a ring goes on: its later samples stand out as well
    for step in (2, 3, 4):
        beside[:-step] = np.maximum(beside[:-step], np.abs(inner[step:]))
    count = int((alone & (np.abs(inner) > SPIKE * scale) & (beside < 0.25 * np.abs(inner))).sum())
    if count < 2:
        return None
    evidence = f"{count} single samples stand out from both their neighbours"
    if lines := _interfering_lines(case):
        return Hypothesis("sensor: electrical interference", STRONG, (evidence, lines), weight=20)
    return Hypothesis("sensor: spikes", WEAK, (evidence,), ("hard impacts at a low fs look the same",), weight=1)


def _interfering_lines(case: Case) -> str:
    """Risen first and third multiple of the mains, in words."""
    if case.compared is None or not case.mains:
        return ""
    mine, theirs = case.mains_levels
    difference, z = case.deviation(mine.lines[0], theirs.lines, 0.5)
    least = decibel(NEGLIGIBLE**2 * case.power[0].sum(keepdims=True))[0]
    risen = [
        n
        for n in (1, 3)
        if n <= len(difference) and difference[n - 1] >= 3 and z[n - 1] >= 3 and mine.lines[0, n - 1] >= least
    ]
    return ", ".join(f"{n * case.mains:.0f} Hz {difference[n - 1]:+.1f} dB" for n in risen)


def _against_baseline(case: Case) -> list[Hypothesis | None]:
    base = case.compared
    if base is None:
        return []
    (mine, hz), theirs = case.power, case.usual_power
    return [
        drift(case, mine, theirs, hz),
        mount(case, mine, theirs, hz),
        gain(case, mine, theirs, hz),
        wrong_rate(case, mine[0], hz),
        offset(case),
    ]


def drift(case: Case, mine: Array, theirs: Array, hz: Array) -> Hypothesis | None:
    """A slope of energy below 20 Hz, falling with frequency (\"ski slope\")."""
    low = hz <= LOW_TOP
    if low.sum() < 4:
        return None
    difference, z = _changed(case, mine[:, low], theirs[:, low])
    half = hz[low] <= LOW_TOP / 2
    part = mine[0, low]
    falling = part[half].sum() > 1.5 * part[~half].sum()
    if difference < RISE or z < PLAIN or not falling or case.share(part) < NEGLIGIBLE:
        return None
    evidence = f'below {LOW_TOP:g} Hz up by {difference:.1f} dB, falling with frequency ("ski slope")'
    return Hypothesis(
        "sensor: drift or settling",
        STRONG if difference >= 2 * RISE else WEAK,
        (evidence,),
        weight=8 + min(difference, 20),
    )


def mount(case: Case, mine: Array, theirs: Array, hz: Array) -> Hypothesis | None:
    """A loose mount: its resonance falls to 1 to 2.5 kHz; the noise there rises in one hump, steadily.

    Impacts of a rotating machine ring in one hump as well, and where they are dense nothing tells the two apart.
    """
    if hz[-1] < 2600:
        return None
    bands = log_bands(hz, 250, 13)
    middle = [float(np.sqrt(low * high)) for low, high, _ in bands]
    d = np.array([_median_change(mine, theirs, cell) for _, _, cell in bands])
    peak = int(d.argmax())
    below = _changed(case, mine[:, hz < 700], theirs[:, hz < 700])[0]
    cell = bands[peak][2]
    usual = decibel(np.median(theirs[:, cell], axis=1))[:, None]
    z = float(case.deviation(decibel(np.median(mine[:, cell], axis=1)), usual, 0.5)[1][0])
    hump = d[peak] - max(float(np.median(d[: max(1, peak - 3)])), float(np.median(d[min(len(d) - 1, peak + 3) :])))
    if not 900 <= middle[peak] <= 2600 or min(d[peak], hump) < RISE or z < PLAIN or abs(below) > 2.5:
        return None
    if not _steady(case, middle[peak]):
        return None
    evidence = (
        f"noise around {middle[peak]:.0f} Hz up by {d[peak]:.1f} dB in one steady hump, nothing changed below 700 Hz"
    )
    against = ("a bearing, a rub or a flow that excites a resonance looks the same",) if case.rotating else ()
    grade = STRONG if hump >= 8 and not case.rotating else WEAK
    return Hypothesis(
        "sensor: loose mount", grade, (evidence,), against, weight=10 + hump if not case.rotating else 0.7
    )


def gain(case: Case, mine: Array, theirs: Array, hz: Array) -> Hypothesis | None:
    """Every band and the whole changed by the same factor."""
    bands = log_bands(hz, max(5 * hz[0], 20), 10)
    d = np.array([_median_change(mine, theirs, cell) for _, _, cell in bands if cell.sum() >= 8])
    whole, z = _changed(case, mine, theirs)
    if len(d) < 4:
        return None
    common = float(np.median(d))
    spread = float(np.median(np.abs(d - common)))
    if (
        abs(common) < 2
        or abs(z) < PLAIN
        or spread > EVEN / 2
        or abs(whole - common) > 2
        or abs(common) < 3 * spread
        or np.abs(d - common).max() > 3
    ):
        return None
    evidence = (
        f"all of {len(d)} bands changed by {common:+.1f} dB (factor {10 ** (common / 20):.2f}), within {spread:.1f} dB"
    )
    return Hypothesis(
        "sensor: gain",
        STRONG if abs(common) >= 3 else WEAK,
        (evidence,),
        ("the machine's level as a whole would look the same",),
        weight=15,
    )


def wrong_rate(case: Case, power: Array, hz: Array) -> Hypothesis | None:
    """All multiples of the mains moved by one ratio."""
    mains, base = case.mains, case.compared
    if not mains or base is None or COMB * 2 * mains * RATES[1] > hz[-1]:
        return None
    step = hz[0]

    def comb(ratio: float) -> float:
        places = np.rint(2 * mains * ratio * np.arange(1, COMB + 1) / step).astype(int) - 1
        return float(np.mean([decibel(power[max(0, p - 1) : p + 2].sum(keepdims=True))[0] for p in places]))

    here = comb(1.0)
    ratios = np.arange(RATES[0], RATES[1], step / (8 * mains))
    ratios = ratios[np.abs(ratios - 1) > 0.02]
    values = np.array([comb(r) for r in ratios])
    best = int(values.argmax())
    first, usual = (found.lines[:, 1:2] for found in case.mains_levels)
    difference, z = case.deviation(first[0], usual, 0.5)
    if difference[0] > -12 or z[0] > -4 or values[best] < here + 10:
        return None
    evidence = (
        f"the lines at multiples of {2 * mains:g} Hz are gone ({difference[0]:.0f} dB)",
        f"the comb stands at multiples of {2 * mains * ratios[best]:.4g} Hz: {values[best] - here:.0f} dB above its old place",
    )
    return Hypothesis("sensor: wrong sampling rate", STRONG, evidence, weight=38)


def offset(case: Case) -> Hypothesis | None:
    """The mean has moved by more than the signal's size: the usual one, and that of the record itself.

    Of a pressure, a temperature or a flow, whose mean moves as much among normal records, that is no fault of the sensor.
    """
    assert case.compared is not None
    means = case.compared.x.mean(axis=1)
    own, usual = float(case.x.std()), float(np.median(case.compared.x.std(axis=1)))
    size = max(own, usual)
    low, high = np.quantile(means, [0.25, 0.75])
    if (high - low) / 1.349 >= usual:
        return None
    moved, z = case.deviation(np.array([case.x.mean()]), means[:, None], NEGLIGIBLE * size)
    times = abs(float(moved[0])) / size
    if times < 1 or abs(z[0]) < 8:
        return None
    evidence = (
        f"the mean moved by {moved[0]:.4g}: {times:.1f} times the standard deviation of the record or of normal ones"
    )
    return Hypothesis("sensor: offset", STRONG if times >= SURE else WEAK, (evidence,), weight=2)


def _changed(case: Case, mine: Array, theirs: Array) -> tuple[float, float]:
    """dB and robust deviations by which the power as a whole changed."""
    d, z = case.deviation(decibel(mine.sum(axis=1)), decibel(theirs.sum(axis=1))[:, None], 0.5)
    return float(d[0]), float(z[0])


def _median_change(mine: Array, theirs: Array, cell: Array) -> float:
    """dB by which the median power of these frequencies changed: noise and not lines."""
    if not cell.any():
        return 0.0
    before = np.median(np.median(theirs[:, cell], axis=1))
    return float(10 * np.log10(max(float(np.median(mine[:, cell])), 1e-30) / max(float(before), 1e-30)))


def _steady(case: Case, middle: float) -> bool:
    """Whether a band around a frequency in Hz holds a steady noise: no bursts, and on a rotating machine no period."""
    a, rate = envelope(case.x, case.fs, 0.7 * middle, min(1.4 * middle, 0.48 * case.fs))
    if np.mean(a**4) / np.mean(a**2) ** 2 - 2 > 1:
        return False
    series = (
        strongest_series([find_lines(log_level(a), rate)], 6 * case.fs / len(case.x), rate) if case.rotating else None
    )
    return series is None or series.probability >= STEADY
