"""``vibro watch | accept``: scoring what arrives, and the new baseline of a sensor after a repair."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import CovariateTolerance, Device, Out, Reading
from vibro.cli.session import Session
from vibro.words import counted


def watch(
    session: Session,
    folder: Annotated[Path, typer.Argument(help="The folder that files arrive in.", show_default=False)],
    model: Annotated[Path, typer.Option("--model", help="A run directory or its model/ folder.", show_default=False)],
    out: Out,
    reading: Reading,
    covariates: Annotated[
        Path | None, typer.Option("--covariates", help="Table of load, temperature ..., read anew at each look.")
    ] = None,
    covariate_tolerance: CovariateTolerance = 600.0,
    once: Annotated[bool, typer.Option("--once", help="Score what is there and end, for cron.")] = False,
    settle: Annotated[float, typer.Option("--settle", min=0, help="Seconds that a file must rest.")] = 2.0,
    patience: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds after which a file is taken as it is, whole or not.")
    ] = 60.0,
    command: Annotated[str | None, typer.Option("--command", help="Gets each event on its standard input.")] = None,
    webhook: Annotated[str, typer.Option("--webhook", help="Gets each event as a POST of JSON.")] = "",
    device: Device = "auto",
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")] = None,
) -> None:
    """Scores what arrives in a folder, each record once, and tells when a machine's level changes or scores drift."""
    from vibro.cli import console
    from vibro.runs.bell import bell
    from vibro.runs.model import fitted_isolated
    from vibro.runs.watch import WatchOptions
    from vibro.runs.watch import watch as watch_folder

    def tell(event: Mapping[str, Any]) -> None:
        if session.json:
            _json_line(event)
        elif event["event"] == "covariates":
            console.note(f"warning: {console.clean(event['source'])}: {console.clean(event['warning'])}")
        else:
            console.line(_sentence(event))
            sys.stdout.flush()

    options = WatchOptions(
        folder=folder,
        model=model,
        out=out,
        reading=reading.options(need_fs=False),
        covariates=covariates,
        covariate_tolerance=covariate_tolerance,
        device=device,
        once=once,
        settle=settle,
        patience=patience,
        command=tuple(shlex.split(command or "")),
        webhook=webhook,
    )
    wait: dict[str, Any] = {} if once or not folder.is_dir() else {"wait": bell(folder)}
    host = session.host(files=plugin or (), isolate_files=fitted_isolated(model))
    done = watch_folder(host, options, console.note, tell, **wait)
    found = {"files": done.files, "records": done.records, "events": done.events, "waiting": done.waiting}
    if session.json:
        _json_line({"event": "done", **found})
    else:
        left = f"; {done.waiting} are still being written, and left for the next time" if done.waiting else ""
        console.line(
            f"{counted(done.records, 'record')} of {counted(done.files, 'file')} scored: {out / 'scores.csv'}{left}"
        )


def accept(
    session: Session,
    run: Annotated[Path, typer.Argument(help="A run that holds the new records.", show_default=False)],
    sensor: Annotated[str, typer.Argument(help="The sensor.", show_default=False)],
    since: Annotated[
        str, typer.Option("--since", help="From when on: 2024-05-01, 2024-05-01T10:00:00Z.", show_default=False)
    ],
) -> None:
    """Takes what a sensor shows since a repair as its new baseline, in the model that RUN fitted or was scored with."""
    from vibro.cli import console
    from vibro.runs.accept import accept_baseline

    done = accept_baseline(session.host(), run, sensor, since)
    table = {"model": done.model, "records": done.records, "median_z": {"before": done.before, "after": done.after}}
    if not session.result(table):
        console.line(
            f"{done.records} records of sensor {console.clean(sensor)} are its baseline in {done.model}:"
            f" median z {done.before:.2f} before, {done.after:.2f} now"
        )
        console.line("scores from now on follow it; a new fit would learn from these records too")


def _json_line(value: Mapping[str, Any]) -> None:
    from vibro.cli.console import dumps
    from vibro.io.files import plain

    sys.stdout.write(dumps(plain(value), sys.stdout) + "\n")
    sys.stdout.flush()


def _sentence(event: Mapping[str, Any]) -> str:
    from vibro.cli.console import clean
    from vibro.io.files import iso_time

    if event["event"] == "drift":
        return (
            f"sensor {clean(event['sensor_id']) or '(no name)'}: the last {event['records']} scores are not those of the fit"
            f" ({event['above']:.0%} of pairs above, p {event['p']:.1g}; one false alarm in {1 / event['false_alarms']:.0f}"
            f" such tests): {event['proposal']}"
        )
    since = iso_time(event["since"])
    return (
        f"machine {clean(event['machine_id']) or '(no name)'}: {event['before']} -> {event['level']}"
        + (f" since {since}" if since and event["level"] != "normal" else "")
        + (f" ({event['reason']}, score {event['score']:.3g})" if event["level"] != "normal" else "")
    )


def add_to(app: typer.Typer) -> None:
    """Adds the commands at the top level."""
    command(app, "watch")(watch)
    command(app, "accept")(accept)
