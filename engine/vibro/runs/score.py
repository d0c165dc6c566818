"""``vibro score``: a frozen model on new records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from vibro.context import Context, resolve_device
from vibro.core.engine import Engine
from vibro.core.executors import make_executor
from vibro.core.fitted import FitReport, FittedEnsemble
from vibro.core.plan import resolved
from vibro.data import SignalBatch, check_schema, earlier_than
from vibro.errors import ConfigError, PluginError, QuorumError
from vibro.host.discovery import describe
from vibro.host.manager import PluginHost
from vibro.io.paths import cache_folder
from vibro.runs.hosts import check_address_space
from vibro.runs.model import load_model, model_folder, verify_model
from vibro.runs.options import DataOptions, RunOptions, settings
from vibro.runs.outputs import decision, finish, plugins_of
from vibro.runs.session import check_input, finished, job, read_input
from vibro.runs.voice import names
from vibro.scoring.verdict import INDETERMINATE, INVALID, Verdict
from vibro.store import manifest
from vibro.store.marks import marks_in, not_obeyed, read_marks
from vibro.store.place import check_free, real_path
from vibro.store.viewcache import ViewCache
from vibro.words import counted


def score_data(host: PluginHost, model: Path, data: DataOptions, options: RunOptions, out: Path) -> dict[str, Any]:
    """Scores data with a frozen model into OUT; nothing is fitted."""
    check_address_space()
    if (done := finished(host, out, options)) is not None:
        return done
    target, source = real_path(out), real_path(model_folder(model))
    if target in (source, source.parent) or source in target.parents:
        raise ConfigError(f"-o {out} is where the model lies; scoring never changes it", hint="choose another -o")
    check_free(out, force=options.force)
    fitted, report, meta = load_model(host, model, allow_missing=options.allow_missing)
    device = resolve_device(options.device)
    engine = Engine(host, Context(seed=fitted.seed, device=device), memory=options.memory)
    verify_model(engine, fitted, meta, manifest.libraries(), allow_missing=options.allow_missing)
    check_input(data, "all")
    with make_executor(options.executor) as executor, job(host, out, options) as work:
        work.parts |= {"device": device, "ensemble": resolved(fitted.plan), "seed": fitted.seed, "rows": report.rows}
        work.parts["settings"] = {
            **settings(data, options),
            "model": {"path": str(model.absolute()), "digest": meta["digest"]},
        }
        work.parts["plugins"] = describe(plugins_of(host, fitted.plan))
        got = read_input(work, data, fitted.schema)
        check_schema(fitted.schema, got.batch)
        said = (*unknown_sensors(fitted.schema["sensors"], got.batch), *earlier_than(fitted.schema, got.batch))
        got = replace(got, warnings=(*got.warnings, *said))
        engine = Engine(
            host,
            Context(seed=fitted.seed, device=device, fs=got.batch.fs),
            executor=executor,
            memory=options.memory,
            folder=work.run.path / "stages" / "work",
            cache=ViewCache(cache_folder() / "views"),
        )
        with work.stage("detect"):
            matrix, failed = engine.score_survivors(fitted, got.batch)
        if failed and not options.allow_missing:
            raise PluginError(
                f"detector {failed[0].id} failed in score: {failed[0].reason}",
                hint="--allow-missing goes on without it",
            )
        lost = {r.id: r for r in failed}
        report = replace(report, results=tuple(lost.get(r.id, r) for r in report.results))
        assert matrix.look is not None  # scoring has seen to it
        replaced = read_marks(work.run.out)
        marks = marks_in(replaced, got.batch.ids, matrix.look, fitted.marks.near)
        fitted = replace(fitted, marks=fitted.marks.joined(marks))
        got = replace(got, warnings=(*got.warnings, *not_obeyed(replaced, fitted.marks)))
        with work.stage("fuse"):
            verdict = engine.decide(fitted, matrix, got.batch)
        check_judged(verdict, fitted, report)
        work.parts["decisions"] = [
            decision(fitted.plan.ensemble.thresholder["use"], asdict(fitted.plan.ensemble.budgets), fitted.cuts)
        ]
        return finish(work, got, fitted, report, matrix, verdict)


def unknown_sensors(known: Sequence[str], batch: SignalBatch) -> list[str]:
    """A sentence on sensors that the model has not been fitted on."""
    told = set(known)
    codes = [code for code, name in enumerate(batch.sensors) if name not in told]
    records = int(np.isin(batch.sensor, codes).sum())
    if not records:
        return []
    who = f"{counted(len(codes), 'sensor')} ({names([batch.sensors[code] for code in codes])})"
    return [f"the model does not know {who}: {counted(records, 'record')} judged by the calibration of all its sensors"]


def check_judged(verdict: Verdict, fitted: FittedEnsemble, report: FitReport) -> None:
    """QuorumError if there are records with good data and not one of them got enough scores for a verdict."""
    open_to_judge = verdict.level != INVALID
    if open_to_judge.any() and (verdict.level[open_to_judge] == INDETERMINATE).all():
        absent = [ident for ident, _ in fitted.plan.absent] + [r.id for r in report.results if r.status == "failed"]
        raise QuorumError(
            f"no record got a verdict: less than the quorum of {fitted.plan.ensemble.quorum:g} of the weight is left"
            + (f" without {', '.join(dict.fromkeys(absent))}" if absent else ""),
            hint="vibro plugins list",
        )
