"""Options that several commands share, and the checks of their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibro.errors import ConfigError

if TYPE_CHECKING:
    from vibro.ingest import IngestOptions
    from vibro.runs.options import DataOptions

Data = Annotated[
    list[Path], typer.Argument(help="Files or folders of recordings (docs/formats.md).", show_default=False)
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Run directory: absent or empty.", show_default=False)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda[:i].")]
ExecutorName = Annotated[str, typer.Option("--executor", help="serial, processes:N, dask://local or dask://host:port.")]
Memory = Annotated[str | None, typer.Option("--memory", help="Largest amount of arrays kept in memory, such as 2GB.")]
MaxQuarantine = Annotated[float, typer.Option("--max-quarantine", min=0, max=1, help="Exit 4 above this share.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on without a named plugin that fails.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a finished run.")]
FailOn = Annotated[str | None, typer.Option("--fail-on", help="Exit 1 if a record reaches attention or alarm.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Skip report.html.")]
CsvBom = Annotated[bool, typer.Option("--csv-bom", help="Begin CSV files with a byte-order mark, for Excel.")]
CovariateTolerance = Annotated[
    float, typer.Option("--covariate-tolerance", min=0, help="Seconds for which a covariate row stays valid.")
]

Texts = list[str] | None


@dataclass(frozen=True)
class Reading:
    """How DATA is read; a ``vibro.toml`` beside the data may say the same."""

    fs: Annotated[float | None, typer.Option("--fs", help="Sampling rate in Hz.")] = None
    unit: Annotated[str | None, typer.Option("--unit", help="Unit of the run: g, m/s2, mm/s, um, V ...")] = None
    length: Annotated[
        int | None, typer.Option("--length", min=1, help="Samples per record; default: the most frequent.")
    ] = None
    channels: Annotated[Texts, typer.Option("--channels", help="Columns or variables: 'acc_*', '*_DE_time'.")] = None
    columns: Annotated[Texts, typer.Option("--columns", help="ROLE=NAME: time=t,signal=acc_x.")] = None
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of text files: utf-8, gb18030 ...")] = None
    sensor_from: Annotated[
        str | None, typer.Option("--sensor-from", help="Path pattern {machine}/{sensor}/*.csv, or a column.")
    ] = None
    machine_from: Annotated[str | None, typer.Option("--machine-from", help="Path pattern, or a column.")] = None
    time_from: Annotated[
        str | None, typer.Option("--time-from", help="Path pattern {time:%Y%m%d_%H%M%S}.csv, a column, or none.")
    ] = None
    tz: Annotated[str | None, typer.Option("--tz", help="Zone of times that name none: Europe/Berlin.")] = None
    mapping: Annotated[
        Texts, typer.Option("--map", help="NAME=LABEL: what a folder or a label in words means: 0, 1 or -1.")
    ] = None
    window: Annotated[str | None, typer.Option("--window", help="Cut recordings: 4096 samples, or 1s.")] = None
    hop: Annotated[str | None, typer.Option("--hop", help="From window to window; default: side by side.")] = None
    resample: Annotated[float | None, typer.Option("--resample", help="Rate in Hz to bring records to.")] = None
    repair: Annotated[str | None, typer.Option("--repair", help="interpolate:8 fills gaps of up to 8 samples.")] = None
    strict_quality: Annotated[
        bool, typer.Option("--strict-quality", help="Records of level invalid are quarantined.")
    ] = False

    def options(self, *, need_fs: bool = True) -> IngestOptions:
        """As ingest takes them; ConfigError for a text that cannot be."""
        from vibro.ingest.options import IngestOptions, check_options, names, pairs, repair_length

        found = IngestOptions(
            fs=self.fs,
            unit=self.unit,
            length=self.length,
            strict_quality=self.strict_quality,
            need_fs=need_fs,
            channels=names(self.channels or ()),
            columns=pairs(self.columns or (), "--columns"),
            encoding=self.encoding,
            sensor_from=self.sensor_from,
            machine_from=self.machine_from,
            time_from=self.time_from,
            tz=self.tz,
            states=tuple(self.meaning),
            window=self.window,
            hop=self.hop,
            resample=self.resample,
            repair=0 if self.repair is None else repair_length(self.repair),
        )
        check_options(found)
        return found

    @property
    def meaning(self) -> dict[str, int]:
        """Labels by the name of a folder, or by a label in words."""
        from vibro.ingest.truth import parse_mapping

        return parse_mapping(self.mapping or ())


@dataclass(frozen=True)
class Tables:
    """The tables beside DATA."""

    labels: Annotated[Path | None, typer.Option("--labels", help="Label table, for metrics only.")] = None
    labels_partial: Annotated[bool, typer.Option("--labels-partial", help="Unmatched label rows are a warning.")] = (
        False
    )
    covariates: Annotated[Path | None, typer.Option("--covariates", help="Table of load, temperature, speed ...")] = (
        None
    )
    covariate_tolerance: CovariateTolerance = 600.0
    sensors: Annotated[
        Path | None, typer.Option("--sensors", help="Table of sensors, their machines and what is known of them.")
    ] = None


def stated_options(group: Reading | Tables) -> list[str]:
    """The options of a group that the command line gives, such as ``--fs``."""
    names = (f.name for f in fields(group) if getattr(group, f.name) != f.default)
    return ["--map" if name == "mapping" else f"--{name.replace('_', '-')}" for name in names]


def data_options(data: Sequence[Path], reading: Reading, tables: Tables, max_quarantine: float) -> DataOptions:
    """What a command line says about its data."""
    from vibro.runs.options import DataOptions

    return DataOptions(
        paths=tuple(data),
        reading=reading.options(),
        meaning=reading.meaning,
        labels=tables.labels,
        labels_partial=tables.labels_partial,
        covariates=tables.covariates,
        covariate_tolerance=tables.covariate_tolerance,
        sensors=tables.sensors,
        max_quarantine=max_quarantine,
    )


LEAST = 16 << 20  # bytes of --memory
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def memory_bytes(text: str | None) -> int:
    """``2GB``, ``512MiB`` or plain bytes; by default half of what is free."""
    if text is None:
        return free_memory() // 2
    number = text.strip().lower().rstrip("b").strip()
    digits = number.rstrip("kmgti").strip()
    unit = number[len(digits) :].strip()
    try:
        found = int(float(digits) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise ConfigError(f"--memory {text!r} is no size", hint="--memory 2GB") from None
    if found < LEAST:
        raise ConfigError(f"--memory {text} is too little: at least {LEAST >> 20} MiB are needed", hint="--memory 2GB")
    return found


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
