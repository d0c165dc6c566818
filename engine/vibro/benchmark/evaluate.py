"""What labels say about one run: metrics with intervals, baselines, fault types, and confounding with machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.baselines import TRIVIAL, trivial_scores
from vibro.benchmark.metrics import Floats, flag_table, midranks, roc_auc, score_table, weighted_table
from vibro.data import SignalBatch
from vibro.scoring.verdict import ALARM, INVALID, LEVELS, ScoreMatrix, Verdict

REPEATS = 400  # bootstrap samples
SHOWN = ("roc_auc", "average_precision", "precision_at_k", "recall_at_budget")
LEVEL_ONLY = 0.02  # AUC by which a score should beat the plain level
LARGEST = 20  # groups compared pair by pair
TELLS = 0.9  # AUC above which a score identifies its machine


class Truth(Protocol):
    """Labels joined to a batch: ``y`` (n,) 0, 1 or -1 unknown, ``fault_type`` (n,) text, and how they were joined."""

    @property
    def y(self) -> NDArray[np.int16]: ...  # noqa: D102
    @property
    def fault_type(self) -> NDArray[np.str_]: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def matched(self) -> int: ...  # noqa: D102
    @property
    def unmatched(self) -> int: ...  # noqa: D102


def evaluate(
    batch: SignalBatch,
    labels: Truth,
    verdict: Verdict,
    matrix: ScoreMatrix,
    *,
    budget: float = 0.01,
    seed: int = 0,
    learned_from: bool = False,
    train: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """The ``metrics`` part of summary.json; undefined figures are None.

    Rows count that have a label and a fused score. ``budget`` is the false-alarm rate of ``recall_at_budget``; ``alarms``,
    ``f1`` and ``false_alarm_rate`` judge the alarms as they were raised, on every labelled record; ``train`` (n,) rows
    that were fitted on. Intervals are 95 % percentile bootstraps over recordings of a sensor, or over records where there
    are fewer than ten of those.
    """
    use = (labels.y >= 0) & np.isfinite(verdict.score)
    y, score = labels.y[use], verdict.score[use]
    out: dict[str, Any] = {
        "labels": {
            "key": labels.key,
            "matched": labels.matched,
            "unmatched": labels.unmatched,
            "normal": int((y == 0).sum()),
            "anomalous": int((y == 1).sum()),
            "learned_from": learned_from,
        },
        "prior": _number((y == 1).mean()) if len(y) else None,
    }
    columns = [score, *matrix.z[use].T]
    base = trivial_scores(batch, seed)
    columns += [base[name][use] for name in TRIVIAL]
    table = score_table(y, np.array(columns), budget=budget)
    out["fused"] = {name: _number(table[name][0]) for name in SHOWN}
    rng = np.random.default_rng(seed)
    out["fused"]["interval"] = intervals(y, score, groups_of(batch)[use], rng)
    pair = ("roc_auc", "average_precision")
    lasting = score_table(y, verdict.persistent[use], budget=budget)
    out["persistent"] = {name: _number(lasting[name][0]) for name in pair}
    names = enumerate(matrix.detectors, start=1)
    out["detectors"] = {ident: {key: _number(table[key][j]) for key in pair} for j, ident in names}
    first = 1 + len(matrix.detectors)
    out["baselines"] = {
        name: {key: _number(table[key][j]) for key in pair} for j, name in enumerate(TRIVIAL, start=first)
    }
    out = at_cuts(out, labels.y, labels.fault_type, verdict, budget, train)
    out["confound"] = confound(batch, use, y, score, base["rms"][use])
    invalid = int((verdict.level == INVALID)[labels.y >= 0].sum())
    out["warnings"] = warnings(y, out, invalid, batch.machine[use])
    return out


def at_cuts(
    found: Mapping[str, Any],
    y: NDArray[np.int16],
    fault_type: NDArray[np.str_],
    verdict: Verdict,
    budget: float,
    train: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Metrics ``found`` with all that depends on cuts and budget: the alarms as raised, recall at the budget, each class."""
    use = (y >= 0) & np.isfinite(verdict.score)
    table = score_table(y[use], verdict.score[use], budget=budget)
    alarms = alarms_as_raised(y, verdict.level, train)
    fused = {**found["fused"], "recall_at_budget": _number(table["recall_at_budget"][0])}
    assert alarms["all"] is not None
    fused |= {name: alarms["all"][name] for name in ("false_alarm_rate", "f1")}
    classes = per_class(y[use], verdict.score[use], fault_type[use], budget)
    for name, row in classes.items():
        mine = (y == 1) & (fault_type == ("" if name == "unnamed" else name))
        row["recall"] = _number((verdict.level == ALARM)[mine].mean())
    return {**found, "fused": fused, "alarms": alarms, "per_class": classes}


