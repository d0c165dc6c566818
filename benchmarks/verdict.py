"""Figures of the verdict: what the alarms of a whole run catch, and how often they are false.

``python -m benchmarks.verdict [PART[=DRAWS] ...]`` measures these parts (default: all, five draws) into
``results/verdict/PART.json`` and writes ``results/verdict/verdict.md`` from all parts that are there. Ensemble `quick`.

pools   the suite ``pools``, fitted and judged in place: recall and false alarms
severe  sound records and unmistakable faults, 1 to 20 % of 60 to 1,000 records, and 20 new faults under the frozen model
clean   one half of clean records fitted, the other judged: alarms over budget
order   distinct scores among the highest 1 % of a run, as ``scores.csv`` holds them
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, VIBRO, measure, table, where

HERE = RESULTS / "verdict"
SUITE = Path(__file__).parent / "suites" / "pools.toml"
BUDGET = 0.01
METHODS = ("auto", "quantile", "pot", "conformal", "spot", "mad", "mixture")
SIZES, SHARES = (60, 100, 186, 300, 1000), (0.01, 0.03, 0.06, 0.1, 0.2)
NEW = 20  # new faults under a frozen model
HOLDING = 0.9  # recall of a ranking that holds the faults

Rows = list[dict[str, Any]]


def main(words: list[str] | None = None) -> int:
    """Measures the parts that are named."""
    parts: dict[str, Callable[[int], Iterator[Rows]]] = {
        "pools": pools,
        "severe": severe,
        "clean": clean,
        "order": order,
    }
    chosen = dict(word.partition("=")[::2] for word in words or parts)
    unknown = set(chosen) - set(parts)
    if unknown:
        print(f"unknown part {', '.join(sorted(unknown))}; parts: {', '.join(parts)}", file=sys.stderr)
        return 2
    HERE.mkdir(parents=True, exist_ok=True)
    for name, count in chosen.items():
        about, rows = where(), []
        for draws, more in enumerate(parts[name](int(count or 5)), 1):  # what is done is kept if it is stopped
            rows += more
            (HERE / f"{name}.json").write_text(
                json.dumps({"about": about, "draws": draws, "rows": rows}, indent=1) + "\n"
            )
    lines = report()
    (HERE / "verdict.md").write_text("\n".join(["# verdict", "", *lines, ""]))
    print("\n".join(lines))
    return 0


# --- a run ------------------------------------------------------------------------------------------------------------


@cache
def host_and_plan() -> tuple[Any, Any]:
    """The bundled plugins and the plan of `quick`."""
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost

    host = PluginHost.create(autoload=False)
    return host, make_plan(host, "quick", host.registry.ensemble("quick"))


def fit(batch: Any, seed: int) -> tuple[Any, Any, Any]:
    """Engine, fitted ensemble, and the scores that the fitted records had when they were held out."""
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.injection.fit import fit_ensemble

    host, plan = host_and_plan()
    engine = Engine(host, Context(seed=seed, fs=batch.fs))
    rows = replace(make_rows(batch), judged_held_out=True)
    fitted, _, held_out = fit_ensemble(engine, plan, batch, rows, trial=False)
    return engine, fitted, held_out


def alarms(engine: Any, fitted: Any, matrix: Any, batch: Any) -> tuple[np.ndarray, np.ndarray]:
    """(n,) fused scores and alarms, with all that the verdict knows: unseen states, transients."""
    from vibro.scoring.verdict import ALARM

    verdict = engine.decide(fitted, matrix, batch)
    return verdict.score, verdict.level == ALARM


def cut_by(method: str, fitted: Any, budget: float = BUDGET) -> float:
    """The cut of another thresholder."""
    from vibro.context import Context
    from vibro.scoring.thresholds import guarded_cut

    thresholder = host_and_plan()[0].component("thresholder", method).make({}, Context(seed=fitted.seed))
    return guarded_cut(thresholder, fitted.reference["cut"], budget)


def counted(alarm: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Recall and share of false alarms."""
    return {"recall": float(alarm[y == 1].mean()), "false": float(alarm[y == 0].mean())}


