"""``vibro benchmark compare``: what got better or worse between two benchmarks or two runs, beyond noise or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vibro.benchmark.grid import AT_CUT, BASELINE, METRICS, Table
from vibro.benchmark.output import NAME, read_results
from vibro.benchmark.statistics import FEWEST, LEVEL, by_data_set, overall, paired_difference
from vibro.errors import ConfigError, StateError
from vibro.store import manifest, tables

COMPARED = (*METRICS, *AT_CUT)
LOWER_IS_BETTER = ("false_alarm_rate",)
BLOCK = ("data", "pool", "subset")
SET = ("ensemble", "set", "fuser", "thresholder", "labelled_k")
NEEDED = ("ensembles", "data", "failures", "seeds")  # of benchmark.json
PROTOCOL = ("protocol", "splits", "budget", "pools", "limit")

Index = dict[tuple[str, ...], dict[tuple[str, ...], dict[int, int]]]  # set -> block -> seed -> row of the table


@dataclass(frozen=True)
class Limit:
    """``--fail-on-worse METRIC:DELTA``."""

    metric: str
    delta: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """The limit that a text gives; ConfigError for an unknown metric or a difference that is no number."""
        metric, _, delta = text.partition(":")
        try:
            value = float(delta)
        except ValueError:
            value = -1.0
        if metric not in COMPARED or not 0 <= value < float("inf"):
            raise ConfigError(
                f"--fail-on-worse {text!r} should read METRIC:DELTA", hint=f"metrics: {', '.join(COMPARED)}"
            )
        return cls(metric, value)

    def violations(self, found: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows that are worse in B by more than the limit and than noise, or whose draws B lacks; baselines do not count.

        Without an interval the limit alone decides. ConfigError if there is nothing to judge.
        """
        rows = [r for r in found["rows"] if r["metric"] == self.metric and not r["set"].startswith(BASELINE)]
        if not rows:
            raise ConfigError(
                f"--fail-on-worse: A and B share no {self.metric}", hint="runs need --labels; see the rows with --json"
            )
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        worse = []
        for row in rows:
            edge = row["hi"] if sign > 0 else row["lo"]
            noise = edge is not None and (sign * edge >= 0 or row["p"] >= LEVEL)
            beyond = row["diff"] is not None and sign * row["diff"] < -self.delta and not noise
            if row["lost"] or beyond:
                worse.append(row)
        return worse


def compare(a: Path, b: Path) -> dict[str, Any]:
    """The JSON object of ``vibro benchmark compare``: ``{rows, verdict_changes, warnings}``.

    In a row ``diff`` is b - a with interval ``lo``..``hi``, and ``lost`` counts the draws that have a value in a only.

    Benchmarks: rows that both have, paired over data sets and seeds. Runs: their metrics against labels, and records
    whose level changed. ConfigError where one is a benchmark and the other a run, or they share nothing.
    """
    kinds = [_kind(path) for path in (a, b)]
    if kinds[0] != kinds[1]:
        raise ConfigError(f"{a} is a {kinds[0]} and {b} a {kinds[1]}", hint="compare two of a kind")
    if kinds[0] == "benchmark":
        return _benchmarks(a, b)
    rows, warnings = _runs(a, b)
    return {"rows": rows, "verdict_changes": verdict_changes(a, b), "warnings": warnings}


def _kind(path: Path) -> str:
    if (path / NAME).is_file():
        return "benchmark"
    if (path / "summary.json").is_file():
        return "run"
    raise StateError(f"{path} is neither a benchmark nor a run", hint="name the folder given to -o")


def _benchmarks(a: Path, b: Path) -> dict[str, Any]:
    about = [_about(path / NAME) for path in (a, b)]
    tables = [read_results(path) for path in (a, b)]
    first, second = (_by_identity(table, {}) for table in tables)
    names = [list(found["ensembles"]) for found in about]
    only = [[n for n in mine if n not in other] for mine, other in (names, names[::-1])]
    if len(only[0]) == len(only[1]) == 1:  # one ensemble under two names
        second = _by_identity(tables[1], {only[1][0]: only[0][0]})
    records = {d["name"]: d["fingerprint"] for d in about[0]["data"]}
    asked = {d["name"] for d in about[1]["data"]} | {f["trial"] for f in about[1]["failures"]}
    rows = []
    for key in (key for key in first if key in second):
        blocks = [block for block in first[key] if block[0] in asked]
        for metric in COMPARED:
            pairs = [
                _paired(first[key][k], second[key].get(k, {}), tables[0][metric], tables[1][metric], about[1]["seeds"])
                for k in blocks
            ]
            if any(np.isfinite(x).any() for x, _ in pairs):
                identity = dict(zip(SET, key, strict=True)) | {"labelled_k": int(key[-1]), "metric": metric}
                rows.append(identity | _difference(pairs, [records[block[0]] for block in blocks]))
    if not any(row["diff"] is not None for row in rows):
        raise ConfigError("the two benchmarks share no row (same data, pool, subset, set, fuser and thresholder)")
    sets = {records[block[0]] for key in first if key in second for block in first[key] if block[0] in asked}
    warnings = [*_other_settings(*about), *_one_sided(first, second), *_noise(rows, len(sets), len(about[1]["seeds"]))]
    return {"rows": rows, "verdict_changes": [], "warnings": warnings}