def alarms_as_raised(
    y: NDArray[np.int16], level: NDArray[np.int8], train: NDArray[np.bool_] | None = None
) -> dict[str, dict[str, Any] | None]:
    """What the alarms of labelled records (n,) were worth: of ``all``, and apart of ``train`` and ``test`` where both are.

    Each with ``precision``, ``recall``, ``false_alarm_rate``, ``f1`` and the ``confusion`` matrix {level: {anomalous: n,
    normal: n}}. A record that got no verdict is no alarm.
    """
    known = y >= 0
    out: dict[str, dict[str, Any] | None] = {"all": _judged(y[known], level[known]), "train": None, "test": None}
    if train is not None and (known & train).any() and (known & ~train).any():
        out["train"] = _judged(y[known & train], level[known & train])
        out["test"] = _judged(y[known & ~train], level[known & ~train])
    return out


def _judged(y: NDArray[np.int16], level: NDArray[np.int8]) -> dict[str, Any]:
    flags = flag_table(y, level == ALARM)
    figures: dict[str, Any] = {
        name: _number(flags[name][0]) for name in ("precision", "recall", "false_alarm_rate", "f1")
    }
    counts = {
        name: {"anomalous": int((level[y == 1] == code).sum()), "normal": int((level[y == 0] == code).sum())}
        for code, name in enumerate(LEVELS)
    }
    return {**figures, "confusion": counts}


def groups_of(batch: SignalBatch) -> NDArray[np.intp]:
    """What is drawn together in a bootstrap: a recording of a machine, or each record where there are fewer than ten."""
    _, group = np.unique(np.stack([batch.machine, batch.recording]), axis=1, return_inverse=True)
    group = np.asarray(group).reshape(-1)
    return group if len(np.unique(group)) >= 10 else np.arange(len(batch))


def intervals(
    y: NDArray[np.int16], score: Floats, group: NDArray[np.intp], rng: np.random.Generator
) -> dict[str, list[float] | None]:
    """95 % bootstrap intervals of ROC AUC and average precision, whole groups drawn with replacement."""
    empty: dict[str, list[float] | None] = {"roc_auc": None, "average_precision": None}
    if not 0 < (y == 1).sum() < len(y):
        return empty
    _, code = np.unique(group, return_inverse=True)
    n = int(code.max()) + 1
    weights = rng.multinomial(n, np.full(n, 1 / n), size=REPEATS)[:, code]
    both = (weights[:, y == 1].sum(axis=1) > 0) & (weights[:, y == 0].sum(axis=1) > 0)
    if not both.any():
        return empty
    table = weighted_table(y, score, weights[both])
    return {name: [float(v) for v in np.quantile(table[name], (0.025, 0.975))] for name in empty}


def per_class(y: NDArray[np.int16], score: Floats, fault: NDArray[np.str_], budget: float) -> dict[str, dict[str, Any]]:
    """Each fault type against all normal records."""
    out: dict[str, dict[str, Any]] = {}
    for name in sorted(set(map(str, fault[y == 1]))):
        mine = (y == 0) | (fault == name)
        table = score_table(y[mine], score[mine], budget=budget)
        out[name or "unnamed"] = {
            "n": int((y[mine] == 1).sum()),
            "roc_auc": _number(table["roc_auc"][0]),
            "recall_at_budget": _number(table["recall_at_budget"][0]),
        }
    return out


