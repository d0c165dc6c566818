"""Progress of a run on stderr: live on a terminal, else plain lines, JSON lines with ``--json``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vibro import hookimpl
from vibro.cli.console import clean, dumps, rich_console, shown, told

if TYPE_CHECKING:
    from vibro.events import Event, TaskProgress
    from vibro.host.manager import PluginHost


@contextmanager
def progress(host: PluginHost) -> Iterator[None]:
    """Shows the events of the host's runs while the body works."""
    observer = Progress()
    host.observe(observer, "terminal")
    try:
        yield
    finally:
        observer.close()


class Progress:
    """Observer of a run's events: ``live`` bars, by default on a terminal, else plain lines, JSON lines with ``--json``."""

    def __init__(self, live: bool | None = None) -> None:
        self._bars_wanted = sys.stderr.isatty() if live is None else live
        self._live: Any = None
        self._bars: dict[str, Any] = {}
        self._running: dict[str, dict[str, str]] = {}  # stage -> its running tasks and how far each is
        self._counts: dict[str, list[int]] = {}  # stage -> tasks done, tasks in all
        self._rates: dict[str, tuple[int, float]] = {}  # stage -> records of its tasks that ended, and their seconds

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Shows one event."""
        if shown["json"]:
            from dataclasses import asdict

            line_of = {"event": type(event).__name__, **asdict(event)}
            sys.stderr.write(dumps(line_of, sys.stderr) + "\n")
        elif shown["quiet"]:
            return
        elif self._bars_wanted:
            self._show(event)
        else:
            text = self._counted(event) + _plain(event)
            if text:
                sys.stderr.write(text + "\n")

    def close(self) -> None:
        """Ends the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _counted(self, event: Event) -> str:
        """``k of n`` before a finished task of a stage whose number of tasks is known."""
        from vibro import events

        if isinstance(event, events.StageStarted) and event.total:
            self._counts[event.stage] = [0, event.total]
        if not isinstance(event, events.TaskFinished) or event.stage not in self._counts:
            return ""
        self._counts[event.stage][0] += 1
        done, total = self._counts[event.stage]
        return f"  {done} of {total}"

    def _show(self, event: Event) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        from vibro import events

        if self._live is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._live = Progress(*columns, console=rich_console(stderr=True), transient=False)
            self._live.start()
        if isinstance(event, events.StageStarted):
            self._bars[event.stage] = self._live.add_task(told(event.stage), total=event.total or None)
        elif isinstance(event, events.TaskStarted) and event.stage in self._bars:
            self._describe(event.stage, event.task, "")
        elif isinstance(event, events.TaskProgress) and event.stage in self._bars:
            self._describe(event.stage, event.task, _how_far(event))
        elif isinstance(event, events.TaskFinished) and event.stage in self._bars:
            self._live.advance(self._bars[event.stage])
            records, seconds = self._rates.get(event.stage, (0, 0.0))
            self._rates[event.stage] = records + event.records, seconds + event.seconds
            self._describe(event.stage, event.task, None)
        elif isinstance(event, events.StageFinished) and event.stage in self._bars:
            bar = self._bars.pop(event.stage)
            total = next(t.total for t in self._live.tasks if t.id == bar) or 1
            self._live.update(bar, description=self._named(event.stage), completed=total, total=total)
        elif isinstance(event, events.DetectorFailed):
            self._live.console.print(_plain(event), style="yellow")
        elif isinstance(event, events.RunFinished):
            self.close()

    def _describe(self, stage: str, task: str, how_far: str | None) -> None:
        """A stage with the tasks that are running in it; None for one that has ended."""
        running = self._running.setdefault(stage, {})
        running.pop(task, None)
        if how_far is not None:
            running[task] = how_far
        listed = [f"{clean(name)}{far}" for name, far in running.items()]
        name = self._named(stage)
        more = f" +{len(listed) - 3}" if len(listed) > 3 else ""
        self._live.update(self._bars[stage], description=f"{name}: {', '.join(listed[:3])}{more}" if listed else name)

    def _named(self, stage: str) -> str:
        """A stage with the records it does in a second, as far as that is known."""
        records, seconds = self._rates.get(stage, (0, 0.0))
        return told(stage) + (f" ({told(f'{records / seconds:,.0f} records/s')})" if records and seconds else "")


def _how_far(event: TaskProgress) -> str:
    """Steps of a task, such as the epochs of a network; a share where they are bytes or files."""
    if event.stage == "ingest":
        return f" {100 * event.done // max(1, event.total)} %"
    return f" {event.done}/{event.total}"


def _plain(event: Event) -> str:
    from vibro import events

    if isinstance(event, events.StageStarted):
        return f"{told(event.stage)} ..."
    if isinstance(event, events.TaskFinished):
        return f"  {clean(event.task)}  {event.seconds:.1f} s"
    if isinstance(event, events.DetectorFailed):
        verb = "skipped" if event.phase == "excluded" else f"failed in {event.phase}"
        return "  " + told(clean(f"{event.detector} {verb}: {event.error}"))
    return ""
