"""Runs a suite: every trial is fitted once, every combination evaluated on its scores; failures are recorded, not fatal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import numpy as np

from vibro.api import Fuser, Metric, Thresholder, without_use
from vibro.benchmark.combos import FuserSpec, subsets
from vibro.benchmark.datasets import Labelled, SetEntry
from vibro.benchmark.drawing import TrialKey
from vibro.benchmark.grid import (
    COLUMNS,
    Table,
    Thresholding,
    judge,
    judge_baselines,
    stack,
    told,
)
from vibro.benchmark.headline import add_metrics, headline
from vibro.benchmark.suite import PoolEntry, Suite
from vibro.benchmark.trial import Trial, cache_key, fit_trial, from_state, to_state
from vibro.context import Context
from vibro.core.plan import Plan, resolved
from vibro.core.scheduler import SerialExecutor
from vibro.errors import ConfigError, QuorumError, VibroError
from vibro.events import StageFinished, StageStarted, TaskFinished, TaskStarted
from vibro.host.manager import PluginHost
from vibro.io.tensors import load_tensors, save_tensors
from vibro.store.rundir import RunDir

Load = Callable[[SetEntry, int], Labelled]
STAGE = "benchmark"
SETS = 1024  # sets evaluated in one task


@dataclass
class Outcome:
    """The results of a suite: one table, further metrics of each trial, failures, seconds."""

    suite: Suite
    table: Table
    details: list[dict[str, Any]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ensembles: dict[str, Any] = field(default_factory=dict)
    trials: dict[str, Path] = field(default_factory=dict)
    fit_seconds: float = 0.0
    judge_seconds: float = 0.0


@dataclass(frozen=True)
class Bench:
    """What every trial of a suite shares."""

    host: PluginHost
    suite: Suite
    plans: Mapping[str, Plan]
    run: RunDir
    executor: Executor = field(default_factory=SerialExecutor)
    device: str = "cpu"
    memory: int = 1 << 30

    def fusers(self, plan: Plan) -> list[FuserSpec]:
        """The ensemble's own fuser first, then those of the suite."""
        own = plan.ensemble.fuser
        found = [FuserSpec(own["use"], plan.fuser, without_use(own))]
        for name in self.suite.fusers:
            if name != own["use"]:
                cls = self.host.component("fuser", name)
                assert issubclass(cls, Fuser)
                found.append(FuserSpec(name, cls, {}))
        return found

    def cuts(self, plan: Plan, seed: int) -> list[Thresholding]:
        """Thresholders of the suite at its budget; the ensemble's own keeps its settings."""
        own = plan.ensemble.thresholder
        found = []
        for name in self.suite.thresholders:
            cls = self.host.component("thresholder", name)
            assert issubclass(cls, Thresholder)
            if cls.needs_labels:
                raise ConfigError(f"thresholder {name} learns from labels and would see those it is evaluated on")
            settings = without_use(own) if name == own["use"] else {}
            made = cls.make(settings, Context(seed=seed).child(f"thresholder:{name}"), where=f"thresholder {name}")
            found.append(Thresholding(name, made, self.suite.budget))
        return found

    def metrics(self, seed: int) -> list[Metric]:
        """Metrics of plugins that are not among the columns of every row."""
        ctx = Context(seed=seed)
        found = []
        for name in self.host.names("metric"):
            if name not in COLUMNS:
                cls = self.host.component("metric", name)
                assert issubclass(cls, Metric)
                found.append(cls.make({}, ctx.child(f"metric:{name}"), where=f"metric {name}"))
        return found


