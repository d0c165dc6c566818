"""``benchmark.json`` from the table of all results: means with intervals, contributions, tests, warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from vibro.benchmark.analysis import (
    averages,
    block_of,
    contributions,
    front,
    learning,
    leave_one_out,
    losses,
    mean_of,
    tests,
    title_of,
    treatments,
    unjudged,
)
from vibro.benchmark.evaluate import TELLS
from vibro.benchmark.grid import AT_CUT, BASELINE, COLUMNS, METRICS, Table
from vibro.benchmark.headline import VOLUMES
from vibro.benchmark.run import Outcome

FIGURES = (*METRICS, *AT_CUT, "prior", "fit_seconds", "score_seconds")
IDENTITY = ("data", "pool", "ensemble", "labelled_k", "subset", "set", "fuser", "thresholder")
TRIALS = ("data", "pool", "ensemble", "labelled_k")  # that differ in their seed only
LEVEL_ALONE = 0.95  # ROC AUC of the RMS level above which a block needs no detector
BEST = 20  # combinations of each block shown beside the named ones
SHOWN = 40  # combinations shown of all
REPEATS = 1000


def summarise(outcome: Outcome) -> dict[str, Any]:
    """The content of ``benchmark.json`` but for file names and machine.

    ``tests`` and ``losses`` are without shown labels, ``learning`` is the gain from them.
    """
    rows = grouped(outcome.table)
    named = [r for r in rows if not r["set"].startswith(BASELINE)]
    base = [r for r in rows if r["set"].startswith(BASELINE)]
    blocks = treatments(rows, outcome)
    unlabelled = {block: found for block, found in blocks.items() if not block[-1]}
    lead = next(iter(outcome.ensembles))
    records = {d["name"]: d["fingerprint"] for d in outcome.data}
    combinations = _by_labels(named, lambda mine: averages(mine, records))
    return {
        "data": outcome.data,
        "splits": sorted({d["strategy"] for d in outcome.details}),
        "seeds": list(range(outcome.suite.seeds)),
        "rows": [_plain(r) for r in shown(named, outcome)],
        "combinations": len(named),
        "baselines": [_plain(r) | {"set": r["set"].removeprefix(BASELINE)} for r in base],
        "metrics": extras(outcome.table),
        "per_class": _grouped_figures(outcome, "per_class", "fault_type", ("n", "roc_auc", "recall_at_budget")),
        "per_sensor": _grouped_figures(
            outcome, "per_sensor", "sensor_id", ("n", "n_anomalous", "roc_auc", "recall_at_budget")
        ),
        "volume": _volume(outcome),
        "leave_one_out": _by_labels(named, lambda mine: leave_one_out(mine, outcome, records)),
        "shapley": _by_labels(named, lambda mine: contributions(mine, outcome, records)),
        "best": _by_labels(combinations, lambda mine: mine[:SHOWN]),
        "pareto": _by_labels(combinations, front),
        "confound": confound(outcome),
        "tests": tests(unlabelled, lead, records),
        "losses": losses(unlabelled, lead),
        "learning": learning(blocks, records),
        "failures": outcome.failures,
        "lost": lost(outcome),
        "warnings": [*outcome.warnings, *unjudged(base)],
        "timings": {"fit": outcome.fit_seconds, "judge": outcome.judge_seconds},
        "ensembles": outcome.ensembles,
    }


def _by_labels(
    rows: list[dict[str, Any]], judge: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The results of ``judge`` on the rows of each number of shown labels, one after the other."""
    counts = sorted({r["labelled_k"] for r in rows})
    return [{"labelled_k": k} | found for k in counts for found in judge([r for r in rows if r["labelled_k"] == k])]


def grouped(table: Table) -> list[dict[str, Any]]:
    """One entry per combination: its identity, and ``values`` (seeds,) of every figure, NaN where a seed has none."""
    import pyarrow as pa

    figures = (*FIGURES, *extras(table))
    columns = {name: table[name] for name in (*IDENTITY, *figures, "n", "n_anomalous", "n_detectors", "status", "seed")}
    frame = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()}).sort_by("seed")
    lists = [(name, "list") for name in (*figures, "status", "seed")]
    seeds = int(table["seed"].max()) + 1
    others = [("n", "mean"), ("n_anomalous", "mean"), ("n_detectors", "first")]
    out = []
    for row in frame.group_by(list(IDENTITY), use_threads=False).aggregate([*lists, *others]).to_pylist():
        entry = {name: row[name] for name in IDENTITY}
        entry |= {name: row[f"{name}_{part}"] for name, part in others}
        entry["values"] = {name: np.full(seeds, np.nan) for name in figures}
        for name in figures:
            entry["values"][name][row["seed_list"]] = row[f"{name}_list"]
        entry["status"] = "; ".join(sorted({s for s in row["status_list"] if s != "ok"})) or "ok"
        out.append(entry)
    return out


