"""``vibro label``: what the user says about records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.session import Session
from vibro.words import counted


def label(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORD...",
            help="Record ids, unique prefixes of six digits or more, or SOURCE:ROW.",
            show_default=False,
        ),
    ],
    kind: Annotated[str, typer.Option("--as", help="normal, fault or benign.", show_default=False)],
    fault_type: Annotated[str, typer.Option("--type", help="Name of the fault or of the benign state.")] = "",
) -> None:
    """Says what records are, in RUN/labels.csv and in the model: benign ones and their like are not alarmed again."""
    from vibro.cli import console
    from vibro.runs.label import label_records

    done = label_records(run, records, kind, fault_type)
    table: dict[str, Any] = {"path": done.path, "labelled": list(done.rows), "counts": dict(done.counts)}
    table |= {"model": done.model, "warnings": [done.warning] if done.warning else []}
    if session.result(table):
        return
    if done.warning:
        console.note(f"warning: {done.warning}")
    counts = ", ".join(f"{n} {name}" for name, n in done.counts.items())
    console.line(f"{counted(len(done.rows), 'record')} labelled {kind}: {done.path} ({counts})")
    console.line(f"to decide this run anew: vibro threshold {run}")


def add_to(app: typer.Typer) -> None:
    """Adds the command at the top level."""
    command(app, "label")(label)
