"""One trial: an ensemble fitted once on one pool with one seed, and all that its evaluation needs, as plain arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.baselines import TRIVIAL, trivial_scores
from vibro.benchmark.datasets import Labelled, SetEntry, add_noise
from vibro.benchmark.splits import Split, draw_pool, keep_labels, make_split, siblings
from vibro.benchmark.suite import PoolEntry, Suite
from vibro.context import Context
from vibro.core.engine import Engine
from vibro.core.folds import make_rows
from vibro.core.plan import Plan, resolved
from vibro.core.rows import Rows
from vibro.core.view_key import code_of
from vibro.errors import ConfigError, VibroError
from vibro.host.manager import PluginHost
from vibro.injection.fit import fit_ensemble
from vibro.io.tensors import decode_text, encode_text
from vibro.store.manifest import libraries

Floats = NDArray[np.float64]
POOL, TEST = 1, 2  # bits of ``part``


@dataclass(frozen=True)
class TrialKey:
    """Which trial: data set, pool, ensemble, labels per class (0 = none), seed."""

    data: str
    pool: str
    ensemble: str
    labelled_k: int
    seed: int

    @property
    def name(self) -> str:
        """Usable as a file name."""
        few = f"-k{self.labelled_k}" if self.labelled_k else ""
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in f"{self.data}-{self.pool}-{self.ensemble}")
        return f"{plain}{few}-seed{self.seed}"


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
        rows = replace(rows, fold=np.zeros_like(rows.fold), strategy=f"{_strategy(suite, key)}; in sample")
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
        fit, clip = matrix.raw[rows.fit], plan.ensemble.calibration.clip
        z, holdout = (standardised(raw, fit, clip) for raw in (matrix.raw[here], fit))
    trial.z[:, column] = z
    for ident in learners:  # its score on rows whose label it learned must not teach the fuser
        trial.z[trial.known >= 0, names.index(ident)] = np.nan
    reference = np.full((len(holdout), d), np.nan)
    reference[:, column] = holdout
    for result in report.results:
        trial.seconds[names.index(result.id)] = result.fit_seconds, result.score_seconds
    reasons = {r.id: r.reason for r in report.results if r.status != "ok"}
    return replace(trial, reference=reference, reasons=reasons)


def standardised(raw: Floats, fit: Floats, clip: tuple[float, float]) -> Floats:
    """z (n, d) of raw scores (n, d): (raw - mean) / sd over the scores (r, d) of all fitted rows, within ``clip``.

    The same for all sensors; sd is that of the population. NaN stays NaN and counts for nothing; a constant
    column of ``fit`` gives 0.
    """
    z = np.full(raw.shape, np.nan)
    for j, scores in enumerate(fit.T):
        scores = scores[np.isfinite(scores)]
        if len(scores):
            sd = scores.std() if np.ptp(scores) > 0 else np.inf
            z[:, j] = (raw[:, j] - scores.mean()) / sd
    return np.clip(z, *clip, out=z)


class Drawn(NamedTuple):
    """Records, with noise added where the pool asks for it, the rows to fit and to evaluate, and the known labels."""

    data: Labelled
    rows: Rows
    judged: NDArray[np.intp]
    part: NDArray[np.uint8]  # (n,) bits POOL and TEST
    known: NDArray[np.int16]  # (n,) labels shown to learners, -1 else
    split: Split


def draw_rows(data: Labelled, pool: PoolEntry, suite: Suite, key: TrialKey, light: tuple[str, ...] = ()) -> Drawn:
    """The rows of a trial, the same for the same data set, pool and seed, whatever the ensemble.

    Which rows are fitted does not depend on the labels that are shown. Under the protocol ``pool`` labels of fitted rows
    are shown; under ``normals`` also those of anomalous rows, which no detector is fitted on: only fusers see them.
    """
    if pool.snr_db is not None:
        data = replace(data, batch=add_noise(data.batch, pool.snr_db, key.seed))
    split = make_split(data, suite.split, key.seed)
    fit, part = _choose(data, pool, suite, key, split.train, split.test, light)
    drawn = np.flatnonzero(part) if suite.protocol == "normals" else fit
    rows = make_rows(data.batch, fit[data.batch.valid[fit]], _strategy(suite, key))
    known = np.full(len(data.y), -1, np.int16)
    if key.labelled_k:
        known = keep_labels(data, _to_show(data, suite, rows, split.train), key.labelled_k, key.seed)
        part[siblings(data, known >= 0)] = 0
        _check_left(data, pool, key, part > 0)
    split = replace(split, warnings=(*split.warnings, *_short(data, pool, drawn), *_few(data, key, known)))
    return Drawn(data, rows, np.flatnonzero((part > 0) | (known >= 0)), part, known, split)


def _strategy(suite: Suite, key: TrialKey) -> str:
    """What is fitted and which labels are shown."""
    if not key.labelled_k:
        return suite.protocol
    where = (
        "normal ones of fitted records, anomalous ones to fusers only"
        if suite.protocol == "normals"
        else "of fitted records"
    )
    told = f"{suite.protocol}; {key.labelled_k} labels per class are shown, {where}"
    return f"{told}; these and the other records of their recordings (where there are several) are not evaluated"


def _to_show(data: Labelled, suite: Suite, rows: Rows, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) rows whose label may be shown; no fit rows of fold 0, so that a fit without that fold sees all shown labels."""
    chosen = np.zeros(len(data.y), np.bool_)
    chosen[rows.fit[(rows.fold > 0) | ~rows.fold.any()]] = True
    return chosen | (train & data.batch.valid & (data.y == 1)) if suite.protocol == "normals" else chosen


