"""``vibro init | run``: what is to be run stands in ``vibro.toml``, and ``vibro run`` alone repeats it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vibro.cli.command import command
from vibro.cli.options import FailOn, Force, Resume
from vibro.cli.session import Session


def init(
    session: Session,
    data: Annotated[list[Path], typer.Argument(help="Files or folders of recordings.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run directory.")] = Path("vibro-run"),
    ensemble: Annotated[str, typer.Option("--ensemble", help="Named ensemble, or a TOML file with one.")] = "default",
    budget: Annotated[
        float | None, typer.Option("--budget", help="Wished share of alarms among normal records.")
    ] = None,
    fit_on: Annotated[str, typer.Option("--fit-on", help="all, first:0.2, first:30d, until:DATE.")] = "all",
    sensors: Annotated[Path | None, typer.Option("--sensors", help="Table of sensors and their machines.")] = None,
    covariates: Annotated[Path | None, typer.Option("--covariates", help="Table of load, temperature ...")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Label table, for metrics only.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what the file says to run.")] = False,
) -> None:
    """Writes vibro.toml into this folder: data, ensemble, baseline, tables and output, which vibro run repeats."""
    from vibro.api import check_settings
    from vibro.cli import console
    from vibro.runs.project import Project, write_project

    tables = {"sensors": sensors, "covariates": covariates, "labels": labels}
    given = {
        "data": [str(path) for path in data],
        "out": str(out),
        "ensemble": ensemble,
        "budget": budget,
        "fit_on": fit_on,
        **{name: None if path is None else str(path) for name, path in tables.items()},
    }
    path = write_project(Path.cwd(), check_settings(Project, given, "vibro init"), force=force)
    if not session.result({"path": str(path)}):
        console.line(f"{path} is written; next: vibro run")


def run(
    session: Session,
    resume: Resume = False,
    force: Force = False,
    fail_on: FailOn = None,
) -> None:
    """Runs what vibro.toml in this folder says: vibro init writes one."""
    from dataclasses import replace

    from vibro.cli import console
    from vibro.cli.ensemble import show_result
    from vibro.cli.options import check_fail_on
    from vibro.cli.progress import progress
    from vibro.runs.fit import run_ensemble
    from vibro.runs.project import options_of, read_project

    check_fail_on(fail_on)
    data, options, out = options_of(Path(), *read_project(Path()))
    options = replace(options, resume=resume, force=force, lang=session.lang, argv=("vibro", *sys.argv[1:]))
    host = session.host()
    with progress(host):
        found = run_ensemble(host, data, options, out, say=console.note)
    show_result(session, found, out, report=True, fail_on=fail_on)


def add_to(app: typer.Typer) -> None:
    """Adds the commands at the top level."""
    command(app, "init")(init)
    command(app, "run")(run)
