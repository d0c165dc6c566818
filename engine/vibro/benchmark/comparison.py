"""What the rows of a benchmark say about each other: paired tests, ranks over data sets, what each detector adds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.benchmark.grid import BASELINE
from vibro.benchmark.run import Outcome
from vibro.benchmark.statistics import Ranking, friedman, paired_difference, pareto, shapley

Draws = NDArray[np.float64]
Block = tuple[Any, ...]
Row = dict[str, Any]

SATURATED = 0.99  # mean AP of the best member above which a block tells nothing
MAIN = "average_precision"
OF_MEMBERS = ("rank_consensus", "z_mean", "mean_member", "best_member")  # baselines made of an ensemble's members


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


def treatments(rows: list[Row], outcome: Outcome) -> dict[Block, dict[str, Draws]]:
    """AP by seed of every named competitor in every block: ensembles, their equal-weight mean, members, baselines.

    A competitor that gave nothing for a seed counts as chance there, for leaving the block out would flatter it.
    """
    blocks: dict[Block, dict[str, Draws]] = defaultdict(dict)
    chance = {block_of(r): r["values"]["prior"] for r in rows if r["set"] == f"{BASELINE}random"}
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
        found = row["values"][MAIN]
        filled = np.where(np.isfinite(found), found, chance[block_of(row)])
        blocks[block_of(row)].setdefault(name, filled)
    names = {name for block in blocks.values() for name in block}
    for key, block in blocks.items():
        block.update(dict.fromkeys(sorted(names - block.keys()), chance[key]))
    return dict(blocks)


def tests(blocks: dict[Block, dict[str, Draws]], lead: str) -> dict[str, Any]:
    """Paired bootstrap of the ensemble ``lead`` against every competitor, and Friedman with Nemenyi, over the blocks.

    Blocks in which the best member is above ``SATURATED`` count only in ``all_blocks``.
    """
    names = list(dict.fromkeys(name for block in blocks.values() for name in block))
    open_blocks = {key: block for key, block in blocks.items() if not _saturated(block)}
    out: dict[str, Any] = {"metric": MAIN, "saturated": ["/".join(map(str, k)) for k in blocks if k not in open_blocks]}
    for label, chosen in (("open_blocks", open_blocks), ("all_blocks", blocks)):
        out[label] = {"blocks": len(chosen), **_compare(chosen, names, lead)}
    return out


def _saturated(block: dict[str, Draws]) -> bool:
    best = [np.nanmean(v) for name, v in block.items() if name.endswith("best_member") and np.isfinite(v).any()]
    return bool(best and max(best) >= SATURATED)


def _compare(blocks: dict[Block, dict[str, Draws]], names: Sequence[str], lead: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    means = {n: _overall([b[n] for b in blocks.values() if n in b]) for n in names}
    out: dict[str, Any] = {"mean": means, "lead": lead, "paired": [], "friedman": None}
    if not blocks:
        return out
    everywhere = [n for n in names if all(n in b and np.isfinite(b[n]).any() for b in blocks.values())]
    for name in everywhere:
        if name != lead:
            d = paired_difference([b[lead] for b in blocks.values()], [b[name] for b in blocks.values()], rng)
            if np.isnan(d.mean):
                continue
            out["paired"].append({"against": name, "diff": d.mean, "lo": d.low, "hi": d.high, "p": d.p})
    contenders = [n for n in everywhere if not n.endswith(("best_member", "mean_member"))]
    values = np.array([[np.nanmean(b[n]) for n in contenders] for b in blocks.values()])
    ranking = friedman(values, contenders) if len(blocks) > 1 else None
    out["friedman"] = None if ranking is None else _ranking(ranking)
    return out


def _overall(values: list[Draws]) -> float | None:
    known = [float(np.nanmean(v)) for v in values if np.isfinite(v).any()]
    return float(np.mean(known)) if known else None


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


def _by_set(rows: list[Row], ensemble: str, fuser: str) -> dict[str, list[Draws]]:
    """AP by seed of every set in every block, for one ensemble and fuser."""
    found: dict[str, dict[Block, Draws]] = defaultdict(dict)
    for row in rows:
        if row["ensemble"] == ensemble and row["fuser"] == fuser:
            found[row["set"]].setdefault(block_of(row), row["values"][MAIN])
    return {name: [v for _, v in sorted(blocks.items(), key=lambda b: str(b[0]))] for name, blocks in found.items()}


def leave_one_out(rows: list[Row], outcome: Outcome) -> list[Row]:
    """What each detector adds to its whole ensemble: AP with it minus AP without it, with the paired interval."""
    out = []
    rng = np.random.default_rng(0)
    for ensemble, table in outcome.ensembles.items():
        ids = [d["id"] for d in table["detectors"]]
        if len(ids) < 2:
            continue
        for fuser in dict.fromkeys(r["fuser"] for r in rows if r["ensemble"] == ensemble):
            sets = _by_set(rows, ensemble, fuser)
            for ident in ids:
                without = "+".join(i for i in ids if i != ident)
                if "+".join(ids) in sets and without in sets:
                    d = paired_difference(sets["+".join(ids)], sets[without], rng)
                    if np.isnan(d.mean):
                        continue
                    out.append(
                        {"ensemble": ensemble, "fuser": fuser, "detector": ident}
                        | {"gain": d.mean, "lo": d.low, "hi": d.high, "p": d.p}
                    )
    return out


def contributions(rows: list[Row], outcome: Outcome) -> list[Row]:
    """Shapley values of mean AP over the blocks, where every subset was judged; chance is the value of no detector."""
    out = []
    for ensemble, table in outcome.ensembles.items():
        ids = [d["id"] for d in table["detectors"]]
        for fuser in dict.fromkeys(r["fuser"] for r in rows if r["ensemble"] == ensemble):
            sets = {name: _overall(v) for name, v in _by_set(rows, ensemble, fuser).items()}
            if len(sets) < 2 ** len(ids) - 1 or len(ids) < 2 or None in sets.values():
                continue
            priors = [mean_of(r, "prior") for r in rows if r["ensemble"] == ensemble and r["n_detectors"] == 1]

            def value(many: list[tuple[int, ...]], ids: list[str] = ids, sets: dict[str, float | None] = sets) -> Draws:
                return np.array([sets["+".join(ids[j] for j in s)] for s in many], dtype=np.float64)

            gains = shapley(len(ids), value, float(np.mean(priors)))
            out += [
                {"ensemble": ensemble, "fuser": fuser, "detector": i, "value": float(g)}
                for i, g in zip(ids, gains, strict=True)
            ]
    return out


def _gain(rows: list[Row]) -> float:
    return float(np.mean([mean_of(r) for r in rows]))


def front(rows: list[Row]) -> list[Row]:
    """Combinations that no cheaper one equals: mean AP over the blocks against mean seconds to fit and score."""
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[(row["ensemble"], row["set"], row["fuser"])].append(row)
    names = list(found)
    most = max((len({block_of(r) for r in many}) for many in found.values()), default=0)
    names = [n for n in names if len({block_of(r) for r in found[n]}) == most and np.isfinite(_gain(found[n]))]
    gain = np.array([_gain(found[n]) for n in names])
    cost = np.array(
        [np.mean([mean_of(r, "fit_seconds") + mean_of(r, "score_seconds") for r in found[n]]) for n in names]
    )
    order = sorted(np.flatnonzero(pareto(cost, gain)).tolist(), key=lambda i: float(cost[i]))
    return [
        {"ensemble": names[i][0], "set": names[i][1], "fuser": names[i][2]}
        | {"seconds": float(cost[i]), MAIN: float(gain[i])}
        for i in order
    ]