def _check_left(data: Labelled, pool: PoolEntry, key: TrialKey, judged: NDArray[np.bool_]) -> None:
    """ConfigError unless records of both classes are left to judge."""
    for label, word in ((0, "normal"), (1, "anomalous")):
        if not (data.y[judged] == label).any():
            raise ConfigError(
                f"{data.name}, pool {pool.name}: {key.labelled_k} labels per class and their recordings leave no {word}"
                " record to evaluate",
                hint="a smaller --labelled-k",
            )


def _short(data: Labelled, pool: PoolEntry, drawn: NDArray[np.intp]) -> list[str]:
    """A warning if there are too few anomalous records for the requested share."""
    wished, bad = pool.contamination or 0.0, int((data.y[drawn] == 1).sum())
    if bad >= round(wished / (1 - wished) * (len(drawn) - bad)):
        return []
    return [
        f"{data.name}/{pool.name}: {bad / len(drawn):.1%} anomalous, not {wished:.1%}: there are no more anomalous records"
    ]


def _few(data: Labelled, key: TrialKey, known: NDArray[np.int16]) -> list[str]:
    """A warning if a class has fewer records to learn from than requested."""
    counts = {word: int((known == label).sum()) for label, word in ((0, "normal"), (1, "anomalous"))}
    return [
        f"{data.name}: {count} {word} records to learn from where {key.labelled_k} were asked for"
        for word, count in counts.items()
        if count < key.labelled_k
    ]


def _choose(
    data: Labelled,
    pool: PoolEntry,
    suite: Suite,
    key: TrialKey,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    light: tuple[str, ...],
) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Rows to fit, and the ``part`` bits of every row."""
    part = np.zeros(len(data.y), np.uint8)
    options: dict[str, Any] = {"variant": pool.variant, "light": light, "limit": suite.limit or None}
    if suite.protocol == "normals":
        if (train & test).any():
            raise ConfigError("the protocol 'normals' needs a split", hint="--split machine, recording or time")
        fit = np.flatnonzero(train & (data.y == 0))
        part[draw_pool(data, test & (data.y >= 0), pool.contamination, key.seed, **options)] = TEST
    else:
        fit = draw_pool(data, train, pool.contamination, key.seed, **options)
        part[fit[data.y[fit] >= 0]] = POOL
        if not (train & test).any():
            part[np.flatnonzero(test & (data.y >= 0))] |= TEST
    if not len(fit):
        raise ConfigError(f"{data.name}, pool {pool.name}: no record is left to fit on")
    return fit, part


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
