"""The level as a whole: against the sensor's own baseline, the band that rose most, and the zones of ISO 20816-3."""

from __future__ import annotations

import numpy as np

from vibro.diagnosis.case import Case
from vibro.diagnosis.hypothesis import WEAK, Hypothesis
from vibro.diagnosis.levels import decibel, log_bands

RISE = 3.0  # dB
PLAIN = 4.0  # robust deviations
BANDS = 16
# mm/s RMS, upper ends of zones A, B and C: the lowest limits, of group 2 (15 to 300 kW) on rigid supports, and the highest, of
# group 1 (above 300 kW) on flexible ones. ISO 10816-3:2009 (GB/T 6075.3-2011), whose values ISO 20816-3:2022 tables A.1 and A.2
# keep; read in secondary sources, which agree for these two, and not in the standards themselves.
LOWEST, HIGHEST = (1.4, 2.8, 4.5), (3.5, 7.1, 11.0)
SPEEDS = (10.0, 500.0)  # Hz: from 600 1/min the band is 10 to 1000 Hz, up to 30,000 1/min the standard applies
TO_MM = {"mm/s": 1.0, "m/s": 1e3, "m/s2": 1e3, "g": 9806.65}
ACCELERATIONS = ("m/s2", "g")


def level_rise(case: Case) -> list[Hypothesis]:
    """A rise or fall of the level, and of one band alone; they say that something changed, not what."""
    base = case.compared
    if base is None:
        return []
    (mine, hz), theirs = case.power, case.usual_power
    bands = log_bands(hz, hz[0], BANDS)
    sums = [np.stack([power[:, cell].sum(axis=1) for _, _, cell in bands], axis=1) for power in (mine, theirs)]
    d, z = case.deviation(decibel(sums[0])[0], decibel(sums[1]), 0.5)
    whole, whole_z = case.deviation(decibel(mine.sum(axis=1)), decibel(theirs.sum(axis=1))[:, None], 0.25)
    found = []
    if abs(whole[0]) >= RISE and abs(whole_z[0]) >= PLAIN:
        why = f"RMS {whole[0]:+.1f} dB against the median of {len(base)} normal records ({whole_z[0]:+.1f} robust sd)"
        name = "level: risen" if whole[0] > 0 else "level: fallen"
        found.append(Hypothesis(name, WEAK, (why,), ("a level alone names no cause",), weight=0.5))
    top = int(np.argmax(np.where(z >= PLAIN, d, -np.inf)))
    if d[top] >= 2 * RISE and z[top] >= PLAIN:
        share = 100 * sums[0][0, top] / max(float(mine.sum()), 1e-30)
        why = f"{bands[top][0]:.4g} to {bands[top][1]:.4g} Hz up by {d[top]:.1f} dB ({z[top]:+.1f} robust sd)"
        why += f", now {share:.2g} % of the power"
        found.append(
            Hypothesis("band: risen", WEAK, (why,), ("a resonance that is excited, or a new source",), weight=0.6)
        )
    return found


def velocity_zone(case: Case) -> str:
    """The zone of ISO 20816-3 with all that is assumed, empty where unit, speed or sampling rate do not allow it."""
    if case.unit not in TO_MM or case.shaft is None or case.machine.winding == "transformer":
        return ""
    if not SPEEDS[0] <= case.shaft <= SPEEDS[1] or case.fs < 2500 or len(case.x) < 0.5 * case.fs:
        return ""
    power, hz = case.power
    inside = (hz >= 10) & (hz <= 1000)
    weight = (TO_MM[case.unit] / (2 * np.pi * hz[inside] if case.unit in ACCELERATIONS else 1.0)) ** 2
    velocity = float(np.sqrt((power[0, inside] * weight).sum()))
    strict, mild = ("ABCD"[int(np.searchsorted(limits, velocity))] for limits in (LOWEST, HIGHEST))
    return (
        f"velocity {velocity:.2g} mm/s RMS (10 to 1000 Hz); measured at a bearing housing that is zone {strict} of ISO 20816-3"
        f" for a machine of 15 to 300 kW on rigid supports and zone {mild} for one above 300 kW on flexible supports; which of"
        " them this is, if any, is not known"
    )
