"""What a process does for the one that ingests: it takes files and hands over what it has got."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vibro.api import Reader
from vibro.context import Context
from vibro.core.worker import said
from vibro.data import Rejected
from vibro.ingest.files import Found
from vibro.ingest.intake import Intake, Part
from vibro.ingest.matrix import SampleFile
from vibro.ingest.options import IngestOptions
from vibro.ingest.shaping import Shaper

Made = tuple[tuple[type[Reader], Any], ...]  # classes and settings of readers
Files = Sequence[tuple[Path, str, int]]  # files with their sources and the numbers of their readers


class Job(NamedTuple):
    """How all files of an ingest are read: the classes and settings of the readers, the options, the name of the root."""

    readers: Made
    options: IngestOptions
    root: str


def prepare(made: Made) -> int:
    """Loads what these readers are made of, ahead of the first files."""
    return len(made)


def take_files(job: Job, files: Files, into: Path) -> Part | str:
    """What these files hold, their samples in the file ``into``: through a pipe they would wait for the caller.

    If anything goes wrong, what it was: the caller then takes the files itself.
    """
    readers, shaper = _tools(job)
    refused = _Refused()
    try:
        with SampleFile(into) as samples:
            intake = Intake(refused, samples, lambda event: None, shaper)
            for path, source, i in files:
                intake.take(source, Found(path, source, readers[i]))
    except Exception as error:
        return said(error)
    return Part([source for _, source, _ in files], intake.taken, refused.items)


class _Refused:
    """Items that were refused, until the caller has them in its books."""

    def __init__(self) -> None:
        self.items: list[tuple[str, Rejected]] = []

    def open_file(self, source: str) -> None:
        """The caller opens its files itself."""

    def reject(self, source: str, item: Rejected) -> None:
        """An item that its reader refused."""
        self.items.append((source, item))


_TOOLS: dict[str, tuple[list[Reader], Shaper]] = {}  # of this process


def _tools(job: Job) -> tuple[list[Reader], Shaper]:
    """The readers and the shaper, which live on: readers may become quicker the more they have read."""
    key = repr(job)
    if key not in _TOOLS:
        _TOOLS[key] = [cls(params, Context()) for cls, params in job.readers], Shaper(job.options, job.root)
    return _TOOLS[key]
