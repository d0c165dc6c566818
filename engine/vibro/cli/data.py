"""``vibro data check | convert | labels | simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import (
    Covariates,
    CsvBom,
    Data,
    Fs,
    Labels,
    LabelsPartial,
    Length,
    MatKey,
    Sensors,
    StrictQuality,
    Tolerance,
    Unit,
)
from vibro.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vibro.ingest import Accounting, Ingested, IngestOptions
    from vibro.ingest.reader import Prepare

app = typer.Typer(no_args_is_help=True)
OutFile = Annotated[Path, typer.Option("-o", "--out", help="File to write.", show_default=False)]


@command(app, "check")
def check(
    session: Session,
    data: Data,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Quarantine table to write.")] = None,
    fs: Fs = None,
    unit: Unit = None,
    length: Length = None,
    mat_key: MatKey = None,
    labels: Labels = None,
    labels_partial: LabelsPartial = False,
    covariates: Covariates = None,
    tolerance: Tolerance = 600.0,
    sensors: Sensors = None,
    strict_quality: StrictQuality = False,
    csv_bom: CsvBom = False,
) -> None:
    """What is in the data: accepted and quarantined per file, sensors, times, sampling rate, label matches."""
    from vibro.cli import data_tables
    from vibro.errors import QuarantineError
    from vibro.ingest import IngestOptions, NothingAccepted
    from vibro.ingest.survey import file_table, survey
    from vibro.ingest.tables import read_covariates, read_labels, read_sensors
    from vibro.runs.options import MAX_QUARANTINE

    options = IngestOptions(fs, unit, length, strict_quality, mat_key, need_fs=False)
    _must_be_new(out)

    def report(got: Ingested) -> float:
        batch, warnings = got.batch, list(got.warnings)
        if sensors is not None:
            batch, more = read_sensors(sensors, batch)
            warnings += more
        if covariates is not None:
            batch, more = read_covariates(covariates, batch, tolerance)
            warnings += more
        joined = None
        if labels is not None:
            joined = read_labels(labels, batch, labels_partial, got.accounting)
            warnings += joined.warnings
        found = survey(got, batch, joined, warnings)
        _write_quarantine(out, got.accounting, bom=csv_bom)
        if not session.result(found):
            data_tables.show_survey(found, session.lang)
            data_tables.show_findings(got.accounting, session.lang)
        return got.accounting.share

    try:
        share = _with_ingested(session, data, options, report)
    except NothingAccepted as error:
        _write_quarantine(out, error.accounting, bom=csv_bom)
        found = {"files": file_table(error.accounting), "records": error.accounting.summary()}
        if not session.result(found):
            data_tables.show_files(found, session.lang)
            data_tables.show_findings(error.accounting, session.lang)
        raise
    if share > MAX_QUARANTINE:
        raise QuarantineError(
            f"{share:.1%} of the records were quarantined, above {MAX_QUARANTINE:.0%}",
            hint=None if out else "-o quarantine.csv writes every reason with its place",
        )


@command(app, "convert")
def convert(
    session: Session,
    data: Data,
    out: OutFile,
    fs: Fs = None,
    unit: Unit = None,
    length: Length = None,
    mat_key: MatKey = None,
    window: Annotated[int | None, typer.Option("--window", min=1, help="Cut into records of N samples.")] = None,
    hop: Annotated[
        int | None, typer.Option("--hop", min=1, help="Samples between windows; default: no overlap.")
    ] = None,
    resample: Annotated[
        float | None, typer.Option("--resample", help="Sampling rate in Hz to bring records to.")
    ] = None,
    labels_out: Annotated[Path | None, typer.Option("--labels-out", help="Label table from arrays of .npz.")] = None,
    strict_quality: StrictQuality = False,
    csv_bom: CsvBom = False,
) -> None:
    """Writes the accepted records as .npz, .parquet, .jsonl or .jsonl.gz, with the quarantine table beside them."""
    from vibro.cli import console
    from vibro.ingest import IngestOptions
    from vibro.ingest.cutting import Cutter
    from vibro.ingest.truth import NPZ_COLUMNS, labels_of_arrays
    from vibro.ingest.writers import check_ending, write_batch

    check_ending(out)
    beside = out.with_name(f"{out.name}.quarantine.csv")
    for path in (out, beside, labels_out):
        _must_be_new(path)
    cut = None if (window, hop, resample) == (None, None, None) else Cutter(fs, window, hop, resample)
    options = IngestOptions(fs if resample is None else None, unit, length, strict_quality, mat_key, need_fs=False)

    def write(got: Ingested) -> dict[str, Any]:
        truth = labels_of_arrays(got.batch, got.root) if labels_out is not None else []
        write_batch(got.batch, out)
        _write_quarantine(beside, got.accounting, bom=csv_bom)
        if labels_out is not None:
            _write_rows(labels_out, NPZ_COLUMNS, truth, bom=csv_bom)
        batch = got.batch
        signal = {"fs": batch.fs or None, "unit": batch.unit, "length": batch.length, "channels": batch.channels}
        paths = {"path": out, "quarantine": beside, "labels": labels_out}
        return {**paths, "records": got.accounting.summary(), "signal": signal, "warnings": got.warnings}

    found = _with_ingested(session, data, options, write, cut)
    if not session.result(found):
        records = found["records"]
        console.line(
            f"{records['accepted']} of {records['read']} records of {found['signal']['length']} samples: {out}"
        )
        if records["quarantined"]:
            console.line(f"{records['quarantined']} quarantined: {beside}")
        for text in found["warnings"]:
            console.note(f"warning: {text}")


@command(app, "labels")
def labels(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that is searched.", show_default=False)],
    out: OutFile,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="NAME=LABEL: exact folder name, 0, 1 or -1; repeatable.")
    ] = None,
    length: Length = None,
    mat_key: MatKey = None,
    csv_bom: CsvBom = False,
) -> None:
    """Writes a label table from folder names that are mapped by their exact name; nothing is guessed."""
    from vibro.cli import console
    from vibro.ingest import IngestOptions
    from vibro.ingest.truth import FOLDER_COLUMNS, labels_of_folders, parse_mapping

    wanted = parse_mapping(mapping or [])
    _must_be_new(out)

    def write(got: Ingested) -> dict[str, Any]:
        rows, left_out = labels_of_folders(got.batch, wanted)
        _write_rows(out, FOLDER_COLUMNS, rows, bom=csv_bom)
        counts = {name: sum(row["folder"] == name for row in rows) for name in wanted}
        return {"path": out, "records": len(rows), "folders": counts, "unmapped": left_out}

    found = _with_ingested(session, [folder], IngestOptions(length=length, mat_key=mat_key, need_fs=False), write)
    if not session.result(found):
        console.line(f"{found['records']} labels: {out}")
        console.table(("folder", "label", "records"), [(n, wanted[n], k) for n, k in found["folders"].items()])
        for name, count in found["unmapped"].items():
            console.note(f"not mapped, left out: {name} ({count} records)")


@command(app, "simulate")
def simulate(
    session: Session,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder: absent or empty.", show_default=False)],
    records: Annotated[int, typer.Option("--records", min=1)] = 2000,
    units: Annotated[int, typer.Option("--units", min=1, help="Machines.")] = 2,
    sensors: Annotated[int, typer.Option("--sensors", min=1, help="Sensors per machine.")] = 5,
    faults: Annotated[float, typer.Option("--faults", min=0, max=1, help="Share of faulty records.")] = 0.05,
    preset: Annotated[
        str, typer.Option("--preset", help="transformer, transformer-60hz, transformer-field or bearing.")
    ] = "transformer",
    fs: Annotated[float, typer.Option("--fs", help="Sampling rate in Hz.")] = 8192.0,
    tap_changes: Annotated[
        float | None,
        typer.Option(
            "--tap-changes",
            min=0,
            max=0.5,
            help="Share of a transformer's instants with a tap change.  [default: 0.012]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    format: Annotated[str, typer.Option("--format", help="jsonl or npz.")] = "jsonl",
) -> None:
    """Writes simulated records with known faults: data, labels, covariates."""
    from vibro import simulate as demo
    from vibro.cli import console
    from vibro.errors import ConfigError

    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out} is there already and not an empty folder", hint="choose another -o")
    made = demo.simulate(records, units, sensors, faults, preset, fs, seed, tap_changes=tap_changes)
    demo.write(made, out, format)
    names = (f"data.{format}", "labels.csv", "covariates.csv", "README.txt")
    found = {"path": out, "files": list(names), "records": len(made), "anomalous": int(made.label.sum())}
    if not session.result(found):
        console.line(f"{found['records']} records, {found['anomalous']} of them anomalous: {out / names[0]}")


# --- parts ------------------------------------------------------------------------------------------------------------


def _with_ingested(
    session: Session,
    paths: Sequence[Path],
    options: IngestOptions,
    body: Callable[[Ingested], Any],
    prepare: Prepare | None = None,
) -> Any:
    """The result of ``body`` for the ingested data, which lie in a temporary folder until it returns."""
    from tempfile import TemporaryDirectory

    from vibro.cli.progress import progress
    from vibro.context import Context
    from vibro.ingest import ingest

    host = session.host()
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    with TemporaryDirectory(prefix="vibro-") as folder, progress(host):
        return body(ingest(paths, readers, options, Path(folder) / "ingest", host.emit, prepare))


def _must_be_new(path: Path | None) -> None:
    from vibro.errors import ConfigError

    if path is not None and path.exists():
        raise ConfigError(f"{path} is there already", hint="choose another name or remove it")


def _write_quarantine(path: Path | None, books: Accounting, *, bom: bool) -> None:
    from vibro.store.tables import QUARANTINE_COLUMNS

    if path is not None:
        _write_rows(path, QUARANTINE_COLUMNS, books.rows(), bom=bom)


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, bom: bool) -> None:
    from vibro.store.tables import write_table

    write_table(path, columns, rows, bom=bom)