def per_sensor(
    y: NDArray[np.int16], score: Floats, sensor: NDArray[np.int32], names: tuple[str, ...], budget: float
) -> dict[str, dict[str, Any]]:
    """The records of each sensor among themselves."""
    out: dict[str, dict[str, Any]] = {}
    for code in np.unique(sensor):
        mine = sensor == code
        table = score_table(y[mine], score[mine], budget=budget)
        out[names[code]] = {
            "n": int(mine.sum()),
            "n_anomalous": int((y[mine] == 1).sum()),
            "roc_auc": _number(table["roc_auc"][0]),
            "recall_at_budget": _number(table["recall_at_budget"][0]),
        }
    return out


def confound(
    batch: SignalBatch, use: NDArray[np.bool_], y: NDArray[np.int16], score: Floats, rms: Floats
) -> dict[str, float | None]:
    """How well the score of a normal record identifies its machine, sensor or file, and the RMS level explains the score."""
    normal = y == 0
    out = {
        f"{name}_from_score_auc": _number(tell_apart(code[use][normal], score[normal]))
        for name, code in (("machine", batch.machine), ("sensor", batch.sensor), ("source", batch.source))
    }
    out["level_auc"] = _number(roc_auc(y, rms))
    out["level_rank_correlation"] = _number(_spearman(score, rms))
    return out


def tell_apart(code: NDArray[np.int32], score: Floats) -> float:
    """Mean AUC, never below 0.5, of telling two groups apart by their scores (Hand and Till, Machine Learning 45, 2001).

    Over all pairs of the largest groups of at least five records; NaN where there is no pair.
    """
    groups, sizes = np.unique(code, return_counts=True)
    large = groups[np.argsort(-sizes, kind="stable")][: int((sizes >= 5).sum())][:LARGEST]
    aucs = []
    for i, a in enumerate(large):
        for b in large[i + 1 :]:
            pair = (code == a) | (code == b)
            auc = roc_auc((code[pair] == a).astype(np.int16), score[pair])
            aucs.append(max(auc, 1 - auc))
    return float(np.mean(aucs)) if aucs else float("nan")


def _spearman(a: Floats, b: Floats) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(midranks(a), midranks(b))[0, 1])


def warnings(y: NDArray[np.int16], found: dict[str, Any], invalid: int, machine: NDArray[np.int32]) -> list[str]:
    """Warnings about figures that look better than they are."""
    out = []
    if not (y == 1).any() or not (y == 0).any():
        lacking = "anomalous" if not (y == 1).any() else "normal"
        return [f"no labelled {lacking} record: ranking metrics are undefined"]
    auc, level = found["fused"]["roc_auc"], found["confound"]["level_auc"]
    if auc < 0.5:
        out.append(f"ROC AUC {auc:.2f} is below 0.5: normal records score higher than anomalous ones")
    if level is not None and auc < level + LEVEL_ONLY:
        out.append(f"the plain RMS level does as well (ROC AUC {level:.2f})")
    both = [set(y[machine == m].tolist()) == {0, 1} for m in np.unique(machine)]
    if len(both) > 1 and not any(both):
        out.append("every machine is all normal or all anomalous: recognising machines would look like finding faults")
    tells = found["confound"]["machine_from_score_auc"]
    if tells is not None and tells > TELLS:
        out.append(f"the score of a normal record tells its machine (AUC {tells:.2f})")
    if found["prior"] > 0.5:
        out.append(
            f"{found['prior']:.0%} of the labelled records are anomalous: average precision and F1 are flattered"
        )
    if (y == 1).sum() < 10:
        out.append(f"only {int((y == 1).sum())} anomalous records: the figures are coarse")
    if invalid:
        out.append(f"{invalid} labelled records are invalid data; they are ranked by their score all the same")
    return out


def _number(value: Any) -> float | None:
    """A plain float, None for NaN."""
    return None if np.isnan(value) else float(value)
