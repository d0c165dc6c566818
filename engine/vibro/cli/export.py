"""``vibro export``: a run's model as ONNX graphs, arrays and one script, for machines without vibro."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.session import Session


def export(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run directory or its model/ folder.", show_default=False)],
    onnx: Annotated[Path, typer.Option("--onnx", help="Folder to write: absent or empty.", show_default=False)],
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")] = None,
) -> None:
    """Writes a model as ONNX graphs, arrays and one script that scores records with numpy and onnxruntime alone."""
    from vibro.cli import console
    from vibro.runs.export import export as run_export
    from vibro.runs.model import fitted_isolated

    host = session.host(plugin or (), isolate_files=fitted_isolated(run))
    found = run_export(host, run, onnx)
    for note in found["notes"]:
        console.note(f"warning: {note}")
    if not session.result(found):
        _show(found)


def _show(found: Mapping[str, Any]) -> None:
    from vibro.cli import console
    from vibro.io.files import human_bytes

    rows = [(m["id"], m["graph"] or "numpy", f"{m['difference']:.1e}") for m in found["members"]]
    console.table(("member", "exported as", "largest difference"), rows)
    for ident, reason in found["left_out"].items():
        console.note(f"warning: {ident} is left out, its column stays empty: {reason}")
    size = human_bytes(sum(found["bytes"].values()))
    console.line(
        f"{size}; fused scores of {found['probes']} records differ by at most {found['difference']:.1e}, no level does"
    )
    console.line(f"to score: python {found['path'] / 'score.py'} RECORDS.npz > scores.csv")


def add_to(app: typer.Typer) -> None:
    """Adds the command at the top level."""
    command(app, "export")(export)
