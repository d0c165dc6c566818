"""What a run reports while it works: frozen events that the ``on_event`` hook delivers to observers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class StageStarted(Event):
    """A stage (``ingest``, ``views``, ``fit``, ``score``, ``report``) began; ``total`` tasks, 0 = not known."""

    stage: str
    total: int = 0


@dataclass(frozen=True)
class StageFinished(Event):
    """A stage ended."""

    stage: str
    seconds: float


@dataclass(frozen=True)
class TaskStarted(Event):
    """A task of a stage (one detector, one file) began."""

    stage: str
    task: str


@dataclass(frozen=True)
class TaskProgress(Event):
    """A task has done ``done`` of ``total`` steps."""

    stage: str
    task: str
    done: int
    total: int


@dataclass(frozen=True)
class TaskFinished(Event):
    """A task ended; ``records`` of them were read or scored, 0 = not counted."""

    stage: str
    task: str
    seconds: float
    records: int = 0


@dataclass(frozen=True)
class ViewComputed(Event):
    """A view was computed for all rows, or found in the cache (``cached``)."""

    view: str
    bytes: int
    seconds: float
    cached: bool = False


@dataclass(frozen=True)
class DetectorFailed(Event):
    """A detector failed (``phase`` = ``fit`` or ``score``) or was skipped (``phase`` = ``excluded``)."""

    detector: str
    plugin: str
    phase: str
    error: str


@dataclass(frozen=True)
class DetectorTrained(Event):
    """A detector was trained: its loss after each epoch, taken from ``rows`` fit rows that it has not learned from (0: none)."""

    detector: str
    loss: tuple[float, ...]
    rows: int


@dataclass(frozen=True)
class RunFinished(Event):
    """The run ended with this status: ``complete``, ``failed`` or ``interrupted``."""

    status: str
    seconds: float


class Observer(Protocol):
    """Who is told while the engine works: the plugin host, which passes events on to the ``on_event`` hooks."""

    def emit(self, event: Event) -> None:
        """Passes an event on."""

    def log(self, line: str) -> None:
        """Takes a note for the user."""
