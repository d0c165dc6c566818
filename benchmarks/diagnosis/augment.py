"""What ``finetune --augment inject`` brings: python -m benchmarks.diagnosis.augment [SET ...] [--seeds N]

Five labels of each class, drawn anew for each seed, from one half of the recordings (of the simulator: of four machines), taught
with and without copies; macro F1 over normal and all types of faults on the other half. ``kept`` is what the command decides
from the labels alone. Real sets are read from VIBRO_TEST_DATA.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import table, write
from benchmarks.diagnosis.stages import TYPED, Pool, real, simulated, truth_of
from vibro.context import Context
from vibro.host.manager import PluginHost
from vibro.runs.augment import augment
from vibro.runs.finetune import raised_share, sound_records, teacher_score
from vibro.runs.lessons import Lesson, which_copies
from vibro.runs.student import make_recipe, read_rows
from vibro.runs.teach import judge, teach
from vibro.scoring.holdout import macro_f1, make_groups

LABELS = 5
WAYS = ("logistic", "boosting")
FIRST = 10  # seed of the pool


def measured(name: str, seeds: int) -> Iterator[dict[str, Any]]:
    """One row for each classifier and draw of labels."""
    host = PluginHost.create()
    with TemporaryDirectory() as made:
        folder = Path(made)
        pool = simulated(folder, FIRST) if name == "simulator" else real(folder, name, FIRST)
        if name == "simulator":
            machine = np.array([s.split("-")[0] for s in pool.run.batch.sensors])[pool.run.batch.sensor]
            pool = Pool(pool.run, np.isin(machine, ("U3", "U4", "U5", "U6")), pool.test, pool.y, pool.kind)
        run, batch = pool.run, pool.run.records(host, None, folder / "again")
        sound, steady = sound_records(run), bool(run.summary["signal"].get("mains_hz"))
        for way in WAYS:
            recipe = make_recipe(host, {"use": way}, run.matrix.detectors)
            rows = read_rows(host, recipe, batch, run.matrix.z, Context(fs=batch.fs), folder, sound)
            for seed in range(seeds):
                ctx, truth = Context(seed=seed, fs=batch.fs), drawn(pool, seed)
                copies = augment(
                    host, recipe, batch, rows, run.matrix.z, truth, sound & ~pool.test, steady, ctx, folder
                )
                found = {"set": name, "classifier": way, "seed": seed, "classes": copies.classes}
                everyone = ~pool.test
                for what, taught in (("plain", None), ("copies", copies.taught)):
                    student = teach(recipe, ctx, rows.x, truth, 0, everyone, taught)
                    found[what] = f1(pool, truth.names, student.predict(rows.x))
                groups = make_groups(run.batch, truth.y, truth.names)
                teacher, share = teacher_score(run), raised_share(run)
                lessons = [
                    Lesson(way, 0, judge(recipe, ctx, rows.x, truth, groups, teacher, share, 0, 5, copies=c), c)
                    for c in ((None, copies.taught) if copies.taught else (None,))
                ]
                remain, told = which_copies(lessons, copies)
                found |= {"kept": remain[0].copies is not None, "reason": told["reason"]}
                found["command"] = found["copies" if found["kept"] else "plain"]
                yield found


def drawn(pool: Pool, seed: int) -> Any:
    """Five labels of each class, or as many as there are."""
    names = np.where(pool.y == 1, pool.kind, "normal")
    chosen, rng = np.zeros(len(names), bool), np.random.default_rng([seed, LABELS])
    for name in np.unique(names[pool.y >= 0]):
        rows = np.flatnonzero(pool.candidates & (names == name) & (pool.y >= 0) & pool.run.batch.valid)
        if len(rows) >= 2:
            chosen[rng.permutation(rows)[:LABELS]] = True
    return truth_of(pool, chosen, typed=True)


def f1(pool: Pool, names: tuple[str, ...], p: np.ndarray) -> float:
    """Macro F1 on what is judged."""
    called = np.where(pool.y == 1, pool.kind, "normal")
    rows = pool.test & np.isin(called, [*names]) & (pool.y >= 0) & pool.run.batch.valid
    code = np.array([names.index(n) if n in names else -1 for n in called], np.int16)
    return macro_f1(code[rows], p[rows].argmax(axis=1).astype(np.int16), range(len(names)))


def shown(found: list[dict[str, Any]]) -> list[str]:
    """One line a set and classifier, and what became of the classes."""
    lines = ["Macro F1 on what is judged, mean over draws of five labels a class (sd).", ""]
    rows, classes = [], []
    for name, way in dict.fromkeys((row["set"], row["classifier"]) for row in found):
        mine = [row for row in found if (row["set"], row["classifier"]) == (name, way)]
        plain, copies, command = (np.array([row[k] for row in mine]) for k in ("plain", "copies", "command"))
        kept = sum(row["kept"] for row in mine)
        cells = [f"{f.mean():.3f} ({f.std(ddof=1):.3f})" for f in (plain, copies, copies - plain, command)]
        rows.append((name, way, *cells, f"{kept} of {len(mine)}"))
        for kind in dict.fromkeys(c["class"] for row in mine for c in row["classes"]):
            of = [c for row in mine for c in row["classes"] if c["class"] == kind]
            why = dict.fromkeys(c["reason"].partition(" (")[0] for c in of if c["reason"])
            auc = [c["auc"] for c in of if "auc" in c]
            area = f"{np.mean(auc):.2f}" if auc else "-"
            taught = f"{np.mean([c['copies'] for c in of]):.0f}"
            classes.append((name, way, kind, taught, area, "; ".join(why) or "-"))
    head = ("set", "classifier", "without copies", "with copies", "gain", "as the command decides", "copies kept")
    lines += table(head, rows)
    lines += [
        "Copies of a class that are taught, the AUC of telling them from records, and why some draws have none.",
        "",
    ]
    return [*lines, *table(("set", "classifier", "class", "copies", "AUC", "why none"), classes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=[*TYPED, "simulator"])
    parser.add_argument("--seeds", type=int, default=5, help="draws of labels")
    given = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name in given.sets:
        found += measured(name, given.seeds)
        print(f"{name} done", flush=True)
        write("augment", {"rows": found, "seeds": given.seeds}, shown(found))


if __name__ == "__main__":
    main()
