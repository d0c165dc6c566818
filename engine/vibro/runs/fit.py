"""``vibro ensemble run`` and ``vibro score``: fit or load, score, decide, and write every file of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vibro.context import Context, make_deterministic, resolve_device
from vibro.core.engine import Engine
from vibro.core.executors import make_executor, resolve_executor
from vibro.core.plan import Plan, resolved
from vibro.core.planning import make_plan
from vibro.errors import ConfigError, PluginError
from vibro.host.manager import PluginHost, describe
from vibro.injection.fit import fit_ensemble
from vibro.io.paths import cache_folder
from vibro.runs.fit_rows import rows_to_fit
from vibro.runs.forecast import forecast
from vibro.runs.model import MODEL, save_model
from vibro.runs.options import DataOptions, RunOptions, settings
from vibro.runs.outputs import decision, finish, plugins_of
from vibro.runs.overrides import customise, find_ensemble
from vibro.runs.session import check_input, job, read_input
from vibro.store import manifest
from vibro.store.viewcache import ViewCache


def run_ensemble(
    host: PluginHost,
    data: DataOptions,
    options: RunOptions,
    out: Path,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Reads, fits, scores, fuses, cuts, writes OUT; returns the summary."""
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
    options = replace(options, executor=resolve_executor(options.executor, plan.seconds_per_thousand(), device))
    with make_executor(options.executor) as executor, job(host, out, options) as work:
        work.parts |= {"device": device, "ensemble": resolved(plan), "settings": settings(data, options)}
        work.parts["plugins"] = describe(plugins_of(host, plan))
        got = read_input(work, data)
        batch = got.batch
        rows, said = rows_to_fit(batch, got.labels, options.fit_on)
        got = replace(got, warnings=(*got.warnings, *said))
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
        work.parts["rows"] = report.rows
        if y is not None:
            labelled = int((y[rows.fit] >= 0).sum())
            work.parts["supervised"] = {"learners": learners, "labels": str(data.labels), "rows": labelled}
        with work.stage("fuse"):
            verdict = engine.decide(fitted, matrix, batch)
            save_model(work.run.path / MODEL, fitted, report, manifest.libraries(), got.ingested.mains_hz)
        work.parts["decisions"] = [
            decision(plan.ensemble.thresholder["use"], asdict(plan.ensemble.budgets), fitted.cuts)
        ]
        return finish(work, got, fitted, report, matrix, verdict, rows.fit)


def learners_of(plan: Plan) -> list[str]:
    """Parts of a plan that learn from labels; ConfigError for a thresholder, whose cut belongs to known records."""
    found = [d.id for d in plan.detectors if d.cls.needs_labels]
    if plan.thresholder.needs_labels:
        raise ConfigError(
            f"thresholder {plan.thresholder.name} learns from labels, which a run does not",
            hint=f"after the run: vibro threshold RUN --method {plan.thresholder.name} --labels FILE",
        )
    return found + ([f"fuser {plan.fuser.name}"] if plan.fuser.needs_labels else [])
