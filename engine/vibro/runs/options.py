"""What a command line says about its data and its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vibro.ingest.options import IngestOptions

MAX_QUARANTINE = 0.05


@dataclass(frozen=True)
class DataOptions:
    """What a command says about its data."""

    paths: tuple[Path, ...]
    reading: IngestOptions = field(default_factory=IngestOptions)
    meaning: Mapping[str, int] = field(default_factory=dict)  # of labels in words
    labels: Path | None = None
    labels_partial: bool = False
    covariates: Path | None = None
    covariate_tolerance: float = 600.0  # seconds
    sensors: Path | None = None
    max_quarantine: float = MAX_QUARANTINE


@dataclass(frozen=True)
class RunOptions:
    """What ``vibro ensemble run`` and ``vibro score`` say about the work."""

    ensemble: str = "default"
    detectors: tuple[str, ...] | None = None
    sets: tuple[str, ...] = ()
    budget: float | None = None
    fit_on: str = "all"
    seed: int = 0
    device: str = "auto"
    executor: str = "auto"
    readers: bool = True  # many small files may be read by worker processes
    memory: int = 1 << 30
    deterministic: bool = False
    allow_missing: bool = False
    resume: bool = False
    force: bool = False
    report: bool = True
    csv_bom: bool = False
    lang: str = "en"
    argv: tuple[str, ...] = ()


def settings(data: DataOptions, options: RunOptions) -> dict[str, Any]:
    """The resolved options, without the command line itself, and the ``folder`` that relative paths are seen from."""
    table = {**asdict(data), **asdict(options), "folder": str(Path.cwd())}
    table.pop("argv")
    return table
