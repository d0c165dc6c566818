"""``vibro demo``: simulated data, an ensemble run on them, a report; no data needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vibro.cli.command import command
from vibro.cli.options import Force
from vibro.cli.session import Session


def demo(
    session: Session,
    out: Annotated[Path, typer.Option("-o", "--out", help="Run directory.")] = Path("vibro-demo"),
    ensemble: Annotated[str, typer.Option("--ensemble", help="Named ensemble.")] = "quick",
    records: Annotated[int, typer.Option("--records", min=1, help="Records to simulate.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of data and run.")] = 0,
    force: Force = False,
) -> None:
    """Simulates a power transformer's tank, runs an ensemble on it and writes a report."""
    from vibro.cli import console
    from vibro.cli.ensemble import show_result
    from vibro.cli.progress import progress
    from vibro.runs.demo import run_demo
    from vibro.runs.options import RunOptions

    host = session.host()
    options = RunOptions(
        ensemble=ensemble, seed=seed, force=force, lang=session.lang, device="cpu", argv=("vibro", *sys.argv[1:])
    )
    with progress(host):
        found = run_demo(host, out, records=records, options=options, say=console.note)
    show_result(session, found, out, report=True, fail_on=None)


def add_to(app: typer.Typer) -> None:
    """Adds the command at the top level."""
    command(app, "demo")(demo)
