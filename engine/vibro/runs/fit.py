"""``vibro ensemble run`` and ``vibro score``: fit or load, score, decide, and write every file of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from vibro.context import Context, make_deterministic, resolve_device
from vibro.core.engine import Engine
from vibro.core.executors import make_executor, resolve_executor
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.plan import Plan, resolved
from vibro.core.planning import make_plan
from vibro.core.rows import Rows
from vibro.core.scheduler import SerialExecutor
from vibro.data import SignalBatch
from vibro.errors import ConfigError, PluginError
from vibro.host.discovery import describe
from vibro.host.manager import PluginHost
from vibro.ingest.settings import taken_along
from vibro.injection.fit import fit_ensemble
from vibro.io.paths import cache_folder
from vibro.runs.fit_rows import rows_to_fit
from vibro.runs.forecast import forecast, seconds_of
from vibro.runs.groups import with_groups
from vibro.runs.hosts import check_address_space
from vibro.runs.model import MODEL, save_model
from vibro.runs.options import DataOptions, RunOptions, settings
from vibro.runs.outputs import decision, finish, plugins_of
from vibro.runs.overrides import customise, find_ensemble
from vibro.runs.session import check_input, finished, job, read_input
from vibro.scoring.contamination import find_contamination
from vibro.scoring.verdict import REASONS, Verdict
from vibro.store import manifest
from vibro.store.marks import marks_in, not_obeyed, read_marks
from vibro.store.viewcache import ViewCache


def run_ensemble(
    host: PluginHost,
    data: DataOptions,
    options: RunOptions,
    out: Path,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Reads, fits, scores, fuses, cuts, writes OUT; returns the summary."""
    check_address_space()
    if (done := finished(host, out, options)) is not None:
        return done
    name, table = find_ensemble(host.registry, options.ensemble)
    table = customise(host, table, detectors=options.detectors, sets=options.sets, budget=options.budget)
    plan = make_plan(host, name, table, allow_missing=options.allow_missing)
    device = resolve_device(options.device)
    if options.deterministic:
        make_deterministic()
    learners = learners_of(plan)
    if learners and data.labels is None:
        raise ConfigError(f"{', '.join(learners)} learns from labels", hint="give --labels FILE")
    check_input(data, options.fit_on)
    most = resolve_executor(options.executor, float("inf"), device)  # workers are started when they are given work
    with make_executor(most) as executor, job(host, out, options) as work:
        work.parts |= {"device": device, "ensemble": resolved(plan), "settings": settings(data, options)}
        work.parts["plugins"] = describe(plugins_of(host, plan))
        replaced = read_marks(work.run.out)  # of the run that is replaced
        got = read_input(work, data)
        batch = got.batch
        rows, said = rows_to_fit(batch, got.labels, options.fit_on)
        rows, groups, small = with_groups(batch, rows, got.groups)
        got = replace(got, warnings=(*got.warnings, *said, *small))
        options = replace(options, executor=resolve_executor(options.executor, seconds_of(plan, batch), device))
        executor, work.options = executor if options.executor == most else SerialExecutor(), options
        work.parts["settings"]["executor"] = options.executor
        for line in forecast(plan, batch, rows, options.executor):
            say(line)
        scratch = work.run.path / "stages" / "work"
        ctx = Context(seed=options.seed, device=device, fs=batch.fs, scratch=scratch / "fits")
        engine = Engine(
            host,
            ctx,
            executor=executor,
            memory=options.memory,
            folder=scratch,
            cache=ViewCache(cache_folder() / "views"),
        )
        y = got.labels.y if got.labels is not None and learners else None
        with work.stage("detect"):
            fitted, report, matrix = fit_ensemble(engine, plan, batch, rows, y)
        failed = [r for r in report.results if r.status == "failed"]
        if failed and not options.allow_missing:
            raise PluginError(
                f"detector {failed[0].id} failed in {failed[0].phase}: {failed[0].reason}",
                hint="--allow-missing goes on without it as long as the quorum holds",
            )
        got = replace(got, warnings=(*got.warnings, *some_rows(report), *undone(report)))
        stopped_on = {r.id: batch.ids[list(r.stopped_on)].tolist() for r in report.results if r.stopped_on}
        work.parts["rows"] = {**report.rows, "stopped_on": stopped_on}
        if y is not None:
            labelled = int((y[rows.fit] >= 0).sum())
            work.parts["supervised"] = {"learners": learners, "labels": str(data.labels), "rows": labelled}
        assert matrix.look is not None  # the fit has seen to it
        marks = marks_in(replaced, batch.ids, matrix.look, fitted.marks.near)
        got = replace(got, warnings=(*got.warnings, *not_obeyed(replaced, marks)))
        fitted = replace(fitted, marks=fitted.marks.joined(marks))
        with work.stage("fuse"):
            known = {sensor: machine.table for sensor, machine in got.machines.items()}
            fitted = replace(
                fitted, schema={**fitted.schema, "machines": known, **({"groups": groups} if groups else {})}
            )
            verdict = engine.decide(fitted, matrix, batch)
            got = replace(got, warnings=(*got.warnings, *contaminated(batch, rows, verdict, fitted)))
            fitted = replace(fitted, schema={**fitted.schema, **taken_along(got.ingested.options, batch.fs)})
            save_model(work.run.path / MODEL, fitted, report, manifest.libraries(), got.ingested.mains_hz)
        work.parts["decisions"] = [
            decision(plan.ensemble.thresholder["use"], asdict(plan.ensemble.budgets), fitted.cuts)
        ]
        return finish(work, got, fitted, report, matrix, verdict, rows.fit)


