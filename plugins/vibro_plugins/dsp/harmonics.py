"""The mains comb of a record: its fundamental and the power of its lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.dsp.spectrum import Rows, ratio

FAMILIES = (50.0, 60.0)
HALF_RANGE = 0.5  # Hz, the grid frequency may be off by this much
STEP = 0.05  # Hz between candidates
LINES = 40
SEEN_LINES = 20  # lines by which a comb is recognised
SHORTEST = 0.2  # s; shorter records do not resolve the floor between the lines


class Comb:
    """Lines at n f0, n = 1..40, in power spectra of one sampling rate and length.

    A line's power is the sum over its Hann main lobe, two bins to each side or 1 Hz if that is more, so that it does not
    depend on where the line falls between two bins. ``lines``: number below 0.9 Nyquist; 0 where no comb is resolved.
    """

    def __init__(self, family: float, fs: float, length: int) -> None:
        self.family = family
        self.resolution = fs / length
        self.half_width = max(2, round(1.0 / self.resolution))
        reachable = int(0.45 * fs / (family + HALF_RANGE))
        self.lines = 0 if length < SHORTEST * fs or reachable < 2 else min(reachable, LINES)

    def fundamental(self, power: Rows) -> Rows:
        """f0 (rows,) in Hz from power spectra (rows, bins): the best of a grid, refined by the lines' centres of gravity.

        For lines at f_n of power P_n the least-squares fundamental is sum n P_n f_n / sum n^2 P_n.
        """
        total = running_sum(power)
        grid = self.family + np.arange(-HALF_RANGE, HALF_RANGE + STEP / 2, STEP)
        strength = np.stack([self.power(total, np.full(len(power), f)).sum(axis=1) for f in grid], axis=1)
        f0 = grid[np.argmax(strength, axis=1)]
        moment = running_sum(power * np.arange(power.shape[1]))
        n = np.arange(1, self.lines + 1)
        for _ in range(2):
            line = self.power(total, f0)
            centre = self.power(moment, f0) * self.resolution
            f0 = ratio((n * centre).sum(axis=1), (n**2 * line).sum(axis=1), self.family)
            f0 = np.clip(f0, self.family - HALF_RANGE, self.family + HALF_RANGE)
        return f0

    def power(self, running: Rows, f0: Rows, shift: float = 0.0) -> Rows:
        """Power (rows, lines) around (n + shift) f0, from the running sum of a spectrum."""
        n = np.arange(1, self.lines + 1) + shift
        centre = np.round(n * f0[:, None] / self.resolution).astype(np.intp)
        last = running.shape[1] - 1
        high = np.take_along_axis(running, np.minimum(centre + self.half_width + 1, last), axis=1)
        low = np.take_along_axis(running, np.clip(centre - self.half_width, 0, last), axis=1)
        return np.maximum(high - low, 0.0)

    def bands(self, power: Rows, f0: Rows) -> Rows:
        """Power (rows, lines) in bands of width f0 centred on the lines."""
        edges = np.round((np.arange(self.lines + 1) + 0.5) * f0[:, None] / self.resolution).astype(np.intp)
        running = running_sum(power)
        return np.diff(np.take_along_axis(running, np.minimum(edges, running.shape[1] - 1), axis=1), axis=1)

    def presence(self, power: Rows) -> tuple[Rows, Rows]:
        """Evidence of a comb in each spectrum (rows,): share of the lines present, and share of power.

        A line is present if it has four times the power half a line spacing to either side; the share of power is that
        of the lines against lines and the places between them.
        """
        running = running_sum(power)
        f0 = self.fundamental(power)
        line = self.power(running, f0)[:, :SEEN_LINES]
        above, below = (self.power(running, f0, shift)[:, :SEEN_LINES] for shift in (0.5, -0.5))
        counted = (line > 4 * np.maximum(above, below)).mean(axis=1)
        return counted, ratio(line.sum(axis=1), (line + above).sum(axis=1))


def find_family(power: Rows, fs: float, length: int) -> float:
    """50 or 60, whichever comb at least half of the spectra show; 0 without one.

    Shown means: at least a quarter of the lines stand out and the comb holds 0.8 of the power at and between lines.
    """
    best, family = 0.0, 0.0
    for candidate in FAMILIES:
        comb = Comb(candidate, fs, length)
        if not comb.lines:
            continue
        counted, share = (np.median(values) for values in comb.presence(power))
        if counted >= 0.25 and share >= 0.8 and counted * share > best:
            best, family = counted * share, candidate
    return family


def line_powers(comb: Comb, power: Rows) -> tuple[Rows, Rows]:
    """f0 (rows,) and the lines' power (rows, 40), 0 where a line lies beyond 0.9 Nyquist."""
    f0 = comb.fundamental(power)
    lines = np.zeros((len(power), LINES))
    lines[:, : comb.lines] = comb.power(running_sum(power), f0)
    return f0, lines


def running_sum(power: Rows) -> NDArray[np.float64]:
    """Sums of the first 0, 1, 2 ... bins."""
    running = np.zeros((len(power), power.shape[1] + 1))
    np.cumsum(power, axis=1, out=running[:, 1:])
    return running
