"""How deep a record's envelope swings once a revolution."""

from __future__ import annotations

import numpy as np

from vibro.diagnosis.case import Case
from vibro.diagnosis.envelope import SHORTEST, envelope
from vibro.diagnosis.lines import Array

ABOVE = 10  # times shaft speed from which the carrier lies
SLIP = 0.02  # share by which the speed may be off
LEAST_TURNS = 5  # revolutions within a record


def modulation(case: Case) -> str:
    """The modulation depth at shaft speed beside the median of the baseline, empty where speed or length do not allow it."""
    if case.shaft is None or (mine := depth(case.x, case.fs, case.shaft)) is None:
        return ""
    said = f"modulation depth at shaft speed ({case.shaft:.4g} Hz) above {ABOVE * case.shaft:.4g} Hz: {mine:.0%}"
    if (base := case.compared) is None:
        return said
    shafts = case.shaft * case.speeds
    usual = [d for x, s in zip(base.x, shafts, strict=True) if (d := depth(x, case.fs, float(s))) is not None]
    return f"{said}, {np.median(usual):.0%} in the median of {len(usual)} normal records" if usual else said


def depth(x: Array, fs: float, shaft: float, band: tuple[float, float] | None = None) -> float | None:
    """Amplitude of the envelope of x (T,) at ``shaft`` Hz over its mean: m of a carrier times 1 + m cos(2 pi f t).

    The carrier is all above ABOVE times ``shaft`` or what lies in a ``band`` (Hz). None where the record holds too few
    revolutions or the band is too narrow.
    """
    low, high = band or (ABOVE * shaft, 0.48 * fs)
    if len(x) / fs * shaft < LEAST_TURNS or 2 * (high - low) * len(x) / fs < SHORTEST:
        return None
    a, rate = envelope(x, fs, low, high)
    if not a.mean() > 0:
        return None
    window = np.hanning(len(a) + 1)[:-1]
    spectrum = np.abs(np.fft.rfft((a - a.mean()) * window, 4 * len(a))) * 2 / window.sum()
    hz = np.arange(len(spectrum)) * rate / (4 * len(a))
    return float(spectrum[np.abs(hz - shaft) <= max(SLIP * shaft, rate / (4 * len(a)))].max() / a.mean())
