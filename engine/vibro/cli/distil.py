"""``vibro distil``: a small student of a run for machines that have no room for vibro."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import Device
from vibro.cli.session import Session


def distil(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run directory of vibro ensemble run.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write: absent or empty.", show_default=False)],
    kb: Annotated[int, typer.Option("--kb", min=1, help="Size of the student's weights at most, in KiB.")] = 256,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    device: Device = "auto",
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the data of the run lie now, if they moved.")
    ] = None,
) -> None:
    """Teaches a small network the fused score of a run; the folder scores records with numpy alone."""
    from vibro.cli import console
    from vibro.runs.distil import distil as run_distil

    found = run_distil(session.host(), run, out, kb=kb, seed=seed, device=device, data=data, say=console.note)
    if not session.result(found):
        _show(found)


def _show(found: Mapping[str, Any]) -> None:
    from vibro.cli import console
    from vibro.io.files import human_bytes

    held, size = found["held_out"], found["bytes"]
    console.line(
        f"student of {found['networks']} networks, {human_bytes(size['student.safetensors'])}"
        f" (int8: {human_bytes(size['student-int8.safetensors'])}), {1e3 * found['seconds_per_record']:.2g} ms a record"
    )
    names = [("average precision by the labels", "labels"), ("of the teacher's alarms", "alarms_of_the_teacher")]
    names.append(("rank correlation with the teacher", "rank_correlation"))
    rows = [
        (text, *(f"{held[key][who]:.3f}" if who in held[key] else "" for who in ("teacher", "float16", "int8")))
        for text, key in names
        if key in held
    ]
    console.table((f"{held['records']} records, held out by {held['by']}", "teacher", "student", "int8"), rows)
    console.line(f"to score: python {found['path'] / 'score.py'} RECORDS.npz > scores.csv")


def add_to(app: typer.Typer) -> None:
    """Adds the command at the top level."""
    command(app, "distil")(distil)
