"""Evaluates one trial: every set of detectors, fuser and thresholder against the labels, and the baselines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Thresholder
from vibro.benchmark.baselines import rank_consensus, z_mean
from vibro.benchmark.combos import FuserSpec, Subset, fuse_subsets
from vibro.benchmark.drawing import POOL, TEST
from vibro.benchmark.metrics import Floats, flag_table, score_table
from vibro.benchmark.trial import Trial
from vibro.context import Context
from vibro.errors import VibroError

METRICS = ("roc_auc", "average_precision", "precision_at_k", "recall_at_budget", "partial_auc")
AT_CUT = ("false_alarm_rate", "f1")
COLUMNS = (
    "set",
    "n_detectors",
    "fuser",
    "thresholder",
    "subset",
    "seed",
    "n",
    "n_anomalous",
    "prior",
    *METRICS,
    *AT_CUT,
    "fit_seconds",
    "score_seconds",
    "data",
    "pool",
    "ensemble",
    "labelled_k",
    "status",
)
BASELINE = "baseline:"
PARTS = {"pool": POOL, "test": TEST}
ONE_CLASS = "one class only"

Table = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Thresholding:
    """A thresholder by name and object, and the budget of its cut."""

    name: str
    thresholder: Thresholder
    budget: float


def judge(
    trial: Trial, sets: Sequence[Subset], fusers: Sequence[FuserSpec], cuts: Sequence[Thresholding], budget: float
) -> tuple[Table, dict[str, list[str]]]:
    """The rows of ``COLUMNS`` for one trial, sets x fusers x thresholders on each part, and why thresholders failed.

    The reasons are listed by thresholder, one for each combination that it failed for.

    A detector without scores is left out of the sets that name it, as the engine does, and ``status`` says why. Rows of a
    set without any scores, and of a part without both classes, have empty metrics. Where a thresholder fails, the metrics
    that need its cut are empty.
    """
    parts = parts_of(trial)
    ranked = {name: mask for name, mask in parts.items() if has_both(trial.y[mask])}
    dead = {j: trial.reasons.get(i, "no scores") for j, i in enumerate(trial.detectors) if not _alive(trial, j)}
    some = [s for s in sets if set(s) - dead.keys()]
    none = [s for s in sets if not set(s) - dead.keys()]
    out: list[Table] = []
    failed: dict[str, list[str]] = defaultdict(list)
    for fuser in fusers:
        out += _fused_rows(trial, some, frozenset(dead), fuser, cuts, budget, ranked, failed)
        for name, mask in parts.items():
            empty = none if name in ranked else sets
            out += [_rows(trial, empty, fuser.name, cut.name, name, mask) for cut in cuts]
    table = stack(out)
    notes = {trial.detectors[j]: f"{trial.detectors[j]}: {reason}" for j, reason in dead.items()}
    if notes:
        named = ["; ".join(notes[i] for i in text.split("+") if i in notes) for text in table["set"].tolist()]
        others = table["status"].tolist()
        table["status"] = np.array([trial.error or more or other for more, other in zip(named, others, strict=True)])
    return table, failed


def has_both(y: NDArray[np.int16]) -> bool:
    """Whether both classes are present, so that a ranking can be evaluated."""
    return 0 < int((y == 1).sum()) < len(y)


def judge_baselines(trial: Trial, budget: float) -> Table:
    """Rows of the trivial scores, the consensus rules, the mean member, and the best member chosen with the labels."""
    return stack(_baseline_rows(trial, name, mask, budget) for name, mask in parts_of(trial).items())


def parts_of(trial: Trial) -> dict[str, NDArray[np.bool_]]:
    """Masks (n,) of the parts on which a trial is evaluated."""
    return {name: (trial.part & bit) > 0 for name, bit in PARTS.items() if (trial.part & bit).any()}


def _alive(trial: Trial, j: int) -> bool:
    return bool(np.isfinite(trial.z[:, j]).any() and np.isfinite(trial.reference[:, j]).any())


def _fused_rows(
    trial: Trial,
    sets: Sequence[Subset],
    dead: frozenset[int],
    fuser: FuserSpec,
    cuts: Sequence[Thresholding],
    budget: float,
    parts: dict[str, NDArray[np.bool_]],
    failed: dict[str, list[str]],
) -> list[Table]:
    ctx = Context(seed=trial.key.seed, names=trial.detectors)
    reference, y = trial.reference, None
    if fuser.cls.needs_labels:
        shown = trial.known >= 0
        y = np.concatenate([np.full(len(reference), -1, np.int16), trial.known[shown]])
        reference = np.concatenate([reference, trial.z[shown]])
    out: list[Table] = []
    survivors = [tuple(j for j in s if j not in dead) for s in sets] if dead else sets
    for start, fused, holdout in fuse_subsets(fuser, ctx, trial.z, reference, survivors, y):
        members = sets[start : start + len(fused)]
        holdout = holdout[:, : len(trial.reference)]
        levels = [try_cuts(c, holdout) for c in cuts]
        for cut, (_, why) in zip(cuts, levels, strict=True):
            failed[cut.name] += filter(None, why)
        for name, mask in parts.items():
            scores = fused[:, mask]
            figures = score_table(trial.y[mask], scores, budget=budget)
            for cut, (level, why) in zip(cuts, levels, strict=True):
                flags = flag_table(trial.y[mask], scores > level[:, None])
                row = _rows(trial, members, fuser.name, cut.name, name, mask)
                row |= figures | {key: np.where(np.isfinite(level), flags[key], np.nan) for key in AT_CUT}
                out.append(row | {"status": np.array([reason or "ok" for reason in why])})
    return out


def try_cuts(cut: Thresholding, holdout: Floats) -> tuple[Floats, list[str]]:
    """The cuts (m,) of held-out scores (m, r), NaN where the thresholder fails or nothing is held out, and its errors."""
    try:
        levels = _cuts(cut, holdout)
    except Exception as error:  # a thresholder of a plugin may raise anything
        if len(holdout) == 1:
            return np.full(1, np.nan), [told(error)]
        each = [try_cuts(cut, row[None]) for row in holdout]
        return np.concatenate([level for level, _ in each]), [reason for _, why in each for reason in why]
    wrong = ~np.isfinite(levels) & np.isfinite(holdout).any(axis=1)
    return np.where(wrong, np.nan, levels), ["the cut is not finite" if bad else "" for bad in wrong]


def told(error: Exception) -> str:
    """The message of an error in one line, with its class unless it is vibro's own."""
    return error.message if isinstance(error, VibroError) else f"{type(error).__name__}: {error}"


