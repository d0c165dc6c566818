"""``finetune --augment``: rows of rare classes, copied or generated, and which of them may be taught."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.metrics import roc_auc
from vibro.context import Context
from vibro.data import SignalBatch
from vibro.host.manager import PluginHost
from vibro.injection.variants import FILL, fault_copies, within_class
from vibro.runs.generator import Generator, Network
from vibro.runs.student import Recipe, Rows, fit_student, read_rows
from vibro.runs.teach import Copied, More
from vibro.runs.truth import Truth

INJECT, GENERATE = "inject", "generate"
FEWEST = 4  # labelled records of a class, below which what is made of them cannot be held against others
APART = 0.8  # AUC of telling what is made from records, above which it is not taught

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Augmented:
    """What may be taught besides the records, None without any, the way it is made, and what became of each class of faults."""

    way: str
    more: More | None
    classes: list[dict[str, Any]]
    note: str = ""


def copies(
    host: PluginHost,
    recipe: Recipe,
    batch: SignalBatch,
    rows: Rows,
    z: Floats,
    truth: Truth,
    sound: NDArray[np.bool_],
    steady: bool,
    ctx: Context,
    folder: Path,
) -> Augmented:
    """Copies of the labelled faults of a class with fewer than FILL labels that pass as records of their class.

    They pass if their spectrum lies in the band of the class, and if the classifier itself cannot tell copies from records
    beyond an AUC of APART. A copy has the detectors' scores of its record. ``sound`` (n,): records that the ensemble calls
    normal; ``steady``: mains keep the speed.
    """
    kind, told = _rare(truth)
    made = fault_copies(batch, kind, sound & ~truth.real, steady, ctx.child("copies").seed)
    parts: list[Copied] = []
    if made is not None:
        inside = within_class(batch, kind, made)
        x = read_rows(host, recipe, made.batch, z[made.row], ctx, folder, states=rows.states).x
        for c in np.unique(kind[made.row]):
            mine = np.flatnonzero((kind[made.row] == c) & inside)
            told[c]["out_of_band"] = int((kind[made.row] == c).sum() - len(mine))
            if len(np.unique(made.row[mine])) < 2:  # one for each half
                told[c]["reason"] = "no spectrum of a copy lies in the band of its class, or those of one record alone"
                continue
            records, of = np.flatnonzero(kind == c), made.row[mine]
            half = _halves(records, of, ctx)
            auc = told_apart(recipe, ctx, rows.x[records], half, x[mine], half[np.searchsorted(records, of)])
            if _passes(told[c], auc, "copies"):
                told[c]["taught"] = len(mine)
                parts.append(Copied(x[mine], of))
    more = Copied(*(np.concatenate(a) for a in zip(*((p.x, p.of) for p in parts), strict=True))) if parts else None
    return Augmented(INJECT, more, told[1:])


def generated(
    recipe: Recipe,
    x: NDArray[np.float32],
    truth: Truth,
    groups: Codes,
    network: Network | None,
    ctx: Context,
) -> Augmented:
    """A generator of the classes of faults with fewer than FILL labels of which what it makes passes as their records.

    ``x`` (n, *item): what the classifier reads. Without a ``network`` the decoder is linear, and that is told. A class passes
    if what is made of either half of its records lies in their band, and if the classifier, taught to tell made from measured
    rows of one half, cannot tell those of the other beyond an AUC of APART. A group (n,) lies in one half where that leaves
    two records for each.
    """
    kind, told = _rare(truth)
    labelled = truth.real & (truth.y >= 0)
    generator = Generator(labelled, (), network, len(recipe.names))
    few = []
    for c in np.unique(kind[kind >= 0]):
        records, parts, lost = np.flatnonzero(kind == c), [], 0
        half = _halves_of_groups(groups[records], ctx)
        for k in (0, 1):
            seen = labelled.copy()
            seen[records[half != k]] = False
            part, out = generator.made(ctx.child(f"half {k}"), x[seen], truth.y[seen], c)
            parts.append(part)
            lost += out
        told[c]["out_of_band"] = lost
        if not all(map(len, parts)):
            told[c]["reason"] = "what is generated does not lie in the band of its class"
            continue
        side = np.repeat([0, 1], [len(part) for part in parts])
        auc = told_apart(recipe, ctx, x[records], half, np.concatenate(parts), side)
        if _passes(told[c], auc, "generated records"):
            told[c]["taught"] = len(generator.made(ctx, x[labelled], truth.y[labelled], c)[0])
            few.append(int(c))
    note = f"no network of the run rebuilds what {recipe.cls.name} reads: a linear decoder takes its place"
    if network is not None:
        note = f"{network.ident} of the run is the decoder"
    return Augmented(GENERATE, replace(generator, few=tuple(few)) if few else None, told[1:], note)


def _rare(truth: Truth) -> tuple[NDArray[np.int16], list[dict[str, Any]]]:
    """(n,) the class of labelled faults whose class may have rows made, -1 = none; and what is told of each class."""
    kind = np.where(truth.real & (truth.y > 0), truth.y, -1).astype(np.int16)
    size = np.bincount(kind[kind >= 0], minlength=len(truth.names))
    told = [{"class": n, "labels": int(size[c]), "taught": 0, "reason": ""} for c, n in enumerate(truth.names)]
    for c in range(1, len(told)):
        if size[c] >= FILL:
            told[c]["reason"] = f"{FILL} labels are enough"
        elif size[c] < FEWEST:
            told[c]["reason"] = f"fewer than {FEWEST} labels: what is made of them cannot be checked"
            kind[kind == c] = -1
    return np.where(size[kind] < FILL, kind, -1).astype(np.int16), told


def _passes(told: dict[str, Any], auc: float, what: str) -> bool:
    """Whether a class passes, which is told."""
    told["auc"] = auc
    if auc > APART:
        told["reason"] = f"the classifier tells {what} from measured ones (AUC {auc:.2f} above {APART:g})"
    return auc <= APART


def told_apart(
    recipe: Recipe,
    ctx: Context,
    records: NDArray[np.float32],
    half: Codes,
    made: NDArray[np.float32],
    side: Codes,
) -> float:
    """AUC of the recipe's classifier taught to tell ``made`` rows (m, *item) from ``records`` (n, *item) of their class.

    Each half, ``half`` (n,) and ``side`` (m,) 0 or 1, is judged by a classifier that was taught with the other.
    """
    values, copied = np.concatenate([records, made]), np.r_[np.zeros(len(records)), np.ones(len(made))]
    found, auc = np.r_[half, side], []
    for k in (0, 1):
        y = np.where(found == k, -1, copied).astype(np.int16)
        student = fit_student(recipe, ctx.child(f"half {k}"), values, y, np.ones(len(y)), 2)
        mine = found == k
        auc.append(roc_auc(copied[mine].astype(np.int16), student.predict(values[mine])[:, 1]))
    return float(np.mean(auc))


def _halves(records: Codes, of: Codes, ctx: Context) -> Codes:
    """(n,) 0 or 1 of records in random order; those with copies, ``of`` (m,), are spread over both."""
    place = np.random.default_rng(ctx.child("halves").seed).permutation(len(records))
    half = np.zeros(len(records), np.intp)
    half[np.lexsort((place, ~np.isin(records, of)))] = np.arange(len(records)) % 2
    return half


def _halves_of_groups(groups: Codes, ctx: Context) -> Codes:
    """(n,) 0 or 1 of records, whole groups where both halves then have two or more."""
    name, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    side, filled = np.zeros(len(name), np.intp), [0, 0]
    for g in np.argsort(-size, kind="stable"):
        side[g] = int(filled[1] < filled[0])
        filled[side[g]] += size[g]
    return side[group] if min(filled) >= 2 else _halves(np.arange(len(groups)), np.arange(len(groups)), ctx)
