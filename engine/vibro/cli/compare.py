"""``vibro diff | reproduce``: what changed between two runs, and whether a run can be repeated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibro.cli.command import command
from vibro.cli.session import Session

if TYPE_CHECKING:
    from vibro.report.difference import Difference

SHOWN = 20  # records in the table


def diff(
    session: Session,
    a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run directory.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The other one.", show_default=False)],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also write a page: FILE.html.")] = None,
    fail_on_change: Annotated[bool, typer.Option("--fail-on-change", help="Exit 1 if a level differs.")] = False,
) -> None:
    """Which verdicts two runs give differently, and which part is why: data, view, detector, calibration, weight, cut."""
    from vibro.cli import console
    from vibro.report.difference import write_difference
    from vibro.runs.diff import diff_runs

    found = diff_runs(session.host(), a, b)
    if out is not None:
        write_difference(found, out, session.lang)
    if not session.result(found.table):
        _show(found, session.lang)
        if out is not None:
            console.line(f"page: {out}")
    if fail_on_change and found.changed:
        raise typer.Exit(1)


def _show(found: Difference, lang: str) -> None:
    """What was set differently, what changed in one sentence, the first records."""
    from vibro.cli.console import clean, line, table, told
    from vibro.io.files import iso_time
    from vibro.report.difference import cause_words, headline
    from vibro.report.texts import texts

    t = texts(lang)
    for part, what in found.parts:
        line(f"{cause_words(part, t)}{t['is']}{told(clean(what))}")
    if not found.parts:
        line(t["diff_no_parts"])
    for key in ("only_a", "only_b", "other_samples"):
        if n := getattr(found, key):
            line(t[f"diff_{key}"].format(n=n))
    line(headline(found, t))
    rows = [
        (
            row["record_id"],
            row["sensor_id"],
            iso_time(row["data_time"]),
            f"{t[row['level_a']]} -> {t[row['level_b']]}",
            f"{row['score_a']:.2f} -> {row['score_b']:.2f}",
            cause_words(row["cause"], t),
        )
        for row in found.changed[:SHOWN]
    ]
    if rows:
        table([t[key] for key in ("record", "sensor", "time", "level", "score", "diff_cause")], rows)
    if len(found.changed) > SHOWN:
        line(f"and {len(found.changed) - SHOWN} more (--json lists all)")


def reproduce(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A finished run directory.", show_default=False)],
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")] = None,
) -> None:
    """Repeats a run from its manifest and compares bytes; exit 1, with what may be why, where they differ."""
    from vibro.cli import console
    from vibro.cli.progress import progress
    from vibro.runs.model import fitted_isolated
    from vibro.runs.reproduce import reproduce as repeat

    host = session.host(files=plugin or (), isolate_files=fitted_isolated(run))
    with progress(host):
        found = repeat(host, run)
    if not session.result({"reproduced": not found.different, **asdict(found)}):
        console.line(
            f"{len(found.same)} of {len(found.same) + len(found.different)} files {'has' if len(found.same) == 1 else 'have'}"
            " the same bytes" + (f"; different: {', '.join(found.different)}" if found.different else "")
        )
        for name, texts in (("data", found.data), ("versions", found.libraries), ("note", found.notes)):
            for text in texts:
                console.line(f"{name}: {console.clean(text)}")
        if found.different and not (found.data or found.libraries or found.notes):
            console.line("nothing that is known differs: data, versions and machine are the same")
    if found.different:
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Adds the commands at the top level."""
    command(app, "diff")(diff)
    command(app, "reproduce")(reproduce)
