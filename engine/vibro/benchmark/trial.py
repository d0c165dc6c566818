"""One trial: an ensemble fitted once on one pool with one seed, and all that its evaluation needs, as plain arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.baselines import TRIVIAL, trivial_scores
from vibro.benchmark.datasets import Labelled, SetEntry
from vibro.benchmark.drawing import TrialKey, draw_rows, strategy_of
from vibro.benchmark.suite import PoolEntry, Suite
from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.plan import Plan, resolved
from vibro.core.view_key import code_of
from vibro.errors import VibroError
from vibro.host.manager import PluginHost
from vibro.injection.fit import fit_ensemble
from vibro.io.tensors import decode_text, encode_text
from vibro.scoring.calibration import compressed
from vibro.store.manifest import libraries

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """Scores of n evaluated rows by d planned detectors, and the held-out reference.

    ``raw`` and ``z`` (n, d), ``reference`` (r, d): NaN columns for detectors without scores, with the reason in
    ``reasons``. ``y`` (n,) truth, ``part`` (n,) bits POOL and TEST, ``known`` (n,) labels shown to learners, -1 else.
    ``trivial`` baselines (n,) by name. ``seconds`` (d, 2): fit and score.
    """

    key: TrialKey
    detectors: tuple[str, ...]
    reasons: Mapping[str, str]
    raw: Floats
    z: Floats
    reference: Floats
    y: NDArray[np.int16]
    part: NDArray[np.uint8]
    known: NDArray[np.int16]
    groups: NDArray[np.int32]  # (n, 3): machine, sensor, recording
    seen: NDArray[np.bool_]  # (n,) the machine was among the fit rows
    fault_type: NDArray[np.str_]
    trivial: Mapping[str, Floats]
    seconds: Floats
    strategy: str  # how the rows were chosen, in words
    sensors: tuple[str, ...]  # names of the codes in ``groups``
    warnings: tuple[str, ...] = ()
    error: str = ""  # the fit as a whole failed


def fit_trial(
    host: PluginHost,
    plan: Plan,
    data: Labelled,
    pool: PoolEntry,
    suite: Suite,
    key: TrialKey,
    *,
    light: tuple[str, ...] = (),
    executor: Executor | None = None,
    device: str = "cpu",
    memory: int = 1 << 30,
    folder: Path | None = None,
) -> Trial:
    """Draws the rows, fits the plan on them, with the shown labels for detectors that learn, and scores the evaluated rows.

    A plan that cannot be fitted on these rows gives a trial whose ``error`` says why.
    """
    data, rows, judged, part, known, split = draw_rows(data, pool, suite, key, light)
    used = np.union1d(rows.fit, judged)
    data, place = data.take(used), np.full(int(used.max()) + 1, -1)
    place[used] = np.arange(len(used))
    rows = replace(rows, fit=place[rows.fit])
    in_sample = suite.is_in_sample(key.ensemble)
    if in_sample:
        rows = replace(rows, fold=np.zeros_like(rows.fold), strategy=f"{strategy_of(suite, key)}; in sample")
    ctx = Context(seed=key.seed, device=device, fs=data.batch.fs)
    engine = Engine(host, ctx, executor=executor, memory=memory, folder=folder)
    here = place[judged]
    batch = data.batch
    names = tuple(d.id for d in plan.detectors)
    n, d = len(here), len(names)
    base = trivial_scores(batch, key.seed, rows.fit)
    trial = Trial(
        key=key,
        detectors=names,
        reasons={},
        raw=np.full((n, d), np.nan),
        z=np.full((n, d), np.nan),
        reference=np.zeros((0, d)),
        y=data.y[here],
        part=part[judged],
        known=known[judged],
        groups=np.stack([batch.machine, batch.sensor, batch.recording], axis=1)[here],
        seen=np.isin(batch.machine[here], batch.machine[rows.fit]),
        fault_type=data.fault_type[here],
        trivial={name: base[name][here] for name in TRIVIAL},
        seconds=np.zeros((d, 2)),
        strategy=f"{split.strategy}; {rows.strategy}",
        sensors=batch.sensors,
        warnings=split.warnings,
    )
    learners = [d.id for d in plan.detectors if d.cls.needs_labels] if key.labelled_k else []
    if learners and suite.protocol == "normals":
        note = f"{', '.join(learners)}: sees labels of normal records only, for the protocol 'normals' fits no other"
        trial = replace(trial, warnings=(*trial.warnings, note))
    try:
        fitted, report, matrix = fit_ensemble(
            engine, plan, batch, rows, known[used] if learners else None, sensitivity=not in_sample, trial=False
        )
    except VibroError as error:
        return replace(trial, reasons=dict.fromkeys(names, error.message), error=error.message)
    column = [names.index(i) for i in matrix.detectors]
    trial.raw[:, column] = matrix.raw[here]
    z, holdout = matrix.z[here], fitted.reference["z"]
    if in_sample:
        fit, linear = matrix.raw[rows.fit], plan.ensemble.calibration.linear
        z, holdout = (standardised(raw, fit, linear) for raw in (matrix.raw[here], fit))
    trial.z[:, column] = z
    for ident in learners:  # its score on rows whose label it learned must not teach the fuser
        trial.z[trial.known >= 0, names.index(ident)] = np.nan
    reference = np.full((len(holdout), d), np.nan)
    reference[:, column] = holdout
    for result in report.results:
        trial.seconds[names.index(result.id)] = result.fit_seconds, result.score_seconds
    reasons = {r.id: r.reason for r in report.results if r.status != "ok"}
    return replace(trial, reference=reference, reasons=reasons)


def standardised(raw: Floats, fit: Floats, linear: float) -> Floats:
    """z (n, d) of raw scores (n, d): (raw - mean) / sd over the scores (r, d) of all fitted rows, compressed beyond ``linear``.

    The same for all sensors; sd is that of the population. NaN stays NaN and counts for nothing; a constant
    column of ``fit`` gives 0.
    """
    z = np.full(raw.shape, np.nan)
    for j, scores in enumerate(fit.T):
        scores = scores[np.isfinite(scores)]
        if len(scores):
            sd = scores.std() if np.ptp(scores) > 0 else np.inf
            z[:, j] = (raw[:, j] - scores.mean()) / sd
    return compressed(z, linear)


def cache_key(
    plan: Plan, entry: SetEntry, data: Labelled, pool: PoolEntry, suite: Suite, key: TrialKey, device: str
) -> str:
    """Hash of everything that a trial's scores depend on: records, settings, vibro's code and the plugins', libraries.

    Empty where the source of a component cannot be read: such a trial is never reused.
    """
    code = [code_of(cls) for cls in (*(d.cls for d in plan.detectors), *(v.cls for v in plan.extractors.values()))]
    if not all(code):
        return ""
    told = {f.name: getattr(part, f.name) for part in (data, data.batch) for f in fields(part)}
    told = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in told.items()}
    del told["batch"], told["x"]  # a record's id is a hash of its signal
    protocol = [suite.split, suite.protocol, suite.limit, suite.is_in_sample(key.ensemble), device]
    what = [resolved(plan), entry, told, pool, protocol, key, code, libraries()]
    return sha256(json.dumps(what, default=repr, sort_keys=True).encode()).hexdigest()


def to_state(trial: Trial) -> dict[str, NDArray[Any]]:
    """The trial as plain arrays, for ``vibro.io.tensors``."""
    about = {
        "strategy": trial.strategy,
        "warnings": list(trial.warnings),
        "error": trial.error,
        "reasons": dict(trial.reasons),
    }
    arrays = ("raw", "z", "reference", "y", "part", "known", "groups", "seen", "seconds")
    return {
        **{name: getattr(trial, name) for name in arrays},
        **{f"trivial_{name}": values for name, values in trial.trivial.items()},
        "detectors": encode_text(trial.detectors),
        "sensors": encode_text(trial.sensors),
        "fault_type": encode_text(trial.fault_type),
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
    }


def from_state(key: TrialKey, state: Mapping[str, NDArray[Any]]) -> Trial:
    """What ``to_state`` gave."""
    about = json.loads(state["about"].tobytes())
    arrays = ("raw", "z", "reference", "y", "part", "known", "groups", "seen", "seconds")
    return Trial(
        key=key,
        detectors=tuple(map(str, decode_text(state["detectors"]))),
        sensors=tuple(map(str, decode_text(state["sensors"]))),
        fault_type=decode_text(state["fault_type"]),
        trivial={name: state[f"trivial_{name}"] for name in TRIVIAL},
        reasons=about["reasons"],
        strategy=about["strategy"],
        warnings=tuple(about["warnings"]),
        error=about["error"],
        **{name: state[name] for name in arrays},
    )