def run_suite(bench: Bench, load: Load) -> Outcome:
    """Fits and judges every trial.

    VibroError if none of them could be made, QuorumError if no detector gave a score in any.
    """
    suite = bench.suite
    out = Outcome(suite, {}, ensembles={name: resolved(plan) for name, plan in bench.plans.items()})
    tables: list[Table] = []
    errors: list[VibroError] = []
    silent: list[str] = []  # why a trial gave no score
    for plan in bench.plans.values():
        bench.fusers(plan), bench.cuts(plan, 0), bench.metrics(0), subsets(len(plan.detectors), suite.combinations)
    pools = sum(len(pools_of(suite, entry)) for entry in suite.sets)
    if not pools:
        raise ConfigError(
            f"suite {suite.name}: no pool can be drawn from its data sets",
            hint="a pool of the variant light needs fault types in light = [...] of the data set",
        )
    clock = perf_counter()
    bench.host.emit(StageStarted(STAGE, pools * len(bench.plans) * suite.seeds * len(suite.label_counts)))
    for entry, pool, name, key, data in _trials(bench, load, out, errors):
        begun = perf_counter()
        bench.host.emit(TaskStarted(STAGE, key.name))
        try:
            trial = _fitted(bench, bench.plans[name], entry, pool, key, data, out)
        except VibroError as error:
            errors.append(error)
            out.failures.append(_failure(key.name, error))
        else:
            if not np.isfinite(trial.raw).any():
                silent.append(trial.error or "; ".join(trial.reasons.values()))
            if trial.error:
                out.failures.append({"trial": key.name, "error": "fit", "message": trial.error})
            out.warnings += [w for w in trial.warnings if w not in out.warnings]
            whole = entry.series and pool.contamination is None
            table, detail, failed = _judged(bench, bench.plans[name], trial, series=whole)
            tables.append(table)
            out.failures += [{"trial": key.name, "error": "judge", "message": message} for message in failed]
            out.details.append(detail)
            out.judge_seconds += detail.pop("judge_seconds")
        bench.host.emit(TaskFinished(STAGE, key.name, perf_counter() - begun))
    bench.host.emit(StageFinished(STAGE, perf_counter() - clock))
    if not tables:
        raise errors[0]
    if len(silent) == len(tables):
        raise QuorumError(f"no detector gave a score in any trial: {silent[0]}", hint="vibro ensemble show NAME")
    return replace(out, table=stack(tables))


def _failure(name: str, error: VibroError) -> dict[str, str]:
    return {"trial": name, "error": type(error).__name__, "message": error.message}


def pools_of(suite: Suite, entry: SetEntry) -> list[PoolEntry]:
    """Pools drawn from a data set; one of light faults only where the set names some."""
    named = [p for p in suite.pools if not p.sets or entry.name in p.sets]
    return [p for p in named if p.variant != "light" or entry.light]


def _trials(
    bench: Bench, load: Load, out: Outcome, errors: list[VibroError]
) -> Iterator[tuple[SetEntry, PoolEntry, str, TrialKey, Labelled]]:
    """Every trial of the suite; a data set is read once, a simulated one once per seed, one that cannot be read is left out."""
    suite = bench.suite
    for entry in suite.sets:
        data = None
        for seed in range(suite.seeds):
            if data is None or entry.simulate:
                try:
                    data = load(entry, seed)
                    check_labels(data)
                except VibroError as error:
                    errors.append(error)
                    out.failures.append(_failure(entry.name, error))
                    break
                if seed == 0:
                    out.data.append(about(entry, data))
                    out.warnings += [f"{entry.name}: {text}" for text in (*data.warnings, *predictable(data))]
            for pool in pools_of(suite, entry):
                for name in bench.plans:
                    for k in suite.label_counts:
                        yield entry, pool, name, TrialKey(entry.name, pool.name, name, k, seed), data


def check_labels(data: Labelled) -> None:
    """ConfigError unless both classes are labelled."""
    for value, word in ((0, "normal"), (1, "anomalous")):
        if not (data.y == value).any():
            raise ConfigError(
                f"the labels of {data.name} hold no {word} record: nothing can be ranked",
                hint="label 0 is normal, 1 anomalous, empty or -1 unknown",
            )


def predictable(data: Labelled) -> list[str]:
    """A sentence where machines, sensors or recordings of two and more records are all of one class."""
    batch, known = data.batch, data.y >= 0
    found = []
    for name, code in (("machine", batch.machine), ("sensor", batch.sensor), ("recording", batch.recording)):
        groups, size = np.unique(code[known], return_counts=True)
        classes = [set(data.y[known & (code == g)].tolist()) for g in groups[size > 1]]
        if len(classes) > 1 and all(len(c) == 1 for c in classes):
            found.append(name)
    if not found:
        return []
    which = " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
    return [f"every {which} is all normal or all anomalous: recognising it would look like finding faults"]