def held(score: np.ndarray, y: np.ndarray) -> float:
    """Recall of the ranking at 1 % false alarms, or one of a small draw."""
    normal = np.sort(score[y == 0])[::-1]
    return float(np.mean(score[y == 1] > normal[min(max(int(BUDGET * len(normal)), 1), len(normal) - 1)]))


# --- pools ------------------------------------------------------------------------------------------------------------


def pools(draws: int) -> Iterator[Rows]:
    """Recall and false alarms of every pool: judged as a run does, judged as held out, and by other thresholders."""
    from vibro.benchmark.datasets import load_set
    from vibro.benchmark.drawing import draw_rows
    from vibro.benchmark.suite import read_suite
    from vibro.benchmark.trial import TrialKey

    suite, folder = read_suite(SUITE), data_folder()
    for seed in range(draws):
        rows: Rows = []
        for entry in suite.sets:
            if entry.path and folder is None:
                continue
            data = load_set(entry, folder, seed)
            for pool in suite.pools:
                if (pool.sets and entry.name not in pool.sets) or (pool.variant == "light" and not entry.light):
                    continue
                key = TrialKey(entry.name, pool.name, "quick", 0, seed)
                drawn = draw_rows(data, pool, suite, key, entry.light)
                rows += judged_pool(
                    {"set": entry.name, "pool": pool.name, "seed": seed}, drawn.data.take(drawn.rows.fit)
                )
        yield rows


def judged_pool(case: dict[str, Any], pool: Any) -> Rows:
    """The rows of one pool."""
    engine, fitted, held_out = fit(pool.batch, case["seed"])
    rows = []
    for judged, matrix in (("in place", engine.score(fitted, pool.batch)), ("held out", held_out)):
        score, alarm = alarms(engine, fitted, matrix, pool.batch)
        known = {"judged": judged, "ranking": held(score, pool.y), "faults": int((pool.y == 1).sum())}
        rows.append({**case, **known, "method": "auto", **counted(alarm, pool.y)})
        for method in METHODS[1:]:
            rows.append({**case, **known, "method": method, **counted(score > cut_by(method, fitted), pool.y)})
    return rows


def data_folder() -> Path | None:
    """The folder of the recordings, or None with a note."""
    given = os.environ.get("VIBRO_TEST_DATA", "")
    if not given:
        print("recordings are left out: VIBRO_TEST_DATA names no folder", file=sys.stderr)
    return Path(given) if given else None


# --- severe faults ----------------------------------------------------------------------------------------------------


def severe(draws: int) -> Iterator[Rows]:
    """Pools of sound records with a share of severe faults, and new faults under the model of such a pool."""
    for seed in range(100, 100 + draws):  # other draws than those that the constants of `auto` were chosen on
        rows: Rows = []
        for kind in ("noise", "tones", "load"):
            for fault in ("impacts", "level", "mixed"):
                for n in SIZES:
                    for share in SHARES:
                        case = {"kind": kind, "fault": fault, "n": n, "share": share, "seed": seed}
                        rows.append({**case, **judged_severe(case)})
        yield rows


def judged_severe(case: dict[str, Any]) -> dict[str, Any]:
    """Of one pool: whether its ranking is perfect, recall and false alarms in it, and of new records."""
    from vibro.data import make_batch

    rng = np.random.default_rng([case["seed"], case["n"], round(1000 * case["share"])])
    n, bad = case["n"], max(1, round(case["share"] * case["n"]))
    x = sound_records(case["kind"], n + NEW + 200, rng)
    y = np.zeros(len(x), np.int16)
    y[np.r_[:bad, n : n + NEW]] = 1
    x[y == 1] = with_fault(x[y == 1], case["fault"], rng)
    batch = make_batch(x.astype(np.float32), fs=4096.0, row=list(range(len(x))))
    pool, fresh = batch.take(np.arange(n)), batch.take(np.arange(n, len(x)))
    engine, fitted, _ = fit(pool, case["seed"])
    score, alarm = alarms(engine, fitted, engine.score(fitted, pool), pool)
    found = {"perfect": bool(score[:bad].min() > score[bad:].max()), **counted(alarm, y[:n])}
    score, alarm = alarms(engine, fitted, engine.score(fitted, fresh), fresh)
    later = counted(alarm, y[n:])
    perfect = bool(score[:NEW].min() > score[NEW:].max())
    return {**found, "new_perfect": perfect, "new_recall": later["recall"], "new_false": later["false"]}


