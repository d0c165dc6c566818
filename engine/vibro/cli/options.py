"""Options that several commands share, and the checks of their text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibro.errors import ConfigError

Data = Annotated[
    list[Path], typer.Argument(help="Files or folders: .jsonl .json .csv .npz .wav .mat .parquet.", show_default=False)
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Run directory: absent or empty.", show_default=False)]
Fs = Annotated[float | None, typer.Option("--fs", help="Sampling rate in Hz.")]
Unit = Annotated[str | None, typer.Option("--unit", help="g, m/s2, mm/s, um, V, A or unknown.")]
Length = Annotated[int | None, typer.Option("--length", min=1, help="Samples per record; default: the most frequent.")]
MatKey = Annotated[str | None, typer.Option("--mat-key", help="Variable of a .mat file.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="Label table, for metrics only.")]
LabelsPartial = Annotated[bool, typer.Option("--labels-partial", help="Unmatched label rows are a warning.")]
Covariates = Annotated[Path | None, typer.Option("--covariates", help="Table of load, temperature, speed ...")]
Tolerance = Annotated[
    float, typer.Option("--covariate-tolerance", min=0, help="Seconds for which a covariate row stays valid.")
]
Sensors = Annotated[Path | None, typer.Option("--sensors", help="Table of sensors and their machines.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda[:i].")]
ExecutorName = Annotated[str, typer.Option("--executor", help="serial, processes:N or dask://host:port.")]
Memory = Annotated[str | None, typer.Option("--memory", help="Largest amount of arrays kept in memory, such as 2GB.")]
MaxQuarantine = Annotated[float, typer.Option("--max-quarantine", min=0, max=1, help="Exit 4 above this share.")]
StrictQuality = Annotated[
    bool, typer.Option("--strict-quality", help="Constant, zero and clipped records are quarantined.")
]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on without a named plugin that fails.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a finished run.")]
FailOn = Annotated[str | None, typer.Option("--fail-on", help="Exit 1 if a record reaches attention or alarm.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Skip report.html.")]
CsvBom = Annotated[bool, typer.Option("--csv-bom", help="Begin CSV files with a byte-order mark, for Excel.")]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def memory_bytes(text: str | None) -> int:
    """``2GB``, ``512MiB`` or plain bytes; by default half of what is free."""
    if text is None:
        return free_memory() // 2
    number = text.strip().lower().rstrip("b").strip()
    digits = number.rstrip("kmgti").strip()
    unit = number[len(digits) :].strip()
    try:
        return int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise ConfigError(f"--memory {text!r} is no size", hint="--memory 2GB") from None


def free_memory() -> int:
    """Bytes that programs can have without swapping; 4 GiB where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 4 << 30


def check_fail_on(level: str | None) -> None:
    """ConfigError unless the level is one that can be asked for."""
    if level not in (None, "attention", "alarm"):
        raise ConfigError(f"--fail-on {level!r} is not known", hint="use attention or alarm")