def about(entry: SetEntry, data: Labelled) -> dict[str, Any]:
    """The facts of a data set for ``benchmark.json``."""
    batch = data.batch
    return {
        "name": entry.name,
        "path": entry.path or ("simulated" if entry.simulate else ""),
        "fingerprint": batch.fingerprint,
        "records": len(batch),
        "normal": int((data.y == 0).sum()),
        "anomalous": int((data.y == 1).sum()),
        "machines": len(batch.machines),
        "sensors": len(batch.sensors),
        "fs": batch.fs,
        "length": batch.length,
        "channels": batch.channels,
        "covariates": list(batch.covariate_names),
    }


def _fitted(
    bench: Bench, plan: Plan, entry: SetEntry, pool: PoolEntry, key: TrialKey, data: Labelled, out: Outcome
) -> Trial:
    """The trial from its finished stage, or fitted now."""
    # without a key the trial cannot be reused: a name that no earlier stage has
    name = cache_key(plan, entry, data, pool, bench.suite, key, bench.device) or uuid4().hex
    with bench.run.stage(f"fit-{key.name}", name) as stage:
        path = stage.path / "trial.safetensors"
        if not stage.reused:
            clock = perf_counter()
            trial = fit_trial(
                bench.host,
                plan,
                data,
                pool,
                bench.suite,
                key,
                light=entry.light,
                executor=bench.executor,
                device=bench.device,
                memory=bench.memory,
                folder=bench.run.path / "stages" / "work",
            )
            out.fit_seconds += perf_counter() - clock
            save_tensors(path, to_state(trial))
    out.trials[key.name] = stage.path / "trial.safetensors"
    return from_state(key, load_tensors(out.trials[key.name]))


def _judged(bench: Bench, plan: Plan, trial: Trial, *, series: bool) -> tuple[Table, dict[str, Any], list[str]]:
    """The table of a trial, further metrics of its whole ensemble, and sentences about what failed.

    Sets that cannot be evaluated keep their rows, with empty metrics and the reason.
    """
    clock = perf_counter()
    fusers, cuts = bench.fusers(plan), bench.cuts(plan, trial.key.seed)
    sets = subsets(len(trial.detectors), bench.suite.combinations)
    budget = bench.suite.budget
    parts = [(fuser, sets[start : start + SETS]) for fuser in fusers for start in range(0, len(sets), SETS)]
    jobs = [bench.executor.submit(judge, trial, part, [fuser], cuts, budget) for fuser, part in parts]
    tables, failed = [], defaultdict[str, list[str]](list)
    for (fuser, part), job in zip(parts, jobs, strict=True):
        try:
            table, reasons = job.result()
        except Exception as error:  # a fuser of a plugin may raise anything
            reasons = {fuser.name: [told(error)] * len(part)}
            table, _ = judge(without_scores(trial, told(error)), part, [fuser], cuts, budget)
        for name, why in reasons.items():
            failed[name] += why
        tables.append(table)
    table = stack([*tables, judge_baselines(trial, budget)])
    seconds = perf_counter() - clock
    own = fusers[0]
    kept = without_scores(trial, failed[own.name][0]) if own.name in failed else trial
    detail = headline(kept, own, cuts, bench.metrics(trial.key.seed), budget, series=series)
    tried = {f.name: len(sets) for f in fusers} | {c.name: len(sets) * len(fusers) for c in cuts}
    messages = [
        f"not evaluated under {name} in {len(why)} of {tried[name]} combinations: {why[0]}"
        for name, why in failed.items()
        if why
    ]
    messages += [f"not evaluated under {name}: {reason}" for name, reason in detail.pop("failed").items()]
    return add_metrics(table, trial, own.name, detail), {**detail, "judge_seconds": seconds}, messages


def without_scores(trial: Trial, reason: str) -> Trial:
    """The trial with all scores removed, for this reason."""
    nothing = {name: np.full_like(getattr(trial, name), np.nan) for name in ("raw", "z", "reference")}
    return replace(trial, **nothing, reasons=dict.fromkeys(trial.detectors, reason), error=reason)