def _noise(rows: list[dict[str, Any]], sets: int, draws: int) -> list[str]:
    """Warnings about what the p-values cannot show."""
    tried = sum(row["p"] is not None for row in rows)
    if tried and (sets if sets > 1 else draws) < FEWEST:
        what = f"{sets} data sets" if sets > 1 else f"{draws} draws of one data set"
        return [f"{what} cannot show a difference at {LEVEL:.0%}: it takes {FEWEST}"]
    if tried * LEVEL >= 1:
        return [f"{tried} differences were tested: by chance alone, about {tried * LEVEL:.0f} have p < {LEVEL}"]
    return []


def _about(path: Path) -> Any:
    """The content of ``benchmark.json``; ConfigError where it lacks what a comparison needs."""
    about = _read(path)
    missing = [name for name in NEEDED if not isinstance(about, dict) or name not in about]
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}: no benchmark to compare", hint="run the benchmark again")
    return about


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"cannot read {path}: {error}", hint="run it again") from None


def _by_identity(table: Table, names: Mapping[str, str]) -> Index:
    """Index of a table's rows; ``names`` maps names of ensembles to those to use instead."""
    found: Index = {}
    for i in range(len(table["set"])):
        if str(table["set"][i]).startswith(f"{BASELINE}random"):
            continue
        ensemble, *rest = (str(table[name][i]) for name in SET)
        block = tuple(str(table[name][i]) for name in BLOCK)
        found.setdefault((names.get(ensemble, ensemble), *rest), {}).setdefault(block, {})[int(table["seed"][i])] = i
    return found


def _paired(
    a: Mapping[int, int], b: Mapping[int, int], x: Any, y: Any, seeds: list[int]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values (len(seeds),) of both sides at the seeds that B was run with, NaN where there is none."""
    left, right = (
        np.array([values[rows[s]] if s in rows else np.nan for s in seeds]) for rows, values in ((a, x), (b, y))
    )
    return left, right


def _difference(pairs: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]], sets: list[str]) -> dict[str, Any]:
    """Means where both sides have a value, their difference, and how many draws only A has."""
    lost = sum(int((np.isfinite(x) & ~np.isfinite(y)).sum()) for x, y in pairs)
    pairs = [(np.where(np.isfinite(y), x, np.nan), np.where(np.isfinite(x), y, np.nan)) for x, y in pairs]
    means = [overall(by_data_set([pair[i] for pair in pairs], sets)) for i in (0, 1)]
    d = paired_difference([y for _, y in pairs], [x for x, _ in pairs], np.random.default_rng(0), sets)
    figures = {"diff": d.mean, "lo": d.low, "hi": d.high, "p": d.p}
    told = {name: value if np.isfinite(value) else None for name, value in figures.items()}
    return {"a": means[0], "b": means[1], **told, "lost": lost}


def _other_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Warnings about records and protocols that differ between A and B."""
    prints = [{d["name"]: d["fingerprint"] for d in found["data"]} for found in (a, b)]
    out = [
        f"{n}: A and B hold other records under this name"
        for n in prints[0]
        if prints[1].get(n, prints[0][n]) != prints[0][n]
    ]
    return out + [
        f"{name} differs: {a[name]} in A, {b[name]} in B"
        for name in PROTOCOL
        if name in a and name in b and a[name] != b[name]
    ]


def _one_sided(first: Index, second: Index) -> list[str]:
    """Warnings about sets and data that only one side has."""
    out = []
    for side, mine, other in (("A", first, second), ("B", second, first)):
        alone = [key for key in mine if key not in other]
        if alone:
            out.append(f"{len(alone)} sets are only in {side}, the first {alone[0][1]} of {alone[0][0]}")
        data = [dict.fromkeys(block[0] for blocks in rows.values() for block in blocks) for rows in (mine, other)]
        out += [f"data set {name} is only in {side}" for name in data[0] if name not in data[1]]
    return out


def _runs(a: Path, b: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Metrics of two runs with labels, one value each, so no interval; and warnings where the runs cannot be compared."""
    found = [_read(path / "summary.json").get("metrics") for path in (a, b)]
    warnings = [f"{side} has no labels, so no metrics" for side, f in zip("AB", found, strict=True) if f is None]
    if len({manifest.read(path).get("fingerprint") for path in (a, b)}) > 1:
        warnings.append("A and B hold other records")
    if warnings and None in found:
        return [], warnings
    counts = [[f["labels"][name] for name in ("normal", "anomalous")] for f in found]
    if counts[0] != counts[1]:
        warnings.append(f"the labels differ: {counts[0]} normal and anomalous records in A, {counts[1]} in B")
    rows = []
    for metric in COMPARED:
        x, y = (f["fused"].get(metric) for f in found)
        if x is not None:
            diff = None if y is None else y - x
            rows.append(
                {"set": "fused", "metric": metric, "a": x, "b": y, "diff": diff}
                | {"lo": None, "hi": None, "p": None, "lost": int(y is None)}
            )
    return rows, warnings


def verdict_changes(a: Path, b: Path) -> list[dict[str, Any]]:
    """Records of both runs whose level differs, with the cause: data, detectors, fusion or cuts."""
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
