"""``vibro benchmark run``: a suite, or a user's data with labels, into a directory of results."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from vibro.benchmark.datasets import Labelled, SetEntry, load_set
from vibro.benchmark.output import write_outcome
from vibro.benchmark.run import Bench, Load, run_suite
from vibro.benchmark.suite import Suite, check_suite
from vibro.context import resolve_device
from vibro.core.executors import make_executor
from vibro.core.plan import Plan
from vibro.core.planning import make_plan
from vibro.errors import ConfigError, DataError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions
from vibro.ingest.tables import with_recordings
from vibro.runs.options import DataOptions, RunOptions
from vibro.runs.overrides import customise, find_ensemble
from vibro.runs.session import Job, job, read_input

MEANINGLESS = (
    "",
    "data",
    "sample",
    "samples",
    "records",
    "signals",
)  # names of files that say nothing of what is in them


@dataclass(frozen=True)
class BenchmarkOptions:
    """What the command line says; a suite file has its own ``suite``, data are described by ``data``."""

    suite: Suite
    data: DataOptions | None = None
    root: Path | None = None  # folder of the recordings that a suite names
    beside: Path | None = None  # folder of the suite, searched first


def run_benchmark(host: PluginHost, what: BenchmarkOptions, options: RunOptions, out: Path) -> dict[str, Any]:
    """Runs it into OUT and returns the content of benchmark.json."""
    suite = what.suite
    check_suite(suite)
    plans = {plan.name: plan for plan in (_plan(host, name, options) for name in suite.ensembles)}
    if len(plans) < len(suite.ensembles):
        raise ConfigError(f"two of the ensembles have one name: {', '.join(suite.ensembles)}", hint="rename one")
    device = resolve_device(options.device)
    with job(host, out, options) as work, make_executor(options.executor) as executor:
        work.parts["device"] = device
        work.parts["settings"] = {"suite": suite.name, "seeds": suite.seeds}
        load = _loader(work, what)
        bench = Bench(host, suite, plans, work.run, executor, device, options.memory)
        clock = perf_counter()
        outcome = run_suite(bench, load)
        work.timings["benchmark"] = perf_counter() - clock
        with work.stage("report"):
            found = write_outcome(work.run.path, outcome, bom=options.csv_bom, lang=options.lang)
        shutil.rmtree(work.run.path / "stages", ignore_errors=True)  # the scores stand in scores/
        work.parts["failures"] = found["failures"]
        work.end("complete")
    return found


def _plan(host: PluginHost, name: str, options: RunOptions) -> Plan:
    title, table = find_ensemble(host.registry, name)
    table = customise(host, table, detectors=options.detectors, sets=options.sets)
    return make_plan(host, title, table, allow_missing=options.allow_missing)


def _loader(work: Job, what: BenchmarkOptions) -> Load:
    """Reads the sets of a suite, or the one of the command line, once."""
    if what.data is not None:
        data = _read(work, what.suite.sets[0].name, what.data)
        return lambda entry, seed: data

    def load(entry: SetEntry, seed: int) -> Labelled:
        beside = what.beside is not None and entry.path and (what.beside / entry.path).exists()
        folder = what.beside if beside else what.root
        if not entry.labels or folder is None:
            return load_set(entry, folder, seed)
        path, labels = folder / entry.path, folder / entry.labels
        for file in (path, labels):
            if not file.exists():
                raise DataError(f"data set {entry.name}: {file} is missing")
        return _read(work, entry.name, DataOptions((path,), IngestOptions(fs=entry.fs or None), labels=labels))

    return load


def _read(work: Job, name: str, options: DataOptions) -> Labelled:
    got = read_input(work, options)
    assert got.labels is not None  # the command and the suite ask for them
    labels = got.labels
    batch = with_recordings(got.batch, labels)
    return Labelled(name, batch, labels.y, labels.fault_type, labels.split, labels.key, labels.unmatched, got.warnings)


def suite_of_data(paths: Sequence[Path], suite: Suite) -> Suite:
    """The suite for a user's own data: one set, named after its first file, or its folder where the file's name says nothing."""
    if not paths:
        raise ConfigError("name a suite file, or data and --labels")
    first = paths[0].resolve()
    name = first.name.partition(".")[0]
    if name in MEANINGLESS:
        name = first.parent.name or name
    return replace(suite, name=name, sets=(SetEntry(name),))
