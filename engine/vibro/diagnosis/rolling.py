"""Rolling bearings: series of lines at the fault frequencies in the envelope spectra of a record."""

from __future__ import annotations

from dataclasses import replace
from math import log10

import numpy as np

from vibro.diagnosis.case import ENOUGH, Case
from vibro.diagnosis.envelope import Band, envelope, envelope_bands, log_level
from vibro.diagnosis.hypothesis import NONE, STRONG, WEAK, Finding, Hypothesis, Mark
from vibro.diagnosis.lines import LEAST, ORDERS, Array, Series, find_lines, find_series, side_lines, strongest_series
from vibro.diagnosis.modulation import depth

NAMES = {"outer": "outer race", "inner": "inner race", "ball": "rolling element", "cage": "cage"}
SLIP = 0.02  # share by which a real bearing runs off its geometry
FALSE_WEAK = 1e-3  # probability of a false alarm per record, all bands and frequencies together
FALSE_STRONG = 1e-6
SLOWEST = 1.0  # Hz, of an unknown series of impacts
DEEPER = 1.5  # times the modulation of normal records, from which impacts once a revolution are said: 3.5 dB


def bearing_faults(case: Case) -> Finding:
    """Hypotheses on the bearing, and on impacts of any other rate where no fault frequency is known."""
    rates = case.machine.rates(case.shaft)
    bands = envelope_bands(case.x, case.fs)
    if not rates:
        return _without_rates(case, bands)
    found, unsaid = [], []
    for part, hz in rates.items():
        best, band = _best(bands, hz, len(rates))
        if best is None or band is None:
            periods = len(case.x) / case.fs * hz
            why = (
                f"the record holds {periods:.1f} of its periods"
                if periods < 3 * LEAST
                else "fs is too low for three lines"
            )
            unsaid.append(f"{NAMES[part]} at {hz:.4g} Hz cannot be judged: {why}")
            continue
        found.append(_hypothesis(case, part, hz, best, band))
    found.sort(key=lambda h: -h.weight)
    beside = (_beside(h, found[0]) for h in found[1:])
    return Finding((*found[:1], *beside, *_once_a_revolution(case, bands)), tuple(unsaid))


def _best(bands: list[Band], hz: float, others: int) -> tuple[Series | None, Band | None]:
    """The least likely series of a fault frequency in any band, and that band."""
    best: tuple[Series | None, Band | None] = (None, None)
    for band in bands:
        series = find_series(band.lines, hz, SLIP, trials=len(bands) * others)
        if series is not None and (best[0] is None or series.probability < best[0].probability):
            best = series, band
    return best


def _hypothesis(case: Case, part: str, hz: float, series: Series, band: Band) -> Hypothesis:
    there = series.there
    grade = NONE
    if series.probability < FALSE_WEAK and len(there) >= 2:
        grade = STRONG if series.probability < FALSE_STRONG and len(there) >= LEAST else WEAK
    if grade == NONE:
        lines = f"{len(there)} of {len(series.ratios)} lines at {hz:.4g} Hz and its multiples: no more than noise gives"
        return Hypothesis(f"bearing: {NAMES[part]}", NONE, against=(lines,), weight=_weight(series))
    evidence = [
        f"{len(there)} lines at {series.hz:.4g} Hz and its multiples ({_listed(there)}) in the envelope of"
        f" {band.low:.0f} to {band.high:.0f} Hz; expected {hz:.4g} Hz, noise alone: p {series.probability:.0e}"
    ]
    against = []
    name, spacing = _spacing(case, part)
    marks = [Mark(n * series.hz, f"{n} x {NAMES[part]}", "envelope") for n in there]
    if spacing:
        sides = side_lines(band.lines, series, spacing)
        if len(sides) >= 2:
            evidence.append(f"side bands at {name} speed ({spacing:.4g} Hz): {_frequencies(sides)}")
            marks += [Mark(side, f"side band, {name}", "envelope") for side in sides]
        else:
            against.append(f"no side bands at {name} speed ({spacing:.4g} Hz)")
    if case.compared is not None:
        grade = _against_normals(case, hz, band, grade, against)
    if 1 not in there:
        against.append(f"no line at {series.hz:.4g} Hz itself")
    for other, place in case.machine.rates(case.shaft).items():
        if other != part and abs(series.hz - place) < max(band.lines.resolution, SLIP * place):
            against.append(f"this record is too short to tell it from {NAMES[other]} ({place:.4g} Hz)")
            grade = WEAK
    multiple = round(series.hz / case.shaft) if case.shaft else 0
    if case.shaft and multiple and abs(series.hz - multiple * case.shaft) < band.lines.resolution:
        against.append(f"this record is too short to tell it from {multiple} times the shaft speed")
    return Hypothesis(
        f"bearing: {NAMES[part]}",
        grade,
        tuple(evidence),
        tuple(against),
        tuple(marks),
        _weight(series),
        (band.low, band.high),
    )


