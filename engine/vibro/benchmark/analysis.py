"""Analysis of a benchmark's results: paired tests, ranks over data sets, contribution of each detector, Pareto front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.grid import BASELINE
from vibro.benchmark.run import Outcome
from vibro.benchmark.statistics import Ranking, by_data_set, friedman, overall, paired_difference, pareto, shapley

Draws = NDArray[np.float64]
Block = tuple[Any, ...]
Row = dict[str, Any]
Records = Mapping[str, str]  # data set -> fingerprint: sets of the same records count as one

SATURATED = 0.99  # mean AP of the best member above which a block tells nothing
MAIN = "average_precision"
OF_MEMBERS = ("rank_consensus", "z_mean", "mean_member", "best_member")  # baselines made of an ensemble's members
NO_SYSTEM = ("mean_member", "best_member")  # no system that could be run: they are picked with the labels
MARGIN = 0.01  # mean AP by which a competitor must be better to count as a loss


def mean_of(row: Row, figure: str = MAIN) -> float:
    """Mean of a figure over the seeds that have one, else NaN."""
    v = row["values"][figure]
    return float(v[np.isfinite(v)].mean()) if np.isfinite(v).any() else float("nan")


def block_of(row: Row) -> tuple[Any, ...]:
    """What is compared with each other: one data set, pool, part and number of labels."""
    return row["data"], row["pool"], row["subset"], row["labelled_k"]


def _full(outcome: Outcome, ensemble: str) -> str:
    return "+".join(d["id"] for d in outcome.ensembles[ensemble]["detectors"])


def _own_fuser(outcome: Outcome, ensemble: str) -> str:
    return str(outcome.ensembles[ensemble]["fuser"]["use"])


def unjudged(rows: list[Row]) -> list[str]:
    """A sentence for each block in which draws hold one class only, so that there is nothing to rank."""
    out = {}
    for row in rows:
        if row["set"] == f"{BASELINE}random":
            drawn = np.isfinite(row["values"]["prior"])
            lost = int((drawn & ~np.isfinite(row["values"][MAIN])).sum())
            if lost:
                hold, are = ("holds", "is") if lost == 1 else ("hold", "are")
                out[block_of(row)] = f"{lost} of {int(drawn.sum())} draws {hold} one class only and {are} not counted"
    return [f"{title_of(block)}: {text}" for block, text in out.items()]


def title_of(block: Block) -> str:
    """The name of a block in a sentence."""
    data, pool, part, few = block
    return f"{data}/{pool}/{part}" + (f", {few} labels per class" if few else "")


def chance_of(rows: list[Row]) -> dict[Block, Draws]:
    """AP of chance by seed in every block: the share of anomalous records, NaN for a draw of one class."""
    chance: dict[Block, Draws] = {}
    for (block, _), row in {(block_of(row), row["ensemble"]): row for row in rows}.items():
        prior = row["values"]["prior"]
        known = np.where((prior > 0) & (prior < 1), prior, np.nan)
        before = chance.setdefault(block, known)
        chance[block] = np.where(np.isfinite(before), before, known)
    return chance


def _draws(row: Row, chance: Mapping[Block, Draws]) -> Draws:
    """AP by seed; that of chance where there is no score, because leaving the draw out would favour the competitor."""
    found = row["values"][MAIN]
    return np.where(np.isfinite(found), found, chance[block_of(row)])


def treatments(rows: list[Row], outcome: Outcome) -> dict[Block, dict[str, Draws]]:
    """AP by seed of every named competitor in every block: ensembles, their equal-weight mean, members, baselines.

    A block is left out if each of its draws holds one class only.
    """
    blocks: dict[Block, dict[str, Draws]] = defaultdict(dict)
    chance = chance_of(rows)
    several = len(outcome.ensembles) > 1
    for row in rows:
        ensemble = row["ensemble"]
        prefix = f"{ensemble}: " if several else ""
        own = row["fuser"] == _own_fuser(outcome, ensemble)
        if row["set"].startswith(BASELINE):
            name = row["set"].removeprefix(BASELINE)
            if name in OF_MEMBERS:
                if len(outcome.ensembles[ensemble]["detectors"]) == 1:
                    continue
                name = prefix + name
        elif row["set"] == _full(outcome, ensemble):
            name = ensemble if own else f"{prefix}{row['fuser']} of all"
        elif row["n_detectors"] == 1 and own:
            name = prefix + row["set"]
        else:
            continue
        blocks[block_of(row)].setdefault(name, _draws(row, chance))
    names = {name for block in blocks.values() for name in block}.union(outcome.ensembles)
    for key, block in blocks.items():
        block.update(dict.fromkeys(sorted(names - block.keys()), chance[key]))
    return {key: block for key, block in blocks.items() if np.isfinite(chance[key]).any()}


def tests(blocks: dict[Block, dict[str, Draws]], lead: str, records: Records) -> dict[str, Any]:
    """Paired bootstrap of the ensemble ``lead`` against every competitor, and Friedman with Nemenyi, over the data sets.

    Blocks in which the best member is above ``SATURATED`` count only in ``all_blocks``.
    """
    names = list(dict.fromkeys(name for block in blocks.values() for name in block))
    open_blocks = {key: block for key, block in blocks.items() if not _saturated(block)}
    out: dict[str, Any] = {"metric": MAIN, "saturated": ["/".join(map(str, k)) for k in blocks if k not in open_blocks]}
    for label, chosen in (("open_blocks", open_blocks), ("all_blocks", blocks)):
        sets = [records[key[0]] for key in chosen]
        counts = {"blocks": len(chosen), "data_sets": len(set(sets))}
        out[label] = counts | _compare(list(chosen.values()), sets, names, lead)
    return out


def losses(blocks: dict[Block, dict[str, Draws]], lead: str) -> list[Row]:
    """Blocks in which a competitor that needs no labels has a mean AP above that of ``lead`` by more than ``MARGIN``."""
    out = []
    for (data, pool, part, few), block in blocks.items():
        mean = {n: float(np.nanmean(v)) for n, v in block.items() if not n.endswith(NO_SYSTEM)}
        better = sorted((n for n in mean if mean[n] - mean[lead] > MARGIN), key=lambda n: -mean[n])
        if better:
            where = {"data": data, "pool": pool, "subset": part, "labelled_k": few}
            out.append(where | {MAIN: mean[lead], "behind": [{"name": n, MAIN: mean[n]} for n in better]})
    return out


def learning(blocks: dict[Block, dict[str, Draws]], records: Records) -> list[Row]:
    """Gain from shown labels for every competitor: AP with them minus AP without, on blocks that were evaluated with both."""
    out = []
    rng = np.random.default_rng(0)
    for few in sorted({key[-1] for key in blocks} - {0}):
        keys = [key for key in blocks if key[-1] == few and (*key[:-1], 0) in blocks]
        sets = [records[key[0]] for key in keys]
        for name in blocks[keys[0]] if keys else ():
            found, plain = ([blocks[key][name] for key in many] for many in (keys, [(*key[:-1], 0) for key in keys]))
            d = paired_difference(found, plain, rng, sets)
            if np.isfinite(d.mean):
                figures = {MAIN: overall(by_data_set(found, sets)), "gain": d.mean, "lo": d.low, "hi": d.high, "p": d.p}
                out.append({"labelled_k": few, "name": name, "data_sets": d.sets} | figures)
    return out


def _saturated(block: dict[str, Draws]) -> bool:
    best = [np.nanmean(v) for name, v in block.items() if name.endswith("best_member") and np.isfinite(v).any()]
    return bool(best and max(best) >= SATURATED)


def _compare(
    blocks: Sequence[dict[str, Draws]], sets: Sequence[str], names: Sequence[str], lead: str
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draws = {n: by_data_set([b[n] for b in blocks], sets) for n in names}
    out: dict[str, Any] = {"mean": {n: overall(v) for n, v in draws.items()}, "lead": lead, "paired": []}
    out["friedman"] = None
    if not blocks:
        return out
    for name in names:
        if name != lead:
            d = paired_difference([b[lead] for b in blocks], [b[name] for b in blocks], rng, sets)
            out["paired"].append({"against": name, "diff": d.mean, "lo": d.low, "hi": d.high, "p": d.p})
    contenders = [n for n in names if not n.endswith(NO_SYSTEM)]
    ranking = friedman(np.array([[np.nanmean(v) for v in draws[n]] for n in contenders]).T, contenders)
    out["friedman"] = None if ranking is None else _ranking(ranking)
    return out


def _ranking(ranking: Ranking) -> dict[str, Any]:
    order = np.argsort(ranking.ranks)
    return {
        "ranks": [{"name": ranking.names[i], "rank": ranking.ranks[i]} for i in order],
        "blocks": ranking.blocks,
        "statistic": ranking.statistic,
        "p": ranking.p,
        "critical_difference": ranking.critical_difference,
        "cliques": ranking.cliques,
    }


def _by_set(rows: list[Row], chance: Mapping[Block, Draws], ensemble: str, fuser: str) -> dict[str, dict[Block, Draws]]:
    """AP by seed of every set in every block, for one ensemble and fuser."""
    found: dict[str, dict[Block, Draws]] = defaultdict(dict)
    for row in rows:
        if row["ensemble"] == ensemble and row["fuser"] == fuser:
            found[row["set"]].setdefault(block_of(row), _draws(row, chance))
    return found


def leave_one_out(rows: list[Row], outcome: Outcome, records: Records) -> list[Row]:
    """Contribution of each detector to its whole ensemble: AP with it minus AP without it, with the paired interval."""
    out = []
    rng = np.random.default_rng(0)
    chance = chance_of(rows)
    for ensemble, table in outcome.ensembles.items():
        ids = [d["id"] for d in table["detectors"]]
        if len(ids) < 2:
            continue
        for fuser in dict.fromkeys(r["fuser"] for r in rows if r["ensemble"] == ensemble):
            sets = _by_set(rows, chance, ensemble, fuser)
            whole = sets.get("+".join(ids), {})
            for ident in ids:
                without = sets.get("+".join(i for i in ids if i != ident), {})
                both = [key for key in whole if key in without]
                names = [records[key[0]] for key in both]
                d = paired_difference([whole[k] for k in both], [without[k] for k in both], rng, names)
                if np.isfinite(d.mean):
                    out.append(
                        {"ensemble": ensemble, "fuser": fuser, "detector": ident}
                        | {"gain": d.mean, "lo": d.low, "hi": d.high, "p": d.p}
                    )
    return out


def contributions(rows: list[Row], outcome: Outcome, records: Records) -> list[Row]:
    """Shapley values of mean AP over the data sets, where every subset was evaluated; the empty set counts as chance."""
    out = []
    chance = chance_of(rows)
    for ensemble, table in outcome.ensembles.items():
        ids = [d["id"] for d in table["detectors"]]
        for fuser in dict.fromkeys(r["fuser"] for r in rows if r["ensemble"] == ensemble):
            found = _by_set(rows, chance, ensemble, fuser)
            sets = {name: _mean(draws, records) for name, draws in found.items()}
            if len(sets) < 2 ** len(ids) - 1 or len(ids) < 2:
                continue
            nobody = _mean({block: chance[block] for block in found["+".join(ids)]}, records)
            if nobody is None:
                continue

            def value(many: list[tuple[int, ...]], ids: list[str] = ids, sets: dict[str, float | None] = sets) -> Draws:
                return np.array([sets["+".join(ids[j] for j in s)] for s in many], dtype=np.float64)

            gains = shapley(len(ids), value, nobody)
            out += [
                {"ensemble": ensemble, "fuser": fuser, "detector": i, "value": float(g)}
                for i, g in zip(ids, gains, strict=True)
            ]
    return out


def _mean(found: Mapping[Block, Draws], records: Records) -> float | None:
    return overall(by_data_set(list(found.values()), [records[key[0]] for key in found]))


def averages(rows: list[Row], records: Records) -> list[Row]:
    """Mean AP over the data sets and mean seconds of the detectors of every combination that gave a score, best first."""
    chance = chance_of(rows)
    found: dict[tuple[str, str, str], dict[Block, Row]] = defaultdict(dict)
    for row in rows:
        found[(row["ensemble"], row["set"], row["fuser"])].setdefault(block_of(row), row)
    out = []
    for (ensemble, members, fuser), blocks in found.items():
        if any(np.isfinite(row["values"][MAIN]).any() for row in blocks.values()):
            draws = chance | {block: _draws(row, chance) for block, row in blocks.items()}
            seconds = [mean_of(r, "fit_seconds") + mean_of(r, "score_seconds") for r in blocks.values()]
            name = {"ensemble": ensemble, "set": members, "fuser": fuser}
            out.append(name | {"seconds": float(np.mean(seconds)), MAIN: _mean(draws, records)})
    return sorted(out, key=lambda r: -r[MAIN])


def front(combinations: list[Row]) -> list[Row]:
    """Pareto front of the ``averages``: those that no cheaper one equals, cheapest first."""
    cost, gain = (np.array([r[name] for r in combinations]) for name in ("seconds", MAIN))
    return sorted((combinations[i] for i in np.flatnonzero(pareto(cost, gain))), key=lambda r: r["seconds"])
