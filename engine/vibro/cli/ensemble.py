"""``vibro ensemble run | list | show``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vibro.cli.command import command
from vibro.cli.options import (
    AllowMissing,
    CsvBom,
    Data,
    Device,
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

if TYPE_CHECKING:
    from vibro.core.plan import Plan

app = typer.Typer(no_args_is_help=True)


@command(app, "run")
def run(
    session: Session,
    data: Data,
    out: Out,
    reading: Reading,
    tables: Tables,
    ensemble: Annotated[str, typer.Option("--ensemble", help="Named ensemble, or a TOML file with one.")] = "default",
    detectors: Annotated[str | None, typer.Option("--detectors", help="Only these, comma separated.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="DETECTOR.PARAMETER=VALUE; also fuser, thresholder, calibration.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="Wished share of alarms among normal records.  [default: 0.01]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the run.")] = 0,
    device: Device = "auto",
    fit_on: Annotated[
        str, typer.Option("--fit-on", help="Rows to fit on: all, normal, split:NAME, first:0.2, first:30d, until:DATE.")
    ] = "all",
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", help="A local plugin file.")] = None,
    isolate: Annotated[bool, typer.Option("--isolate", help="Run --plugin files in a process of their own.")] = False,
    executor: Annotated[
        str, typer.Option("--executor", help="auto, serial, processes:N, dask://local or dask://host:port.")
    ] = "auto",
    memory: Memory = None,
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Deterministic kernels.")] = False,
    max_quarantine: MaxQuarantine = 0.05,
    allow_missing: AllowMissing = False,
    resume: Resume = False,
    force: Force = False,
    fail_on: FailOn = None,
    no_report: NoReport = False,
    csv_bom: CsvBom = False,
) -> None:
    """Reads, fits, scores, fuses, cuts and writes OUT. Needs no labels."""
    from vibro.cli import console
    from vibro.cli.options import check_fail_on, data_options, memory_bytes
    from vibro.cli.progress import progress
    from vibro.runs.fit import run_ensemble
    from vibro.runs.options import RunOptions

    check_fail_on(fail_on)
    host = session.host(files=plugin or (), isolate_files=isolate, allow_missing=allow_missing)
    options = RunOptions(
        ensemble=ensemble,
        detectors=None if detectors is None else tuple(name.strip() for name in detectors.split(",") if name.strip()),
        sets=tuple(sets or ()),
        budget=budget,
        fit_on=fit_on,
        seed=seed,
        device=device,
        executor=executor,
        memory=memory_bytes(memory),
        deterministic=deterministic,
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
        found = run_ensemble(host, source, options, out, say=console.note)
    show_result(session, found, out, report=not no_report, fail_on=fail_on)


def show_result(session: Session, found: dict[str, Any], out: Path, *, report: bool, fail_on: str | None) -> None:
    """The tables of a run on stdout; exit 1 where ``--fail-on`` asks for it."""
    from vibro.cli import console
    from vibro.cli.run_tables import show_run

    if not session.result(found):
        show_run(found, session.lang, out)
        console.line(f"report: {out / 'report.html'}" if report else f"results: {out}")
    order = ("attention", "alarm")
    if fail_on and any(found["levels"][level] for level in order[order.index(fail_on) :]):
        raise typer.Exit(1)


@command(app, "list")
def list_(session: Session) -> None:
    """Names, content and cost of the known ensembles."""
    from vibro.cli import console
    from vibro.core.planning import make_plan
    from vibro.errors import VibroError

    host = session.host()
    rows: list[dict[str, Any]] = []
    for name in sorted(host.registry.ensembles):
        try:
            table = host.registry.ensemble(name)
            plan = make_plan(host, name, table, allow_missing=True)
            problems = [f"{ident}: {reason}" for ident, reason in plan.absent]
            count, cost = (
                len(plan.detectors),
                f"about {plan.seconds_per_thousand():.0f} s for 1,000 records of 8,192 samples",
            )
        except VibroError as error:
            table, problems, count, cost = dict(host.registry.ensembles[name]), [error.message], 0, "unknown"
        summary = str(table.get("summary", ""))
        rows.append({"name": name, "summary": summary, "detectors": count, "cost": cost, "problems": problems})
    if not session.result({"ensembles": rows}):
        cells = [(r["name"], r["detectors"], r["cost"], "; ".join([r["summary"], *r["problems"]])) for r in rows]
        console.table(("name", "detectors", "cost", "summary"), cells)


@command(app, "show")
def show(
    session: Session,
    name: Annotated[str, typer.Argument(help="Named ensemble, or a TOML file with one.")],
    toml: Annotated[bool, typer.Option("--toml", help="A block ready to be pasted into a registry.")] = False,
) -> None:
    """The resolved ensemble: every detector with its view and parameters, fuser, thresholder, calibration, budgets."""
    from vibro.cli import console
    from vibro.core.plan import resolved
    from vibro.core.planning import make_plan
    from vibro.runs.overrides import find_ensemble

    host = session.host()
    title, table = find_ensemble(host.registry, name)
    plan = make_plan(host, title, table, allow_missing=True)
    whole = resolved(plan)
    whole["absent"] = [{"id": ident, "reason": reason} for ident, reason in plan.absent]
    if session.result(whole):
        return
    if toml:
        console.verbatim(_toml(whole))
        return
    console.line(f"{title}: {whole['summary']}")
    stated = {str(row.get("id", row["use"])): row for row in plan.ensemble.detectors}
    rows = []
    for d, row in zip(plan.detectors, whole["detectors"], strict=True):
        given = stated[d.id]
        params = ", ".join(
            f"{k}={v!r}{'' if k in given else ' (default)'}" for k, v in row.items() if k not in ("use", "id", "view")
        )
        rows.append((d.id, d.cls.name, str(d.view), _item(plan, d.view), params))
    console.table(("id", "detector", "view", "item", "parameters"), rows)
    for part in ("fuser", "thresholder", "calibration", "budgets", "quorum"):
        console.line(f"{part}: {whole[part]}")
    for ident, reason in plan.absent:
        console.line(f"problem: {ident}: {reason}")


def _item(plan: Plan, view: Any) -> str:
    from vibro.core.planning import ROOT_ITEMS

    return ROOT_ITEMS.get(view.name) or plan.extractors[view].cls.item


def _toml(whole: dict[str, Any]) -> str:
    import tomlkit

    body = {key: value for key, value in whole.items() if key not in ("name", "absent")}
    body["detectors"] = [_without_none(row) for row in body["detectors"]]
    document = tomlkit.document()
    detectors = tomlkit.array().multiline(True)
    for row in body["detectors"]:
        table = tomlkit.inline_table()
        table.update(row)
        detectors.append(table)
    section = tomlkit.table()
    for key, value in body.items():
        if key == "detectors":
            section[key] = detectors
        elif isinstance(value, dict):
            table = tomlkit.inline_table()
            table.update(_without_none({k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}))
            section[key] = table
        else:
            section[key] = value
    document["ensembles"] = {whole["name"]: section}
    return tomlkit.dumps(document).rstrip()


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }
