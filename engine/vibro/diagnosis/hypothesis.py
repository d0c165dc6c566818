"""A hypothesis: what a record looks like, how surely, and what speaks for and against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.diagnosis.knowledge import Machine

Array = NDArray[np.float64]
STRONG, WEAK, NONE = "strong", "weak", "none"
GRADES = (STRONG, WEAK, NONE)
_SPREAD = 1.4826  # median absolute deviation of a normal distribution to its standard deviation


@dataclass(frozen=True)
class Mark:
    """A line to be marked in a plot: ``where`` is ``spectrum`` or ``envelope``."""

    hz: float
    text: str
    where: str


@dataclass(frozen=True)
class Hypothesis:
    """What a record may show in a ``channel``.

    ``weight`` orders hypotheses of one grade; ``band`` (Hz) is where the envelope was taken that shows its lines.
    """

    name: str
    grade: str
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    weight: float = 0.0
    band: tuple[float, float] | None = None
    channel: int = 0

    @property
    def table(self) -> dict[str, Any]:
        """The object of ``explain --json``."""
        return {
            "name": self.name,
            "grade": self.grade,
            "evidence": list(self.evidence),
            "against": list(self.against),
        }


@dataclass(frozen=True)
class Baseline:
    """Normal records of the same sensor, one channel (b, T), and their shaft speeds in Hz (b,), NaN = not known."""

    x: Array
    shaft: Array = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.x)


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
    def compared(self) -> Baseline | None:
        """The baseline, if it holds enough records to compare with."""
        return self.baseline if self.baseline is not None and len(self.baseline) >= ENOUGH else None


ENOUGH = 5  # normal records: fewer give no median and no spread


@dataclass(frozen=True)
class Finding:
    """What one family of rules says: hypotheses, and sentences on what it could not judge."""

    hypotheses: tuple[Hypothesis, ...] = ()
    unsaid: tuple[str, ...] = ()


def ordered(found: Iterable[Hypothesis]) -> list[Hypothesis]:
    """The strongest first; among equal grades the one with more weight."""
    return sorted(found, key=lambda h: (GRADES.index(h.grade), -h.weight, h.name))


def in_channel(found: Hypothesis, channel: int) -> Hypothesis:
    """The hypothesis with its evidence said of a channel."""
    told = tuple(f"channel {channel}: {line}" for line in found.evidence)
    return replace(found, evidence=told, channel=channel)


def deviation(value: Array, baseline: Array, least: float) -> tuple[Array, Array]:
    """Difference (k,) to the median of a baseline (b, k), and the same in robust standard deviations of at least ``least``."""
    middle = np.median(baseline, axis=0)
    spread = _SPREAD * np.median(np.abs(baseline - middle), axis=0)
    difference = value - middle
    return difference, difference / np.maximum(spread, least)