def sound_records(kind: str, n: int, rng: np.random.Generator, length: int = 448, fs: float = 4096.0) -> np.ndarray:
    """(n, length): noise of a steady level, tones of a shaft, or tones and noise that follow a load."""
    t = np.arange(length) / fs
    turn = rng.uniform(0, 2 * np.pi, (n, 6, 1))
    shaft = rng.uniform(20, 60)
    tones = np.sin(2 * np.pi * shaft * np.arange(1, 7)[None, :, None] * t + turn)
    noise = rng.standard_normal((n, length))
    if kind == "noise":
        return np.exp(0.1 * rng.standard_normal((n, 1))) * noise
    if kind == "tones":
        size = (1 + 0.05 * rng.standard_normal((n, 6, 1))) / np.arange(1, 7)[None, :, None]
        return (size * tones).sum(axis=1) + 0.2 * noise
    load = rng.uniform(0.3, 1.0, (n, 1))
    return load**2 * tones[:, 0] + 0.3 * load * tones[:, 2] + 0.1 * (1 + load) * noise


def with_fault(x: np.ndarray, fault: str, rng: np.random.Generator) -> np.ndarray:
    """The records with strong repeated impacts, three to five times the level, or one of these and a new tone each."""
    t, rms = np.arange(x.shape[1]), x.std(axis=1, keepdims=True)
    if fault == "mixed":
        kinds = rng.choice(["impacts", "level", "tone"], len(x))
        return np.concatenate([with_fault(row[None], kind, rng) for row, kind in zip(x, kinds, strict=True)])
    if fault == "level":
        return x * rng.uniform(3, 5, (len(x), 1))
    if fault == "tone":
        return x + rms * rng.uniform(1.5, 3, (len(x), 1)) * np.sin(
            2 * np.pi * 0.31 * t + rng.uniform(0, 6.28, (len(x), 1))
        )
    since = (t + rng.integers(0, 55, (len(x), 1))) % 55
    return x + 6 * rms * np.exp(-since / 6) * np.sin(2 * np.pi * 0.3 * since) * rng.uniform(0.8, 1.3, (len(x), 1))


# --- clean data -------------------------------------------------------------------------------------------------------


def clean(draws: int) -> Iterator[Rows]:
    """Share of alarms among the other half of clean records, at budgets of 1 and 5 %."""
    from vibro.scoring.thresholds import Budgets, find_cuts

    for seed in range(100, 100 + draws):  # other draws than those that the constants of `auto` were chosen on
        rows: Rows = []
        for name, past, fresh in halves(seed):
            engine, fitted, _ = fit(past.batch, seed)
            matrix, thresholder = engine.score(fitted, fresh.batch), engine.make_thresholder(fitted.plan)
            reference = fitted.reference
            for budget in (0.01, 0.05):
                budgets = Budgets(0.1, budget)
                cuts, _ = find_cuts(thresholder, reference["cut"], budgets, fitted.cuts.own, seed)
                score, alarm = alarms(engine, replace(fitted, cuts=cuts), matrix, fresh.batch)
                over = float(alarm[fresh.batch.valid].mean()) / budget
                plain = float((score > np.quantile(reference["fused"], 1 - budget)).mean()) / budget
                rows.append({"data": name, "seed": seed, "budget": budget, "over": over, "quantile": plain})
        yield rows