def some_rows(report: FitReport) -> list[str]:
    """A sentence on detectors that learned from a part of the fit rows, since all would take too long."""
    used = {r.id: int(r.health["rows_used"]) for r in report.results if "rows_used" in r.health}
    told = _listed([f"{ident} {rows}" for ident, rows in used.items()], most=len(used))
    rows = report.rows["fit"]
    return [f"detectors that learned from some of the {rows} fit rows, evenly spread: {told}"] if used else []


def undone(report: FitReport) -> list[str]:
    """A sentence on networks whose training was of no use, so that they score with the weights that they began with."""
    names = [r.id for r in report.results if r.status == "ok" and r.loss and r.health.get("epoch") == 0]
    told = _listed(names, most=len(names))
    return [f"training told held-out records from disturbed copies no better, and was undone: {told}"] if names else []


def contaminated(batch: SignalBatch, rows: Rows, verdict: Verdict, fitted: FittedEnsemble) -> list[str]:
    """Sentences on machines whose fit rows seem to hold faults, with the option that leaves those out."""
    fit, budget = rows.fit, fitted.plan.ensemble.budgets.alarm
    passing = np.isin(verdict.reason, (REASONS.index("transient"), REASONS.index("benign")))
    score = np.where(passing, np.nan, verdict.persistent)
    found = find_contamination(score[fit], batch.machine[fit], batch.time[fit], fitted.cuts.alarm, budget)
    dated = [c for c in found if not np.isnat(c.since)]
    said = []
    if dated:
        shown = [
            f"{c.share:.0%} of {batch.machines[c.machine]} after {np.datetime_as_string(c.since, 's')}" for c in dated
        ]
        other = "" if rows.judged_held_out else ", or on the first part of each life with --fit-on first:0.2"
        until = np.datetime_as_string(min(c.since for c in dated), "s")
        said.append(
            f"the fit seems to hold faults, rows far out: {_listed(shown)};"
            f" fit on the time before with --fit-on until:{until}{other}"
        )
    if undated := [f"{c.share:.0%} of {batch.machines[c.machine]}" for c in found if np.isnat(c.since)]:
        said.append(
            f"the fit seems to hold faults, rows far out over all its time: {_listed(undated)};"
            " with records known to be normal fit on those: --labels FILE --fit-on normal"
        )
    return said


def _listed(items: Sequence[str], most: int = 5) -> str:
    return ", ".join([*items[:most], *([f"and {len(items) - most} more"] if len(items) > most else [])])


def learners_of(plan: Plan) -> list[str]:
    """Parts of a plan that learn from labels; ConfigError for a thresholder, whose cut belongs to known records."""
    found = [d.id for d in plan.detectors if d.cls.needs_labels]
    if plan.thresholder.needs_labels:
        raise ConfigError(
            f"thresholder {plan.thresholder.name} learns from labels, which a run does not",
            hint=f"after the run: vibro threshold RUN --method {plan.thresholder.name} --labels FILE",
        )
    return found + ([f"fuser {plan.fuser.name}"] if plan.fuser.needs_labels else [])
