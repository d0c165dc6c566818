"""What ``finetune --augment inject,generate`` brings: python -m benchmarks.diagnosis.augment [SET ...] [--seeds N] [--ensemble E]

Five labels of each class, drawn anew for each seed, from one half of the recordings (of the simulator: of four machines), taught
with and without what each way makes; macro F1 over normal and all types of faults on the other half. The command decides from
the labels alone: generated records are tried beside copies where those were kept. ``quick`` has no network, so that the decoder
is linear; ``default`` has one for what ``logistic`` and ``boosting`` read. Real sets are read from VIBRO_TEST_DATA. Rows are
kept in ``benchmarks/results/augment``; a set measured again replaces its old ones.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, write
from benchmarks.diagnosis.stages import TYPED, Pool, real, simulated, truth_of
from vibro.context import Context
from vibro.host.manager import PluginHost
from vibro.runs.augment import INJECT, Augmented, copies, generated
from vibro.runs.finetune import raised_share, sound_records, teacher_score
from vibro.runs.generator import Network, network_of
from vibro.runs.lessons import WAYS, Lesson, augmented
from vibro.runs.model import MODEL
from vibro.runs.student import Recipe, make_recipe, read_rows
from vibro.runs.teach import judge, teach
from vibro.runs.truth import Truth
from vibro.scoring.holdout import macro_f1, make_groups
from vibro.store import bundle

LABELS = 5
CLASSIFIERS = ["logistic", "boosting"]
FIRST = 10  # seed of the pool


def measured(name: str, seeds: int, ensemble: str, classifiers: list[str]) -> Iterator[dict[str, Any]]:
    """One row for each classifier and draw of labels."""
    host = PluginHost.create()
    with TemporaryDirectory() as made:
        folder = Path(made)
        pool = simulated(folder, FIRST, ensemble) if name == "simulator" else real(folder, name, FIRST, ensemble)
        if name == "simulator":
            machine = np.array([s.split("-")[0] for s in pool.run.batch.sensors])[pool.run.batch.sensor]
            pool = Pool(pool.run, np.isin(machine, ("U3", "U4", "U5", "U6")), pool.test, pool.y, pool.kind)
        run, batch = pool.run, pool.run.records(host, None, folder / "again")
        sound, steady = sound_records(run), bool(run.summary["signal"].get("mains_hz"))
        parts = bundle.load(run.path / MODEL)
        states = {ident: parts.tensors[f"detectors/{ident}"] for ident in run.matrix.detectors}
        for way in classifiers:
            recipe = make_recipe(host, {"use": way}, run.matrix.detectors)
            rows = read_rows(host, recipe, batch, run.matrix.z, Context(fs=batch.fs), folder, sound)
            network = network_of(
                host, recipe, batch, rows, run.manifest["ensemble"]["detectors"], states, Context(), folder
            )
            about = {
                "set": name,
                "ensemble": ensemble,
                "classifier": way,
                "decoder": network.ident if network else "linear",
            }
            for seed in range(seeds):
                ctx, truth = Context(seed=seed, fs=batch.fs), drawn(pool, seed)
                spare = sound & ~pool.test

                inject = partial(copies, host, recipe, batch, rows, run.matrix.z, truth, spare, steady, ctx, folder)
                yield {**about, "seed": seed, **augmentations(pool, recipe, rows.x, truth, network, inject, ctx)}


def augmentations(
    pool: Pool,
    recipe: Recipe,
    x: np.ndarray,
    truth: Truth,
    network: Network | None,
    inject: Callable[[], Augmented],
    ctx: Context,
) -> dict[str, Any]:
    """Macro F1 without and with what each way makes, and what the command keeps, with the F1 of that."""
    run = pool.run
    groups, teacher, share = make_groups(run.batch, truth.y, truth.names), teacher_score(run), raised_share(run)

    def lesson(name: str, rounds: int, added: Any) -> Lesson:
        more = tuple(added.values())
        return Lesson(name, rounds, judge(recipe, ctx, x, truth, groups, teacher, share, rounds, 5, added=more), added)

    def make(way: str) -> Augmented:
        return inject() if way == INJECT else generated(recipe, x, truth, groups.of, network, ctx)

    def figure(added: Any) -> float:
        student = teach(recipe, ctx, x, truth, 0, ~pool.test, tuple(added.values()))
        return f1(pool, truth.names, student.predict(x))

    tried, (kept, *_), told = augmented([lesson("with labels", 0, {})], list(WAYS), make, lesson)
    found: dict[str, Any] = {"augmentation": told, "kept": list(kept.added), "plain": figure({})}
    found |= {list(other.added)[-1]: figure(other.added) for other in tried}
    return found | {"command": figure(kept.added)}


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
    """One line a set, classifier and way, and what became of the classes."""
    lines = ["Macro F1 on what is judged, mean over draws of five labels a class (sd).", ""]
    rows, classes = [], []
    for at in dict.fromkeys((row["set"], row["decoder"], row["classifier"]) for row in found):
        mine = [row for row in found if (row["set"], row["decoder"], row["classifier"]) == at]
        command = np.array([row["command"] for row in mine])
        for k, way in enumerate(WAYS):
            of = [row for row in mine if way in row]  # draws in which some class has any
            plain, taught = (np.array([row[what] for row in of]) for what in ("plain", way))
            cells = [
                f"{f.mean():.3f} ({f.std(ddof=1):.3f})" if len(f) > 1 else "-" for f in (plain, taught, taught - plain)
            ]
            kept = f"{sum(way in row['kept'] for row in mine)} of {len(mine)}"
            rows.append((*at, WAYS[way], *cells, kept, f"{command.mean():.3f}" if k else ""))
            told = [c for row in mine for c in row["augmentation"][k]["classes"]]
            for kind in dict.fromkeys(c["class"] for c in told):
                draws = [c for c in told if c["class"] == kind]
                why = dict.fromkeys(c["reason"].partition(" (")[0] for c in draws if c["reason"])
                auc = [c["auc"] for c in draws if "auc" in c]
                used = f"{sum(c['taught'] > 0 for c in draws)} of {len(draws)}"
                area = f"{np.mean(auc):.2f}" if auc else "-"
                classes.append((*at, WAYS[way], kind, used, area, "; ".join(why) or "-"))
    head = ("set", "decoder", "classifier", "way", "without", "with", "gain", "kept in draws", "as the command decides")
    lines += table(head, rows)
    lines += [
        "Draws in which what is made of a class is taught, the mean AUC of telling it from records, and why it is not.",
        "",
    ]
    return [*lines, *table(("set", "decoder", "classifier", "way", "class", "draws", "AUC", "why not"), classes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=[*TYPED, "simulator"])
    parser.add_argument("--seeds", type=int, default=5, help="draws of labels")
    parser.add_argument("--ensemble", default="quick", help="quick or default")
    parser.add_argument("--classifiers", nargs="+", default=CLASSIFIERS)
    given = parser.parse_args()
    file = RESULTS / "augment" / "augment.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if file.is_file() else []
    for name in given.sets:
        begun = time.monotonic()
        new = list(measured(name, given.seeds, given.ensemble, given.classifiers))
        done = {(row["set"], row["ensemble"], row["classifier"]) for row in new}
        found = [row for row in found if (row["set"], row["ensemble"], row["classifier"]) not in done] + new
        print(f"{name} done in {time.monotonic() - begun:.0f} s", flush=True)
        write("augment", {"rows": found}, shown(found))


if __name__ == "__main__":
    main()