def halves(seed: int) -> Iterator[tuple[str, Any, Any]]:
    """Clean records of plants, bearings, hearts and young bearings, each in a half to fit and one to judge."""
    from vibro.benchmark.datasets import SetEntry, load_set

    for preset in ("transformer", "transformer-60hz", "bearing"):
        for covariates in (True, False):
            settings: dict[str, Any] = {"records": 2000, "faults": 0.0, "preset": preset}
            settings |= {} if preset == "bearing" else {"tap_changes": 0.0}
            data = load_set(SetEntry("clean", simulate=settings, covariates=covariates), None, seed)
            middle = np.sort(data.batch.time)[len(data.batch) // 2]
            before = data.batch.time < middle
            name = f"{preset}, {'with' if covariates else 'without'} covariates"
            yield name, data.take(np.flatnonzero(before)), data.take(np.flatnonzero(~before))
    folder = data_folder()
    if folder is None:
        return
    rng = np.random.default_rng(seed)
    entries = {
        "heart beats": SetEntry("ecg5000", path="ecg5000/ecg5000.npz", fs=125.0),
        "early life of bearings": SetEntry("pronostia", path="pronostia/pronostia.npz", machine="(.*)-[hv]$"),
    }
    for name, entry in entries.items():
        data = load_set(entry, folder, seed)
        normal = rng.permutation(np.flatnonzero(data.y == 0))
        for most in (400, len(normal) // 2):
            half = np.sort(normal[:most])
            yield f"{name}, {most} fitted", data.take(half), data.take(np.sort(normal[len(normal) // 2 :]))


# --- order ------------------------------------------------------------------------------------------------------------


def order(draws: int) -> Iterator[Rows]:
    """Distinct scores among the highest 1 % of records of a simulated plant, in the table that a run writes."""
    import csv

    for seed in range(draws):
        with TemporaryDirectory() as folder:
            data, run = f"{folder}/data", f"{folder}/run"
            simulated = ["data", "simulate", "-o", data, "--records", "2000", "--seed", str(seed), "--format", "npz"]
            fitted = ["ensemble", "run", f"{data}/data.npz", "-o", run, "--ensemble", "quick", "--quiet"]
            for words in (simulated, fitted):
                done = measure([*VIBRO, *words])
                if done.code:
                    raise RuntimeError(done.output)
            with Path(run, "scores.csv").open(encoding="utf-8", newline="") as file:
                scores = [row["score"] for row in csv.DictReader(file) if row["score"]]
        top = sorted(scores, key=float)[-max(1, len(scores) // 100) :]
        yield [{"seed": seed, "records": len(top), "distinct": len(set(top)) / len(top)}]


# --- report -----------------------------------------------------------------------------------------------------------


def report() -> list[str]:
    """Markdown of all parts that have been measured."""
    lines: list[str] = []
    for name, make in {"pools": of_pools, "severe": of_severe, "clean": of_clean, "order": of_order}.items():
        path = HERE / f"{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text())
        about = found["about"]
        title, body = make(found["rows"])
        stamp = (
            f"{about['date']}, commit {about['commit']}, {about['cpu']}, load {about['load']}, {found['draws']} draws"
        )
        lines += [f"## {title}", "", stamp, "", *body]
    return lines


def mean(rows: Rows, key: str) -> float:
    """Mean of one figure."""
    return float(np.mean([r[key] for r in rows])) if rows else float("nan")


def of_pools(rows: Rows) -> tuple[str, list[str]]:
    """Every block, then the means over the blocks of every thresholder."""
    blocks = list(dict.fromkeys((r["set"], r["pool"]) for r in rows))
    cells = []
    for block in blocks:
        cell: list[Any] = [" ".join(block)]
        for judged in ("in place", "held out"):
            mine = [
                r for r in rows if (r["set"], r["pool"]) == block and (r["judged"], r["method"]) == (judged, "auto")
            ]
            cell += [f"{mean(mine, 'recall'):.2f}", f"{mean(mine, 'false'):.1%}", f"{mean(mine, 'ranking'):.2f}"]
        cells.append(cell)
    head = [
        "pool",
        "recall, in place",
        "false alarms",
        "ranking at 1 %",
        "recall, held out",
        "false alarms",
        "ranking at 1 %",
    ]
    lines = table(head, cells)
    cells = []
    for judged in ("in place", "held out"):
        for method in METHODS:
            of = [r for r in rows if (r["judged"], r["method"]) == (judged, method)]
            each = [[r for r in of if (r["set"], r["pool"]) == block] for block in blocks]
            silent = [r["ranking"] >= HOLDING and r["recall"] < HOLDING for r in of]
            worst = max(mean(b, "false") for b in each)
            cells.append([method, judged, f"{np.mean([mean(b, 'recall') for b in each]):.3f}"])
            cells[-1] += [f"{np.mean([mean(b, 'false') for b in each]):.2%}", f"{worst:.1%}", f"{np.mean(silent):.1%}"]
    head = ["thresholder", "judged", "recall", "false alarms", "worst pool", "ranking holds the faults, alarms do not"]
    return "Pools, budget 1 % (goals: recall .70, false alarms 1.2 %, worst 6 %, last column 5 %)", [
        *lines,
        *table(head, cells),
    ]


def of_severe(rows: Rows) -> tuple[str, list[str]]:
    """Pools whose ranking is perfect, by size and share; then new records."""
    cells = []
    for n in SIZES:
        for share in SHARES:
            mine = [r for r in rows if (r["n"], r["share"]) == (n, share)]
            good = [r for r in mine if r["perfect"]]
            new = [r for r in mine if r["new_perfect"]]
            cell = [str(n), f"{share:.0%}", f"{len(good)} of {len(mine)}"]
            cell += [f"{mean(good, 'recall'):.3f}", f"{mean(good, 'false'):.2%}"] if good else ["-", "-"]
            cell += [f"{len(new)} of {len(mine)}"]
            cells.append(
                cell + ([f"{mean(new, 'new_recall'):.3f}", f"{mean(new, 'new_false'):.2%}"] if new else ["-", "-"])
            )
    good, new = [r for r in rows if r["perfect"]], [r for r in rows if r["new_perfect"]]
    cells.append(
        ["all", "", f"{len(good)} of {len(rows)}", f"{mean(good, 'recall'):.3f}", f"{mean(good, 'false'):.2%}"]
    )
    cells[-1] += [f"{len(new)} of {len(rows)}", f"{mean(new, 'new_recall'):.3f}", f"{mean(new, 'new_false'):.2%}"]
    head = [
        "records",
        "faults",
        "ranking perfect",
        "recall",
        "false alarms",
        "new ones ranked perfectly",
        "recall",
        "false alarms",
    ]
    goals = "goals: recall .93, false alarms 3 % below 400 records and 1.5 % above, new faults .95"
    return f"Severe faults, budget 1 % ({goals})", table(head, cells)


def of_clean(rows: Rows) -> tuple[str, list[str]]:
    """Alarm rate over the budget, mean and range of the draws."""
    cells = []
    for name in dict.fromkeys(r["data"] for r in rows):
        cell: list[Any] = [name]
        for budget in (0.01, 0.05):
            mine = [r for r in rows if (r["data"], r["budget"]) == (name, budget)]
            each = [r["over"] for r in mine]
            cell += [f"{np.mean(each):.2f}", f"{min(each):.2f} .. {max(each):.2f}", f"{mean(mine, 'quantile'):.2f}"]
        cells.append(cell)
    head = ["data", *(text for b in (0.01, 0.05) for text in (f"at {b:.0%}", "of the draws", "plain quantile"))]
    return "Alarms over budget on clean data (goal .5 to 2, plants and bearings .5 to 1.5)", table(head, cells)


def of_order(rows: Rows) -> tuple[str, list[str]]:
    """Distinct scores."""
    cells = [[r["seed"], r["records"], f"{r['distinct']:.0%}"] for r in rows]
    return "Distinct scores among the highest 1 % (goal 99 %)", table(["seed", "records", "distinct"], cells)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or None))
