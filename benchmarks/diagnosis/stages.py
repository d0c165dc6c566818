"""What labels and pseudo-labels add to an unlabelled run: python -m benchmarks.diagnosis.stages [SET ...] [--seeds N]

Each pool is fitted by ``quick`` without labels. Labels come from one half of its machines or recordings (of the simulator:
from the two machines of which 40 % of the records are faulty; suggested are records of all but the two that are judged), every
figure from the other half. ``hetero_cnn`` starts from random weights, for ``quick`` has no network. Real sets are read
from VIBRO_TEST_DATA. Pools are kept in ``benchmarks/results/stages``; one measured again replaces the old one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, write
from vibro.benchmark.metrics import score_table
from vibro.context import Context
from vibro.host.manager import PluginHost
from vibro.runs.finetune import raised_share, sound_records, teacher_score
from vibro.runs.fit import run_ensemble
from vibro.runs.lessons import STUDENT, Lesson, decide
from vibro.runs.options import DataOptions, RunOptions
from vibro.runs.pseudolabel import RULES, find_pseudolabels
from vibro.runs.stored import StoredRun, open_run
from vibro.runs.student import Recipe, make_recipe, read_rows, start_recipe
from vibro.runs.teach import judge, teach
from vibro.runs.truth import Truth
from vibro.scoring.holdout import macro_f1, make_groups
from vibro.scoring.pseudolabels import Consensus
from vibro.scoring.suggestions import suggest
from vibro.simulate.simulate import simulate
from vibro.simulate.write import write as write_simulation

LABELS = (5, 20, 100)  # of either class
SHARE = 0.1  # of faults in the pool that is fitted, of a real set
FEWEST = 30  # records to fit on
FAULTS = (0.05, 0.05, 0.05, 0.05, 0.4, 0.4, 0.05, 0.05)  # a machine, of the simulator
SIMULATED = {"records": 3200, "units": 8, "sensors": 5, "faults": FAULTS}
REAL = {
    "adi_motor": "source_file",
    "pronostia": "sensor_id",
    "mfpt": "source_file",
    "cwru_0hp": "source_file",
}  # recordings
TYPED = ("adi_motor", "mfpt", "cwru_0hp")  # sets whose types of faults are told apart
FIRST = 10  # seed of the first pool: the settings were chosen on simulated plants of the seeds 0 to 3
SEEDS = 5  # draws of labels


@dataclass(frozen=True)
class Pool:
    """A run, which records may be labelled (n,), which are judged (n,), and the truth: 0 or 1, -1 not known, and types."""

    run: StoredRun
    candidates: np.ndarray
    test: np.ndarray
    y: np.ndarray
    kind: np.ndarray


def simulated(folder: Path, seed: int, ensemble: str = "quick") -> Pool:
    """Eight machines: four without labels, two to label, two to judge by."""
    made = simulate(**SIMULATED, seed=seed)
    write_simulation(made, folder, "npz")
    options = DataOptions((folder / "data.npz",), covariates=folder / "covariates.csv")
    run = fitted(folder, options, "all", seed, ensemble)
    with (folder / "labels.csv").open() as handle:
        truth = {row["record_id"]: row for row in csv.DictReader(handle)}
    rows = [truth[ident] for ident in run.batch.ids.tolist()]
    machine = np.array([row["sensor_id"].split("-")[0] for row in rows])
    y, kind = np.array([int(row["label"]) for row in rows]), np.array([row["fault_type"] for row in rows])
    return Pool(run, np.isin(machine, ("U5", "U6")), np.isin(machine, ("U7", "U8")), y, kind)


def real(folder: Path, name: str, seed: int, ensemble: str = "quick") -> Pool:
    """One half to label, the other to judge by; fitted are all normal records and a tenth of faults, or as many as it takes.

    As in every run, records that were fitted are judged by fits that had not seen them.
    """
    source = Path(os.environ["VIBRO_TEST_DATA"]) / name / f"{name}.npz"
    with np.load(source, allow_pickle=False) as arrays:
        y, kind, unit = arrays["label"].astype(int), arrays["fault_type"], arrays[REAL[name]]
    rng = np.random.default_rng(seed)
    test, gap = halved(np.where(y == 1, kind, "normal"), y >= 0, unit, rng, name == "cwru_0hp")
    pool = y < 1
    pool[gap] = False
    faults = rng.permutation(np.flatnonzero((y == 1) & ~gap))
    pool[faults[: max(3, round(SHARE / (1 - SHARE) * pool.sum()), FEWEST - pool.sum())]] = True
    with (folder / "splits.csv").open("w") as handle:
        handle.write("source,row,label,split\n")
        handle.writelines(f"{source.name},{i},,{'pool' if p else 'other'}\n" for i, p in enumerate(pool))
    run = fitted(folder, DataOptions((source,), labels=folder / "splits.csv"), "split:pool", seed, ensemble)
    row = run.batch.row
    return Pool(run, ~test[row] & ~gap[row], test[row], y[row], np.where(y == 1, kind, "")[row])


def halved(
    name: np.ndarray, known: np.ndarray, unit: np.ndarray, rng: np.random.Generator, by_size: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) which records are judged, and (n,) those at the border between two halves of a recording, which are left out.

    Of each class half of its recordings are judged; of one with fewer than three the later half of each, with a tenth of it
    left out before. ``by_size``: two of the sizes of damage that cwru_0hp has are judged, so that a size is on one side.
    """
    test, gap = np.zeros(len(name), bool), np.zeros(len(name), bool)
    size = np.array([str(u).split("_")[2] if str(u).count("_") > 2 else "" for u in unit])
    judged = rng.permutation(np.unique(size[size != ""]))[:2] if by_size else ()
    for value in np.unique(name[known]):
        rows = np.flatnonzero((name == value) & known)
        units = np.unique(unit[rows])
        if len(units) < 3:
            for one in units:
                mine = rows[unit[rows] == one]
                test[mine[len(mine) // 2 :]] = True
                gap[mine[len(mine) // 2 - max(1, len(mine) // 10) : len(mine) // 2]] = True
        elif by_size:
            test[rows] = np.isin(size[rows], judged)
        else:
            units = units[~np.isin(units, unit[test])]
            test |= np.isin(unit, rng.permutation(units)[: len(units) // 2])
    return test, gap


def fitted(folder: Path, data: DataOptions, fit_on: str, seed: int, ensemble: str = "quick") -> StoredRun:
    options = RunOptions(ensemble=ensemble, fit_on=fit_on, seed=seed, report=False, executor="serial")
    run_ensemble(PluginHost.create(), data, options, folder / "run")
    return open_run(folder / "run")


def drawn(pool: Pool, k: int, rng: np.random.Generator) -> np.ndarray | None:
    """(n,) k records of each class among the candidates, None where there are fewer."""
    chosen = np.zeros(len(pool.y), bool)
    for value in (0, 1):
        rows = np.flatnonzero(pool.candidates & (pool.y == value) & pool.run.batch.valid)
        if len(rows) < k:
            return None
        chosen[rng.permutation(rows)[:k]] = True
    return chosen


def truth_of(pool: Pool, chosen: np.ndarray, pseudo: Any = None, typed: bool = False) -> Truth:
    """What is known where these records are labelled."""
    types = sorted(set(pool.kind[chosen & (pool.y == 1)].tolist())) if typed else ["fault"]
    code = np.array([types.index(k) + 1 if typed and k in types else 1 for k in pool.kind])
    y = np.where(chosen, np.where(pool.y == 1, code, 0), -1).astype(np.int16)
    weight = chosen.astype(float)
    if pseudo is not None:
        free = ~chosen & ~pool.test & (pseudo.label >= 0)
        y[free], weight[free] = pseudo.label[free], pseudo.weight[free]
    return Truth(("normal", *types), y, np.zeros(len(y), bool), chosen, weight)


def precision(pool: Pool, score: np.ndarray) -> float:
    """Average precision on the records that are judged."""
    rows = pool.test & (pool.y >= 0) & pool.run.batch.valid
    return float(score_table(pool.y[rows], score[rows])["average_precision"][0])


def compared(pool: Pool, views: dict[str, tuple[Recipe, np.ndarray]], seeds: int) -> Iterator[dict[str, Any]]:
    """One row for each number of labels and draw of them: average precision of every way."""
    run, host = pool.run, PluginHost.create()
    pseudo = find_pseudolabels(host, run, "consensus", Consensus())
    alone = precision(pool, run.verdict.persistent)
    everything = np.ones(len(pool.y), bool)
    for k in LABELS:
        for seed in range(seeds):
            chosen = drawn(pool, k, np.random.default_rng([seed, k]))
            if chosen is None:
                continue
            row: dict[str, Any] = {"labels": k, "seed": seed, "ensemble": alone}
            plain, taught = truth_of(pool, chosen), truth_of(pool, chosen, pseudo)
            ctx = Context(seed=seed, fs=run.batch.fs)
            for name, (recipe, x) in views.items():
                row[name] = precision(pool, 1 - teach(recipe, ctx, x, plain, 0, everything).predict(x)[:, 0])
            recipe, x = views["logistic"]
            row["logistic + pseudo-labels"] = precision(
                pool, 1 - teach(recipe, ctx, x, taught, 1, everything).predict(x)[:, 0]
            )
            groups = make_groups(run.batch, plain.y, plain.names)
            lessons = [
                Lesson(
                    name,
                    rounds,
                    judge(recipe, ctx, x, truth, groups, teacher_score(run), raised_share(run), rounds, 5),
                )
                for name, rounds, truth in (("labels", 0, plain), ("pseudo", 1, taught))
            ]
            decision = decide(plain, lessons)
            chosen_way = {None: "ensemble", "labels": "logistic", "pseudo": "logistic + pseudo-labels"}
            row["kept"] = chosen_way[decision.lesson.name if decision.decides == STUDENT and decision.lesson else None]
            row["what is kept"] = row[row["kept"]]
            yield row


def typed(pool: Pool, views: dict[str, tuple[Recipe, np.ndarray]], seeds: int) -> Iterator[dict[str, Any]]:
    """Macro F1 over normal and the types of faults, of k labels of each class, on the records that are judged."""
    names = np.where(pool.y == 1, pool.kind, "normal")
    for k in (5, 20):
        for seed in range(seeds):
            rng = np.random.default_rng([seed, k])
            chosen = np.zeros(len(names), bool)
            for name in np.unique(names[pool.y >= 0]):
                rows = np.flatnonzero(pool.candidates & (names == name) & (pool.y >= 0) & pool.run.batch.valid)
                chosen[rng.permutation(rows)[:k]] = True
            truth = truth_of(pool, chosen, typed=True)
            rows = pool.test & np.isin(names, [*truth.names]) & (pool.y >= 0) & pool.run.batch.valid
            code = np.array([truth.names.index(n) if n in truth.names else -1 for n in names], np.int16)
            row: dict[str, Any] = {"labels": k, "seed": seed}
            for way, (recipe, x) in views.items():
                p = teach(recipe, Context(seed=seed, fs=pool.run.batch.fs), x, truth, 0, ~pool.test).predict(x[rows])
                row[way] = macro_f1(code[rows], p.argmax(axis=1).astype(np.int16), range(len(truth.names)))
            yield row


def suggested(pool: Pool, view: tuple[Recipe, np.ndarray], seeds: int) -> Iterator[dict[str, Any]]:
    """Average precision of the student of n suggested labels beside that of n drawn at random."""
    run, (recipe, x) = pool.run, view
    everything = np.ones(len(pool.y), bool)
    barred = pool.test | (pool.y < 0)
    order = [s.row for s in suggest(run.batch, run.verdict, run.cuts, run.look, run.matrix.detectors, barred, 200)]
    open_rows = np.flatnonzero(~barred & run.batch.valid)
    for n in (10, 20, 40, 80, 160):
        for way in ("suggest", *(f"random {seed}" for seed in range(seeds))):
            rows = (
                order[:n] if way == "suggest" else np.random.default_rng([n, int(way[7:])]).permutation(open_rows)[:n]
            )
            chosen = np.isin(np.arange(len(pool.y)), rows)
            if min((pool.y[chosen] == v).sum() for v in (0, 1)) < 2:
                yield {"n": n, "way": way, "faulty": int((pool.y[chosen] == 1).sum()), "student": None}
                continue
            student = teach(recipe, Context(fs=run.batch.fs), x, truth_of(pool, chosen), 0, everything)
            found = precision(pool, 1 - student.predict(x)[:, 0])
            yield {"n": n, "way": way, "faulty": int((pool.y[chosen] == 1).sum()), "student": found}


def audited(pool: Pool) -> Iterator[dict[str, Any]]:
    """How many pseudo-labels of each rule are right, and how much of either class they cover, where labels are not asked."""
    for rule in RULES:
        label = find_pseudolabels(PluginHost.create(), pool.run, rule, Consensus()).label
        row: dict[str, Any] = {"rule": rule}
        for where, rows in (("", np.ones(len(label), bool)), (" of the others", ~pool.candidates)):
            for value, name in ((0, "normal"), (1, "anomalous")):
                hit = rows & (label == value) & (pool.y >= 0)
                known = rows & (pool.y == value) & pool.run.batch.valid
                row[f"{name}{where}"] = int(hit.sum())
                row[f"{name}{where} right"] = float((pool.y[hit] == value).mean()) if hit.any() else None
                row[f"{name}{where} covered"] = float((hit & known).sum() / known.sum()) if known.any() else None
        yield row


def measured(name: str, seed: int, seeds: int) -> dict[str, Any]:
    """All figures of one pool."""
    host = PluginHost.create()
    with TemporaryDirectory() as folder:
        pool = simulated(Path(folder), seed) if name == "simulator" else real(Path(folder), name, seed)
        batch = pool.run.records(host, None, Path(folder) / "again")
        ctx, views = Context(seed=seed, fs=batch.fs), {}
        for way in ("logistic", "boosting"):
            recipe = make_recipe(host, {"use": way}, pool.run.matrix.detectors)
            views[way] = (
                recipe,
                read_rows(host, recipe, batch, pool.run.matrix.z, ctx, Path(folder), sound_records(pool.run)).x,
            )
        recipe, x = views["logistic"]
        bare = replace(recipe, names=())
        views["logistic without the ensemble"] = bare, x[:, : x.shape[1] - len(recipe.names)]
        known = pool.y >= 0
        found = {
            "pool": name,
            "seed": seed,
            "records": len(pool.y),
            "faulty": int((pool.y == 1).sum()),
            "judged": int((pool.test & known).sum()),
            "judged faulty": int((pool.test & (pool.y == 1)).sum()),
            "pseudo-labels": list(audited(pool)),
            "ways": list(compared(pool, views, seeds)),
        }
        if name in TYPED:
            recipe, _ = start_recipe(host, {"use": "hetero_cnn"}, (), {})
            rows = read_rows(host, recipe, batch, pool.run.matrix.z, ctx, Path(folder), sound_records(pool.run))
            found["types"] = list(typed(pool, {**views, "hetero_cnn": (recipe, rows.x)}, seeds))
        if name == "simulator":
            found["suggested"] = list(suggested(pool, views["logistic"], seeds))
        return found


def shown(found: list[dict[str, Any]]) -> list[str]:
    """The figures as tables."""
    ways = (
        "ensemble",
        "logistic without the ensemble",
        "logistic",
        "logistic + pseudo-labels",
        "boosting",
        "what is kept",
    )
    lines = ["Average precision on what is judged, mean over draws of labels (sd); k labels of either class.", ""]
    rows = []
    for part in found:
        for k in LABELS:
            mine = [row for row in part["ways"] if row["labels"] == k]
            if mine:
                figures = [np.array([row[way] for row in mine]) for way in ways]
                kept = sum(row["kept"] != "ensemble" for row in mine)
                cells = [f"{f.mean():.3f} ({f.std():.3f})" for f in figures]
                rows.append((part["pool"], part["seed"], k, *cells, f"{kept} of {len(mine)}"))
    lines += table(("pool", "seed", "k", *ways, "student kept"), rows)
    lines += ["Pseudo-labels by rule: how many, the share that is right, the share of the class that has one.", ""]
    rows = []
    for part in found:
        for audit in part["pseudo-labels"]:
            cells = []
            for name in ("normal", "anomalous", "normal of the others", "anomalous of the others"):
                right, covered = audit[f"{name} right"], audit[f"{name} covered"]
                cells.append(f"{audit[name]}: {'-' if right is None else f'{right:.3f}'}, {covered:.2f}")
            rows.append((part["pool"], part["seed"], audit["rule"], *cells))
    lines += table(
        ("pool", "seed", "rule", "normal", "anomalous", "normal, not to be labelled", "anomalous, not to be labelled"),
        rows,
    )
    lines += ["Macro F1 over normal and all types of faults, k labels of each class.", ""]
    names = ("logistic without the ensemble", "logistic", "boosting", "hetero_cnn")
    rows = []
    for part in found:
        for k in (5, 20):
            mine = [row for row in part.get("types", []) if row["labels"] == k]
            if mine:
                figures = [np.array([row[way] for row in mine]) for way in names]
                rows.append((part["pool"], part["seed"], k, *(f"{f.mean():.3f} ({f.std():.3f})" for f in figures)))
    lines += table(("pool", "seed", "k", *names), rows)
    lines += ["Average precision of the student of n labels in all, suggested or drawn at random.", ""]
    rows = []
    for part in found:
        for n in sorted({row["n"] for row in part.get("suggested", [])}):
            mine = [row for row in part["suggested"] if row["n"] == n]
            one = next(row for row in mine if row["way"] == "suggest")
            others = [row["student"] for row in mine if row["way"] != "suggest" and row["student"] is not None]
            cells = [f"{one['student']:.3f}" if one["student"] is not None else "-"]
            cells.append(f"{np.mean(others):.3f} ({np.std(others):.3f})" if others else "-")
            rows.append((part["pool"], part["seed"], n, one["faulty"], *cells))
    return [*lines, *table(("pool", "seed", "n", "of them faulty", "suggested", "random"), rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=["simulator", *REAL])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="draws of labels")
    parser.add_argument("--pools", type=int, default=2, help="simulated plants, and halves of the real sets")
    given = parser.parse_args()
    file = RESULTS / "stages" / "stages.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())["pools"] if file.is_file() else []
    for name in given.sets:
        for seed in range(FIRST, FIRST + given.pools):
            new = measured(name, seed, given.seeds)
            place = next((i for i, p in enumerate(found) if (p["pool"], p["seed"]) == (name, seed)), len(found))
            found[place : place + 1] = [new]
            print(f"{name} {seed} done", flush=True)
            write("stages", {"pools": found}, shown(found))


if __name__ == "__main__":
    main()
