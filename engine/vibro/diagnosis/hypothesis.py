"""A hypothesis: what a record looks like, how surely, and what speaks for and against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

STRONG, WEAK, NONE = "strong", "weak", "none"
GRADES = (STRONG, WEAK, NONE)


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
            "marks": [asdict(mark) for mark in self.marks],
        }


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