def _cuts(cut: Thresholding, holdout: Floats) -> Floats:
    """The cuts (m,) of held-out scores (m, r); NaN where a row holds no score."""
    levels, known = np.full(len(holdout), np.nan), np.isfinite(holdout)
    for i in np.flatnonzero(known.any(axis=1)):
        levels[i] = cut.thresholder.cut(holdout[i, known[i]], cut.budget, None)
    return levels


def _baseline_rows(trial: Trial, part: str, mask: NDArray[np.bool_], budget: float) -> Table:
    alive = [j for j in range(len(trial.detectors)) if _alive(trial, j)]
    scores = dict(trial.trivial)
    if alive:
        raw = trial.raw[:, alive]
        scores |= {"rank_consensus": rank_consensus(raw[mask]), "z_mean": z_mean(raw[mask])}
    columns = np.array([values[mask] if len(values) == len(mask) else values for values in scores.values()])
    figures = score_table(trial.y[mask], columns, budget=budget)
    names = list(scores)
    if alive:
        single = score_table(trial.y[mask], trial.z[mask][:, alive].T, budget=budget)
        ranked = np.nan_to_num(single["average_precision"], nan=-1.0)
        best = int(np.argmax(ranked))
        for name, pick in (("mean_member", np.mean), ("best_member", lambda v: v[best])):
            names.append(name)
            figures = {key: np.append(figures[key], pick(single[key])) for key in figures}
    row = _rows(trial, [()] * len(names), "", "", part, mask)
    return row | figures | {"set": np.array([f"{BASELINE}{name}" for name in names])}


def _rows(
    trial: Trial, sets: Sequence[Subset], fuser: str, thresholder: str, part: str, mask: NDArray[np.bool_]
) -> Table:
    """Rows with their identity filled in and every metric still empty."""
    m, key = len(sets), trial.key
    y = trial.y[mask]
    seconds = np.array([trial.seconds[list(s)].sum(axis=0) if s else np.zeros(2) for s in sets]).reshape(m, 2)
    empty = {name: np.full(m, np.nan) for name in (*METRICS, *AT_CUT)}
    return empty | {
        "set": np.array(["+".join(trial.detectors[j] for j in s) for s in sets], dtype=np.str_),
        "n_detectors": np.array([len(s) for s in sets], dtype=np.int64),
        "fuser": np.full(m, fuser),
        "thresholder": np.full(m, thresholder),
        "subset": np.full(m, part),
        "seed": np.full(m, key.seed),
        "n": np.full(m, len(y)),
        "n_anomalous": np.full(m, int((y == 1).sum())),
        "prior": np.full(m, float((y == 1).mean())),
        "fit_seconds": seconds[:, 0],
        "score_seconds": seconds[:, 1],
        "data": np.full(m, key.data),
        "pool": np.full(m, key.pool),
        "ensemble": np.full(m, key.ensemble),
        "labelled_k": np.full(m, key.labelled_k),
        "status": np.full(m, "ok" if has_both(y) else ONE_CLASS),
    }


def stack(tables: Iterable[Table]) -> Table:
    """The tables concatenated: columns in the order of ``COLUMNS``, then those of other metrics, NaN where missing."""
    many = [t for t in tables if len(t["set"])]
    names = dict.fromkeys([*COLUMNS, *(name for t in many for name in t)])
    if not many:
        return {name: np.zeros(0) for name in names}
    return {name: np.concatenate([t.get(name, np.full(len(t["set"]), np.nan)) for t in many]) for name in names}
