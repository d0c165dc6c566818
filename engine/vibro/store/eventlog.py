"""``events.jsonl``: what happened in a run, one JSON object per line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vibro.events import Event, TaskProgress
from vibro.hookspecs import hookimpl
from vibro.io import files
from vibro.store.tables import event_line, json_line


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class EventLog:
    """An observer that appends every event but progress to a file; each line is flushed at once."""

    def __init__(self, path: Path, now: Callable[[], str] = _now) -> None:
        self.path = path
        self._now = now
        self._handle: FileIO | None = None

    def __enter__(self) -> Self:
        with files.disk_errors(self.path):
            self._handle = self.path.open("ab", buffering=0)  # what could not be written does not come later
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            with files.disk_errors(self.path):
                self._handle.close()
            self._handle = None

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Writes the event; progress within a task is left out, it is for terminals."""
        if not isinstance(event, TaskProgress):
            self._append(event_line(event, self._now()))

    def write(self, event: str, **fields: Any) -> None:
        """Writes one line: ``time``, ``event``, then the fields."""
        self._append(json_line({"time": self._now(), "event": event, **fields}))

    def _append(self, line: str) -> None:
        if self._handle is None:
            raise ValueError("the event log is not open")
        with files.disk_errors(self.path):
            self._handle.write(line.encode("utf-8", "backslashreplace"))