def extras(table: Table) -> list[str]:
    """Columns of plugins' metrics."""
    return [name for name in table if name not in COLUMNS]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Mean, standard deviation and bootstrap interval of the mean over seeds; the last two only with enough seeds."""
    out = {name: row[name] for name in (*IDENTITY, "n", "n_anomalous", "n_detectors", "status")}
    for name, v in row["values"].items():
        v = v[np.isfinite(v)]
        out[name] = None if not len(v) else float(v.mean())
        if name in METRICS and len(v):
            out[f"{name}_sd"] = float(v.std(ddof=1)) if len(v) > 1 else None
            draws = v[np.random.default_rng(0).integers(len(v), size=(REPEATS, len(v)))].mean(axis=1)
            interval = [float(q) for q in np.quantile(draws, (0.025, 0.975))]
            out[f"{name}_interval"] = interval if np.ptp(v) > 0 else None
    return out


def shown(rows: list[dict[str, Any]], outcome: Outcome) -> list[dict[str, Any]]:
    """Singles, whole ensembles and those without one detector, and the best of the rest in each block."""
    keep = []
    rest: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        size = len(outcome.ensembles[row["ensemble"]]["detectors"])
        if row["n_detectors"] == 1 or row["n_detectors"] >= size - 1:
            keep.append(row)
        else:
            rest[(*block_of(row), row["ensemble"])].append(row)
    for many in rest.values():
        keep += sorted(many, key=lambda r: -np.nan_to_num(mean_of(r), nan=-1.0))[:BEST]
    return keep


def lost(outcome: Outcome) -> list[dict[str, Any]]:
    """Detectors without scores, by ``TRIALS``: in how many of these, and the first reason."""
    trials: dict[tuple[Any, ...], int] = defaultdict(int)
    found: dict[tuple[tuple[Any, ...], str], list[str]] = defaultdict(list)
    for detail in outcome.details:
        where = tuple(detail[name] for name in TRIALS)
        trials[where] += 1
        for detector, reason in detail["reasons"].items():
            found[(where, detector)].append(reason)
    return [
        dict(zip(TRIALS, where, strict=True))
        | {"detector": detector, "trials": len(many), "of": trials[where], "reason": many[0]}
        for (where, detector), many in found.items()
    ]


def _grouped_figures(outcome: Outcome, kind: str, key: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each fault type or sensor under the whole ensemble, mean over seeds."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for detail in outcome.details:
        for part, figures in detail["parts"].items():
            for group, row in figures[kind].items():
                found[(*(detail[name] for name in TRIALS), part, group)].append(row)
    return [
        dict(zip((*TRIALS, "subset", key), where, strict=True))
        | {name: float(np.mean([r[name] for r in many if r[name] is not None] or [np.nan])) for name in names}
        for where, many in found.items()
    ]


def _volume(outcome: Outcome) -> list[dict[str, Any]]:
    """Volume under the surface of the whole ensemble on long series, mean over seeds."""
    found: dict[tuple[Any, ...], list[dict[str, float]]] = defaultdict(list)
    for detail in outcome.details:
        for part, figures in detail["parts"].items():
            if "volume" in figures:
                found[(*(detail[name] for name in TRIALS), part)].append(figures["volume"])
    return [
        dict(zip((*TRIALS, "subset"), where, strict=True))
        | {name: float(np.mean([m[name] for m in many])) for name in VOLUMES}
        for where, many in found.items()
    ]


def confound(outcome: Outcome) -> dict[str, Any]:
    """Mean over trials of the AUC of telling where a normal record is from by its score, and of the RMS level as a score."""
    rows = []
    groups: dict[tuple[Any, ...], list[dict[str, float]]] = defaultdict(list)
    for detail in outcome.details:
        for part, figures in detail["parts"].items():
            groups[(*(detail[name] for name in TRIALS), part)].append(figures["confound"])
    warnings = []
    for identity, many in groups.items():
        row: dict[str, Any] = dict(zip((*TRIALS, "subset"), identity, strict=True))
        for name in many[0]:
            known = [m[name] for m in many if np.isfinite(m[name])]
            row[name] = float(np.mean(known)) if known else None
        rows.append(row)
        where = f"{title_of(block_of(row))}, {row['ensemble']}"
        tells, seen = row["machine_from_score_auc"], row["machine_seen_auc"]
        if tells is not None and tells > TELLS:
            warnings.append(f"{where}: the score of a normal record tells its machine (AUC {tells:.2f})")
        if seen is not None and (seen < 1 - TELLS or seen > TELLS):
            warnings.append(f"{where}: the score tells whether a machine was seen in fitting (AUC {seen:.2f})")
        level = row["level_auc"]
        if level is not None and max(level, 1 - level) >= LEVEL_ALONE:
            warnings.append(f"{where}: the plain RMS level alone tells the anomalous records (ROC AUC {level:.2f})")
    return {"rows": rows, "warnings": warnings} | _worst(rows)


def _worst(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for name in (*(f"{kind}_from_score_auc" for kind in ("machine", "sensor", "recording")), "machine_seen_auc"):
        known = [r[name] for r in rows if r[name] is not None]
        out[name] = max(known, key=lambda v: abs(v - 0.5)) if known else None
    return out
