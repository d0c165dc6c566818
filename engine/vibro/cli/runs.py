"""``vibro score | threshold | report | explain``: work with a run or a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import (
    AllowMissing,
    CsvBom,
    Data,
    Device,
    ExecutorName,
    FailOn,
    Force,
    MaxQuarantine,
    Memory,
    NoReport,
    Out,
    Reading,
    Resume,
    Tables,
)
from vibro.cli.session import Session
from vibro.words import counted


def score(
    session: Session,
    model: Annotated[Path, typer.Argument(help="A run directory or its model/ folder.", show_default=False)],
    data: Data,
    out: Out,
    reading: Reading,
    tables: Tables,
    device: Device = "auto",
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")] = None,
    executor: ExecutorName = "serial",
    memory: Memory = "1GiB",
    max_quarantine: MaxQuarantine = 0.05,
    allow_missing: AllowMissing = False,
    resume: Resume = False,
    force: Force = False,
    fail_on: FailOn = None,
    no_report: NoReport = False,
    csv_bom: CsvBom = False,
) -> None:
    """Scores data with a frozen model: no fitting, calibration and cuts as stored."""
    from vibro.cli.ensemble import show_result
    from vibro.cli.options import check_fail_on, data_options, memory_bytes
    from vibro.cli.progress import progress
    from vibro.runs.model import fitted_isolated
    from vibro.runs.options import RunOptions
    from vibro.runs.score import score_data

    check_fail_on(fail_on)
    host = session.host(plugin or (), isolate_files=fitted_isolated(model), allow_missing=allow_missing)
    options = RunOptions(
        device=device,
        executor=executor,
        memory=memory_bytes(memory),
        allow_missing=allow_missing,
        resume=resume,
        force=force,
        report=not no_report,
        csv_bom=csv_bom,
        lang=session.lang,
        argv=("vibro", *sys.argv[1:]),
    )
    source = data_options(data, reading, tables, max_quarantine)
    with progress(host):
        found = score_data(host, model, source, options, out)
    show_result(session, found, out, report=not no_report, fail_on=fail_on)


def threshold(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    method: Annotated[
        str | None,
        typer.Option("--method", help="Thresholder; default: that of the run; auto: by what injected faults show."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="Wished share of alarms among normal records.")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="For --method labelled only.")] = None,
    labels_partial: Annotated[
        bool, typer.Option("--labels-partial", help="Unmatched label rows are a warning.")
    ] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write a copy; default: rewrite RUN.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change.")] = False,
) -> None:
    """Decides anew from the stored scores, without refitting."""
    from vibro.cli import console
    from vibro.runs.threshold import rethreshold

    done = rethreshold(
        session.host(),
        run,
        method=method,
        budget=budget,
        labels=labels,
        labels_partial=labels_partial,
        out=out,
        dry_run=dry_run,
        lang=session.lang,
    )
    moves = [{"before": was, "after": now, "records": n} for (was, now), n in done.moves.items()]
    machines = [{"machine_id": name, "before": was, "after": now} for name, (was, now) in done.machines.items()]
    table: dict[str, Any] = {"method": done.method, "before": done.before, "after": done.after, "changed": done.changed}
    table |= {"reason": done.reason, "moves": moves, "machines": machines}
    if session.result(table):
        return
    old, new = done.before, done.after
    rows: list[tuple[object, ...]] = []
    for name in ("attention", "alarm"):
        rows.append(
            (
                f"{name} cut",
                f"{old['thresholds']['cuts'][name]:.4g}",
                f"{new['thresholds']['cuts'][name]:.4g}",
            )
        )
    rows += [(level, old["levels"][level], new["levels"][level]) for level in new["levels"]]
    console.table(("", f"before ({old['thresholds']['method']})", f"after ({done.method})"), rows)
    for (was, now), n in done.moves.items():
        console.line(f"{counted(n, 'record')}: {was} -> {now}")
    for machine in machines:
        console.line(f"machine {machine['machine_id']}: {machine['before'] or 'new'} -> {machine['after']}")
    if done.reason:
        console.line(done.reason)
    for text in new["thresholds"]["warnings"]:
        console.note(f"warning: {console.clean(text)}")
    where = "nothing written (--dry-run)" if dry_run else f"written to {out or run}"
    console.line(f"{counted(done.changed, 'record changes its', 'records change their')} level; {where}")


def report(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Default: RUN/report.html.")] = None,
) -> None:
    """Writes the self-contained HTML report again."""
    from vibro.cli import console
    from vibro.runs.threshold import rewrite_report

    path = rewrite_report(session.host(), run, out, session.lang)
    if not session.result({"path": str(path)}):
        console.line(f"report: {path}")


def explain(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    record: Annotated[
        str, typer.Argument(help="Record id, a unique prefix of six digits or more, or SOURCE:ROW.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write a page: FILE.html.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Where the sources lie now, if they moved.")] = None,
) -> None:
    """What a record looks like, and why it got its verdict: evidence, detectors, features against its sensor's own baseline."""
    from vibro.cli import console
    from vibro.cli.run_tables import show_explanation
    from vibro.report.explain import explain as explain_record
    from vibro.report.explain_page import attribution_words, write_explanation
    from vibro.runs.attribution import with_attributions
    from vibro.runs.occlusion import with_occlusion

    host = session.host()
    found = with_attributions(host, with_occlusion(host, explain_record(host, run, record, data=data)))
    if out is not None:
        write_explanation(found, out, session.lang)
    if not session.result(found.table):
        for text in found.notes:
            console.note(f"warning: {text}")
        show_explanation(found.table, session.lang, attribution_words(found)[1:])
        if out is not None:
            console.line(f"page: {out}")


def add_to(app: typer.Typer) -> None:
    """Adds the commands at the top level."""
    command(app, "score")(score)
    command(app, "threshold")(threshold)
    command(app, "report")(report)
    command(app, "explain")(explain)
