"""Two benchmarks, or two runs, row by row: what got better or worse, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vibro.benchmark.grid import AT_CUT, BASELINE, METRICS, Table
from vibro.benchmark.output import NAME, read_results
from vibro.benchmark.statistics import paired_difference
from vibro.errors import ConfigError, StateError
from vibro.store import manifest, tables

COMPARED = (*METRICS, *AT_CUT)
LOWER_IS_BETTER = ("false_alarm_rate",)
BLOCK = ("data", "pool", "subset", "labelled_k")
SET = ("ensemble", "set", "fuser", "thresholder")


@dataclass(frozen=True)
class Limit:
    """``--fail-on-worse METRIC:DELTA``."""

    metric: str
    delta: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """ConfigError for a metric that is not known or a difference that is no number."""
        metric, _, delta = text.partition(":")
        try:
            value = float(delta)
        except ValueError:
            value = -1.0
        if metric not in COMPARED or value < 0:
            raise ConfigError(
                f"--fail-on-worse {text!r} should read METRIC:DELTA", hint=f"metrics: {', '.join(COMPARED)}"
            )
        return cls(metric, value)

    def broken(self, found: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows that are worse by more than the limit and by more than noise."""
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        worse = []
        for row in found["rows"]:
            if row["metric"] == self.metric and row["diff"] is not None and sign * row["diff"] < -self.delta:
                edge = row["hi"] if sign > 0 else -row["lo"]
                if edge is None or edge < 0:
                    worse.append(row)
        return worse


def compare(a: Path, b: Path) -> dict[str, Any]:
    """``{rows, verdict_changes}`` of cli.md 7.2; ``diff`` is b - a.

    Benchmarks: rows that both have, paired over data sets and seeds. Runs: their metrics against labels, and records
    whose level changed. ConfigError where one is a benchmark and the other a run, or they share nothing.
    """
    kinds = [_kind(path) for path in (a, b)]
    if kinds[0] != kinds[1]:
        raise ConfigError(f"{a} is a {kinds[0]} and {b} a {kinds[1]}", hint="compare two of a kind")
    if kinds[0] == "benchmark":
        return {"rows": _benchmark_rows(read_results(a), read_results(b)), "verdict_changes": []}
    return {"rows": _run_rows(a, b), "verdict_changes": verdict_changes(a, b)}


def _kind(path: Path) -> str:
    if (path / NAME).is_file():
        return "benchmark"
    if (path / "summary.json").is_file():
        return "run"
    raise StateError(f"{path} is neither a benchmark nor a run", hint="name the folder given to -o")


def _benchmark_rows(a: Table, b: Table) -> list[dict[str, Any]]:
    first, second = _by_identity(a), _by_identity(b)
    common = [key for key in first if key in second]
    if not common:
        raise ConfigError("the two benchmarks share no row (same data, pool, set, fuser and thresholder)")
    rng = np.random.default_rng(0)
    out = []
    for key in common:
        blocks = [block for block in first[key] if block in second[key]]
        for metric in COMPARED:
            pairs = [_paired(first[key][block], second[key][block], a[metric], b[metric]) for block in blocks]
            pairs = [(x, y) for x, y in pairs if len(x)]
            if not pairs:
                continue
            d = paired_difference([y for _, y in pairs], [x for x, _ in pairs], rng)
            means = [float(np.mean([v[i].mean() for v in pairs])) for i in (0, 1)]
            row = {"ensemble": key[0], "set": key[1], "fuser": key[2], "thresholder": key[3], "metric": metric}
            out.append(row | {"a": means[0], "b": means[1], "diff": d.mean, "lo": d.low, "hi": d.high, "p": d.p})
    return out


def _by_identity(table: Table) -> dict[tuple[Any, ...], dict[tuple[Any, ...], dict[int, int]]]:
    """Set -> block -> seed -> row of the table; baselines and whole rows of results alike."""
    found: dict[tuple[Any, ...], dict[tuple[Any, ...], dict[int, int]]] = {}
    for i in range(len(table["set"])):
        if str(table["set"][i]).startswith(f"{BASELINE}random"):
            continue
        key = tuple(str(table[name][i]) for name in SET)
        block = tuple(str(table[name][i]) for name in BLOCK)
        found.setdefault(key, {}).setdefault(block, {})[int(table["seed"][i])] = i
    return found


def _paired(a: dict[int, int], b: dict[int, int], x: Any, y: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values at the seeds that both have and where both are defined."""
    seeds = sorted(a.keys() & b.keys())
    left = np.array([x[a[s]] for s in seeds], dtype=np.float64)
    right = np.array([y[b[s]] for s in seeds], dtype=np.float64)
    both = np.isfinite(left) & np.isfinite(right)
    return left[both], right[both]


def _run_rows(a: Path, b: Path) -> list[dict[str, Any]]:
    """Metrics of two runs with labels; there is one value each, so no interval."""
    import json

    found = [json.loads((path / "summary.json").read_text("utf-8")).get("metrics") for path in (a, b)]
    if None in found:
        return []
    out = []
    for metric in COMPARED:
        x, y = (f["fused"].get(metric) for f in found)
        if x is not None and y is not None:
            out.append(
                {"set": "fused", "metric": metric, "a": x, "b": y, "diff": y - x, "lo": None, "hi": None, "p": None}
            )
    return out


def verdict_changes(a: Path, b: Path) -> list[dict[str, Any]]:
    """Records of both runs whose level differs, with the part that explains it: data, detectors, fusion or cuts."""
    left, right = tables.read_scores(a), tables.read_scores(b)
    place = {str(i): n for n, i in enumerate(right["record_id"])}
    settings = [manifest.read(path) for path in (a, b)]
    same_detectors = [n for n in left if n.startswith("z_")] == [n for n in right if n.startswith("z_")]
    out = []
    for i, ident in enumerate(map(str, left["record_id"])):
        j = place.get(ident)
        if j is None or left["level"][i] == right["level"][j]:
            continue
        out.append(
            {
                "record_id": ident,
                "level_a": str(left["level"][i]),
                "level_b": str(right["level"][j]),
                "why": _why(left, right, i, j, same_detectors, settings),
            }
        )
    return out


def _why(left: Any, right: Any, i: int, j: int, same_detectors: bool, settings: list[dict[str, Any]]) -> str:
    if "invalid" in (left["level"][i], right["level"][j]):
        return "quality of the data"
    if not same_detectors:
        return "other detectors"
    names = [n for n in left if n.startswith("z_")]
    if any(not np.isclose(left[n][i], right[n][j], rtol=1e-6, equal_nan=True) for n in names):
        same_rows = settings[0].get("fingerprint") == settings[1].get("fingerprint")
        return "scores of the detectors" if same_rows else "other fit data"
    if not np.isclose(left["score"][i], right["score"][j], rtol=1e-6, equal_nan=True):
        return "fusion"
    return "cuts"
