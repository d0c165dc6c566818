"""``vibro data check | describe | convert | labels | simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import CsvBom, Data, Reading, Tables
from vibro.cli.session import Session
from vibro.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vibro.api import Component
    from vibro.host.manager import PluginHost
    from vibro.ingest import Accounting, Ingested, IngestOptions

app = typer.Typer(no_args_is_help=True)
OutFile = Annotated[Path, typer.Option("-o", "--out", help="File to write.", show_default=False)]


@command(app, "check")
def check(
    session: Session,
    data: Data,
    reading: Reading,
    tables: Tables,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Quarantine table to write.")] = None,
    csv_bom: CsvBom = False,
) -> None:
    """How vibro understands the data: the first file of every kind, what would be refused and why, sensors, labels."""
    from vibro.cli import data_tables
    from vibro.errors import QuarantineError
    from vibro.ingest import NothingAccepted
    from vibro.ingest.groups import read_groups
    from vibro.ingest.machines import read_machines
    from vibro.ingest.survey import failed_survey, survey
    from vibro.ingest.tables import machines_unnamed, read_covariates, read_labels, read_sensors
    from vibro.ingest.ways import way_out
    from vibro.runs.options import MAX_QUARANTINE

    options = reading.options(need_fs=False)
    _must_be_new(out)

    def report(got: Ingested) -> tuple[Accounting, int]:
        batch, warnings = got.batch, list(got.warnings)
        if tables.sensors is not None:
            batch, more = read_sensors(tables.sensors, batch)
            read_machines(tables.sensors)
            read_groups(tables.sensors)
            warnings += more
        warnings += machines_unnamed(batch, got.unnamed)
        if tables.covariates is not None:
            batch, more = read_covariates(tables.covariates, batch, tables.covariate_tolerance)
            warnings += more
        joined = None
        if tables.labels is not None:
            joined = read_labels(tables.labels, batch, tables.labels_partial, got.accounting, reading.meaning)
            warnings += joined.warnings
        found = survey(got, batch, joined, warnings)
        _write_quarantine(out, got.accounting, bom=csv_bom)
        if not session.result(found):
            data_tables.show_survey(found, session.lang)
            data_tables.show_findings(got.accounting, session.lang)
        return got.accounting, got.window

    try:
        books, window = _with_ingested(session, data, options, report)
    except NothingAccepted as error:
        _write_quarantine(out, error.accounting, bom=csv_bom)
        found = failed_survey(error)
        if not session.result(found):
            data_tables.show_files(found, session.lang)
            data_tables.show_findings(error.accounting, session.lang)
        raise
    if books.share > MAX_QUARANTINE:
        most = max(books.by_code, key=lambda code: books.by_code[code])
        raise QuarantineError(
            f"{books.share:.1%} of the records were quarantined, above {MAX_QUARANTINE:.0%}",
            hint=way_out(most, window),
        )


@command(app, "describe")
def describe(
    session: Session,
    data: Data,
    reading: Reading,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write; default: show it.")] = None,
) -> None:
    """Writes a vibro.toml that says how the data are read, for you to mend; beside DATA every command reads it."""
    from dataclasses import asdict

    from vibro.cli import console
    from vibro.errors import ConfigError
    from vibro.ingest import IngestOptions
    from vibro.ingest.describe import described
    from vibro.ingest.files import SETTINGS
    from vibro.ingest.settings import KEYS, settings_text

    _must_be_new(out)
    if out is not None and out.name != SETTINGS:
        raise ConfigError(f"-o {out}: the file is only read under the name {SETTINGS}", hint=f"-o {SETTINGS}")

    def write(got: Ingested) -> dict[str, Any]:
        blank, stated = asdict(IngestOptions()), asdict(got.options)
        given = {name: stated[name] for name in KEYS if stated[name] != blank[name]}
        table, comments = described(got, given)
        return {"path": out, "read": table, "text": settings_text(table, comments), "root": got.root}

    found = _with_ingested(session, data, reading.options(need_fs=False), write)
    if out is not None:
        from vibro.io.files import write_text

        write_text(out, found["text"])
        if out.resolve().parent != found["root"].resolve():
            console.note(f"it is read once it lies beside the data: {found['root'] / SETTINGS}")
    if not session.result(found):
        if out is None:
            console.verbatim(found["text"].rstrip())
        else:
            console.line(f"how the data are read: {out}")


@command(app, "convert")
def convert(
    session: Session,
    data: Data,
    out: OutFile,
    reading: Reading,
    labels_out: Annotated[
        Path | None, typer.Option("--labels-out", help="Label table: arrays of .npz, or folders by --map.")
    ] = None,
    csv_bom: CsvBom = False,
) -> None:
    """Writes the accepted records as .npz, .parquet, .jsonl or .jsonl.gz, with the quarantine table beside them."""
    from vibro.cli import console
    from vibro.ingest.tables import machines_unnamed
    from vibro.ingest.truth import NPZ_COLUMNS, labels_by_folder, labels_of_arrays
    from vibro.ingest.writers import check_ending, write_batch

    check_ending(out)
    beside = out.with_name(f"{out.name}.quarantine.csv")
    for path in (out, labels_out):
        _must_be_new(path)
    options, meaning = reading.options(need_fs=False), reading.meaning

    def write(got: Ingested) -> dict[str, Any]:
        truth: list[dict[str, Any]] = []
        if labels_out is not None:
            truth = labels_by_folder(got.batch, meaning) if meaning else labels_of_arrays(got.batch, got.root)
        _write_quarantine(beside, got.accounting, bom=csv_bom)
        write_batch(got.batch, out)  # after the table: a command that failed can be given again
        if labels_out is not None:
            _write_rows(labels_out, NPZ_COLUMNS, truth, bom=csv_bom)
        batch = got.batch
        signal = {"fs": batch.fs or None, "unit": batch.unit, "length": batch.length, "channels": batch.channels}
        paths = {"path": out, "quarantine": beside, "labels": labels_out}
        return {
            **paths,
            "records": got.accounting.summary(),
            "signal": signal,
            "warnings": [*got.warnings, *machines_unnamed(batch, got.unnamed)],
        }

    found = _with_ingested(session, data, options, write)
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
    reading: Reading,
    csv_bom: CsvBom = False,
) -> None:
    """Writes a label a recording from folder names that --map maps by their exact name; nothing is guessed."""
    from vibro.cli import console
    from vibro.errors import ConfigError
    from vibro.ingest.truth import FOLDER_COLUMNS, labels_of_folders, recordings_of

    wanted = reading.meaning
    if not wanted:
        raise ConfigError("no folder is mapped to a label", hint="--map normal=0 --map fault=1")
    _must_be_new(out)
    recordings = recordings_of([folder], _readers(session.host()), reading.options(need_fs=False))
    rows, left_out = labels_of_folders(recordings.counts, wanted)
    _write_rows(out, FOLDER_COLUMNS, rows, bom=csv_bom)
    counts = {name: sum(row["folder"] == name for row in rows) for name in wanted}
    refused = len(recordings.refused)
    found = {"path": out, "recordings": len(rows), "folders": counts, "unmapped": left_out, "refused": refused}
    if not session.result(found):
        console.line(f"labels of {counted(len(rows), 'recording')}: {out}")
        console.table(("folder", "label", "recordings"), [(name, wanted[name], n) for name, n in counts.items()])
        for name, count in left_out.items():
            console.note(f"not mapped, left out: {name} ({counted(count, 'record')})")
        if refused:
            source, item = recordings.refused[0]
            console.note(f"warning: {counted(refused, 'item')} cannot be read, the first in {source}: {item.detail}")


@command(app, "simulate")
def simulate(
    session: Session,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder: absent or empty.", show_default=False)],
    records: Annotated[int, typer.Option("--records", min=1)] = 2000,
    units: Annotated[int, typer.Option("--units", min=1, help="Machines.")] = 2,
    sensors: Annotated[int, typer.Option("--sensors", min=1, help="Sensors per machine.")] = 5,
    faults: Annotated[
        str, typer.Option("--faults", help="Share of faulty records: 0.05, or one a machine: 0.05,0.05,0.4.")
    ] = "0.05",
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
    name: Annotated[
        str, typer.Option("--name", help="Goes before the names of machines and sensors; tells simulations apart.")
    ] = "",
    format: Annotated[str, typer.Option("--format", help="jsonl or npz.")] = "jsonl",
) -> None:
    """Writes simulated records with known faults: data, labels, covariates."""
    from tempfile import TemporaryDirectory

    from vibro import simulate as demo
    from vibro.cli import console
    from vibro.errors import ConfigError
    from vibro.io.files import new_folder

    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out} is there already and not an empty folder", hint="choose another -o")
    try:
        shares = [float(part) for part in faults.split(",")]
    except ValueError:
        raise ConfigError(
            f"--faults {faults!r} is no share", hint="--faults 0.05, or one a machine: 0.05,0.4"
        ) from None
    share = shares[0] if len(shares) == 1 else shares
    with new_folder(out) as building, TemporaryDirectory(prefix=".tmp-", dir=building) as scratch:
        made = demo.simulate(
            records,
            units,
            sensors,
            share,
            preset,
            fs,
            seed,
            tap_changes=tap_changes,
            name=name,
            scratch=Path(scratch),
        )
        demo.write(made, building, format)
    names = (f"data.{format}", "labels.csv", "covariates.csv", "README.txt")
    found = {"path": out, "files": list(names), "records": len(made), "anomalous": int(made.label.sum())}
    if not session.result(found):
        console.line(f"{counted(len(made), 'record')}, {found['anomalous']} of them anomalous: {out / names[0]}")


# --- parts ------------------------------------------------------------------------------------------------------------


def _with_ingested(
    session: Session,
    paths: Sequence[Path],
    options: IngestOptions,
    body: Callable[[Ingested], Any],
) -> Any:
    """The result of ``body`` for the ingested data, which lie in a temporary folder until it returns."""
    from vibro.cli.progress import progress
    from vibro.ingest import ingest
    from vibro.io.files import scratch_folder

    host = session.host()
    with scratch_folder() as folder, progress(host):
        place = folder / "ingest"
        return body(ingest(paths, _readers(host), options, place, host.emit, side_by_side=True, hashed=False))


def _readers(host: PluginHost) -> list[Component]:
    from vibro.context import Context

    return [cls.make({}, Context()) for cls in host.components("reader")]


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
