"""A record under diagnosis: its samples, what is known of it, and the normal records that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vibro.diagnosis.knowledge import Machine
from vibro.diagnosis.levels import Levels, levels, spectrum
from vibro.diagnosis.lines import Array

ENOUGH = 5  # normal records: fewer give no median and no spread
NEGLIGIBLE = 0.05  # of a record's RMS: what is smaller is no finding about the sensor, however rare
PER_TERM = 6  # normal records for each coefficient of a regression
_SPREAD = 1.4826  # median absolute deviation of a normal distribution to its standard deviation


@dataclass(frozen=True)
class Baseline:
    """Normal records of the same sensor: one channel x (b, T) with their shaft speeds ``shaft`` in Hz (b,), NaN = not known.

    ``state`` (b, k) is their operating state less that of the record, in standard deviations.
    """

    x: Array
    shaft: Array = field(default_factory=lambda: np.zeros(0))
    state: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def terms(self) -> Array:
        """(b, p) terms of a regression on the state, the constant first: with squares if the records suffice, or none."""
        state = self.state if len(self.state) == len(self) else np.zeros((len(self), 0))
        for columns in (np.hstack([state, state**2]), state):
            if len(self) >= PER_TERM * (columns.shape[1] + 1):
                return np.column_stack([np.ones(len(self)), columns])
        return np.ones((len(self), 1))

    def expected(self, values: Array) -> tuple[Array, Array]:
        """What values (b, k) let expect at the record's own state (k,), and what is left of each (b, k): median or regression."""
        if self.terms.shape[1] == 1:
            middle = np.median(values, axis=0)
            return middle, values - middle
        fit = np.linalg.lstsq(self.terms, values, rcond=None)[0]
        left = values - self.terms @ fit
        return fit[0], left * np.sqrt(len(values) / (len(values) - self.terms.shape[1]))


@dataclass(frozen=True)
class Case:
    """One channel of a record with all that is known: x (T,), ``fs``, ``shaft`` and ``mains`` in Hz."""

    x: Array
    fs: float
    machine: Machine = field(default_factory=Machine)
    shaft: float | None = None
    mains: float | None = None
    baseline: Baseline | None = None
    unit: str = ""

    @property
    def rotating(self) -> bool:
        """Whether a shaft speed or a fault frequency of a bearing is known."""
        return self.shaft is not None or bool(self.machine.rates(None))

    @property
    def compared(self) -> Baseline | None:
        """The baseline, if it holds enough records to compare with."""
        return self.baseline if self.baseline is not None and len(self.baseline) >= ENOUGH else None

    @cached_property
    def power(self) -> tuple[Array, Array]:
        """Power spectrum (1, k) of the record, and the frequencies in Hz."""
        return spectrum(self.x[None], self.fs)

    @cached_property
    def usual_power(self) -> Array:
        """Power spectra (b, k) of the baseline."""
        return spectrum(self.baseline.x, self.fs)[0] if self.baseline else np.zeros((0, len(self.power[1])))

    @property
    def speeds(self) -> Array:
        """(b,) shaft speed of each normal record over that of this one, 1 where either is not known."""
        assert self.compared is not None
        known = self.compared.shaft
        if self.shaft is None or len(known) != len(self.compared):
            return np.ones(len(self.compared))
        return np.where(np.isfinite(known), known / self.shaft, 1.0)

    def share(self, part: Array) -> float:
        """RMS of a part of the power spectrum (k,) over that of the record."""
        return float(np.sqrt(part.sum() / max(float(self.power[0].sum()), 1e-30)))

    @cached_property
    def mains_levels(self) -> tuple[Levels, Levels]:
        """Levels at the multiples of the mains and between: of the record, and of the baseline."""
        assert self.mains is not None
        return levels(*self.power, self.mains), levels(self.usual_power, self.power[1], self.mains)

    def deviation(self, value: Array, values: Array, least: float) -> tuple[Array, Array]:
        """Difference (k,) to what values (b, k) of the baseline let expect, and the same in robust standard deviations.

        These are taken as ``least`` at least.
        """
        assert self.compared is not None
        middle, left = self.compared.expected(values)
        return value - middle, (value - middle) / robust_spread(left, least)


def robust_spread(left: Array, least: float) -> Array:
    """Standard deviation (k,) of values (b, k) by their median absolute deviation, ``least`` at least."""
    spread = _SPREAD * np.median(np.abs(left - np.median(left, axis=0)), axis=0)
    return np.asarray(np.maximum(spread, max(least, 1e-30)))