def _against_normals(case: Case, hz: float, band: Band, grade: str, against: list[str]) -> str:
    """The grade once normal records of the sensor were searched in the same band; they are told where they show it too."""
    assert case.compared is not None
    step = max(1, len(case.compared) // ENOUGH)
    looked = case.compared.x[::step][:ENOUGH]
    same = 0
    for x, speed in zip(looked, case.speeds[::step], strict=False):
        a, rate = envelope(x, case.fs, band.low, band.high)
        series = find_series(find_lines(log_level(a), rate), hz * float(speed), SLIP)
        same += series is not None and series.probability < FALSE_WEAK and len(series.there) >= 2
    if same:
        against.append(f"{same} of {len(looked)} normal records of the sensor show it too")
    return WEAK if same == len(looked) else grade


def _beside(found: Hypothesis, first: Hypothesis) -> Hypothesis:
    """A second part of the bearing is at most weak: the lines of one series fall near those of another."""
    if found.grade == NONE:
        return found
    return replace(found, grade=WEAK, against=(*found.against, f"the lines of {first.name} are stronger"))


def _spacing(case: Case, part: str) -> tuple[str, float | None]:
    """What modulates the impacts: an inner race turns through the load zone, a rolling element goes round with the cage."""
    if part == "inner":
        return "shaft", case.shaft
    if part == "ball":
        return "cage", case.machine.rates(case.shaft).get("cage")
    return "", None


def _once_a_revolution(case: Case, bands: list[Band]) -> list[Hypothesis]:
    """Impacts at shaft speed that normal records of the sensor do not show: every rotor modulates a little."""
    series, band = _best(bands, case.shaft, 1) if case.shaft and case.compared is not None else (None, None)
    if series is None or band is None or series.probability >= FALSE_STRONG or series.there[:1] != [1]:
        return []
    against = ["looseness, a rub and a damaged tooth strike once a revolution, and imbalance modulates as often"]
    if len(series.there) < LEAST or _against_normals(case, series.hz, band, STRONG, against) != STRONG:
        return []
    if not _deeper(case, series.hz, band):
        return []
    evidence = (
        f"{len(series.there)} lines at shaft speed ({series.hz:.4g} Hz) and its multiples in the envelope of"
        f" {band.low:.0f} to {band.high:.0f} Hz; noise alone: p {series.probability:.0e}"
    )
    marks = tuple(Mark(n * series.hz, f"{n} x shaft", "envelope") for n in series.there)
    name = "shaft: impacts once a revolution"
    return [Hypothesis(name, WEAK, (evidence,), tuple(against), marks, 1.0, (band.low, band.high))]


def _deeper(case: Case, hz: float, band: Band) -> bool:
    """Whether the band swings more at this rate than in normal records, or the record is too short to say."""
    assert case.compared is not None
    place = (band.low, band.high)
    mine = depth(case.x, case.fs, hz, place)
    usual = [depth(x, case.fs, hz * float(speed), place) for x, speed in zip(case.compared.x, case.speeds, strict=True)]
    known = [d for d in usual if d is not None]
    return mine is None or not known or mine >= DEEPER * float(np.median(known))


def _without_rates(case: Case, bands: list[Band]) -> Finding:
    """No fault frequency is known: the rate of the impacts, if there are any, and what is missing to name them."""
    missing = "bearing geometry" if case.shaft else "shaft speed and bearing geometry (or bpfo, bpfi, bsf, ftf)"
    if case.shaft is None and case.machine.balls:
        missing = "shaft speed"
    spectra = [band.lines for band in bands]
    low = max(SLOWEST, 6 * case.fs / len(case.x))
    series = strongest_series(spectra, low, case.fs / 4)
    said = (f"bearing parts cannot be told apart: {missing} not given in the sensor table",)
    if series is None or series.probability > FALSE_STRONG or len(series.there) < LEAST:
        return Finding(unsaid=said)
    if known := _known(case, series.hz, max(lines.resolution for lines in spectra)):
        turns = tuple(_once_a_revolution(case, bands))
        return Finding(turns, (*said, f"the envelope repeats at {series.hz:.4g} Hz, {known}"))
    evidence = (
        f"{len(series.there)} lines at {series.hz:.4g} Hz and its multiples ({_listed(series.there)}) in the envelope"
    )
    marks = tuple(Mark(n * series.hz, f"{n} x {series.hz:.4g} Hz", "envelope") for n in series.there)
    text = f"{evidence}; noise alone: p {series.probability:.0e}"
    multiples: Array = series.hz * np.arange(1.0, ORDERS + 1)
    band = max(bands, key=lambda b: float(b.lines.at(multiples).sum()))
    return Finding(
        (Hypothesis("repeating impacts", WEAK, (text,), said, marks, _weight(series), (band.low, band.high)),), said
    )


def _known(case: Case, hz: float, resolution: float) -> str:
    """Why a periodicity needs no fault: a multiple of the mains or of the shaft speed, as far as the record can tell."""
    for name, base in (("the mains", case.mains), ("the shaft speed", case.shaft)):
        if base and round(hz / base) >= 1:
            near = max(SLIP * base, min(resolution / 2, 0.1 * base))
            if abs(hz - round(hz / base) * base) < near:
                return f"{round(hz / base)} times {name}"
    return ""


def _weight(series: Series) -> float:
    """Decimal places of the probability, at most 30."""
    return -log10(max(series.probability, 1e-30))


def _listed(numbers: list[int]) -> str:
    return ", ".join(f"{n}x" for n in numbers)


def _frequencies(hz: list[float]) -> str:
    return ", ".join(f"{f:.4g}" for f in hz) + " Hz"
