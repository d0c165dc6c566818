"""The five networks alone on unlabelled pools: with disturbed copies, untrained, and with their plain objective.

    python -m benchmarks.deep_pools [NAME ...] [seed=0] [pools=ecg5000/c10,plant/as_found]

A name is a network of the ensemble ``default``, which is measured as that has it, and plainly as its class has it; ``ensembles``
adds the ensembles ``quick`` and ``default``, ``student`` that optional member alone and beside those of ``quick``. Pools are
those of the suite ``pools``, at most 400 records each; data lie below the folder VIBRO_TEST_DATA. A pool is fitted and judged
in place, as a run does it, and suspicious rows are kept from the networks as in ``default``. A network that is left untrained
has the weights from which the trained one starts. Rows are kept in ``benchmarks/results/deep_pools``, with the epoch whose
weights the network has where it says so; one measured again replaces the old one.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, write

SUITE = Path(__file__).parent / "suites" / "pools.toml"
POOLS = (
    *("ecg5000/c10", "pronostia/c05", "pronostia/episode_c10", "skab/c10", "cwru_0hp/noisy_c10", "mfpt/noisy_c10"),
    *("plant/as_found", "itsc_current/c10", "adi_motor/light_c10"),
)
LARGE = 150  # records from which a pool counts in the means
NETWORKS = ("deep_svdd", "hetero_vae", "tadgan", "contrastive", "lstm_ae")
STUDENT = {"use": "student", "view": {"use": "conditioned", "of": {"use": "per_sensor", "of": "profile"}}}


def drawn(name: str, pool: str, seed: int, limit: int | None = None) -> Any:
    """The rows of one pool as the suite draws them, or of about ``limit`` records."""
    from vibro.benchmark.datasets import load_set
    from vibro.benchmark.drawing import TrialKey, draw_rows
    from vibro.benchmark.suite import read_suite

    suite = read_suite(SUITE)
    suite = suite if limit is None else replace(suite, limit=limit)
    entry = next(entry for entry in suite.sets if entry.name == name)
    data = load_set(entry, Path(os.environ["VIBRO_TEST_DATA"]), seed)
    entry_pool = next(p for p in suite.pools if p.name == pool)
    return draw_rows(data, entry_pool, suite, TrialKey(name, pool, "", 0, seed), entry.light)


def variants(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The network as ``default`` has it, untrained, and as its class has it: plain objective, own view and settings."""
    name = entry["use"]
    if name == "student":
        return {name: entry, "student untrained": {**entry, "steps": 0}}
    untrained = {**entry, "epochs": 0, **({"pretrain": 0} if name == "deep_svdd" else {})}
    return {f"{name} exposure": entry, f"{name} untrained": untrained, f"{name} plain": {"use": name}}


def measured(host: Any, names: list[str], name: str, pool: str, seed: int) -> list[dict[str, Any]]:
    """Average precision, seconds and state of every variant on one pool."""
    from vibro.benchmark.metrics import score_table
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.planning import make_plan
    from vibro.injection.disturbed import disturb_rows
    from vibro.injection.fit import fit_ensemble

    data, rows, judged = drawn(name, pool, seed)[:3]
    engine, y = Engine(host, Context(seed=seed, fs=data.batch.fs)), data.y[judged]
    about = {"pool": f"{name}/{pool}", "seed": seed, "records": len(rows.fit), "prior": float((y == 1).mean())}
    default = host.registry.ensemble("default")
    wanted = [dict(e) for e in (*default["detectors"], STUDENT) if e["use"] in names]
    suspects = default.get("suspects", [])
    first = [dict(e) for e in default["detectors"] if e.get("id", e["use"]) in suspects]
    shared = {"suspects": suspects} if suspects else {}
    copies = disturb_rows(data.batch, rows.by_id(data.batch).fit, engine.ctx.child("disturbed").seed)
    found = []
    for kind in zip_longest(*(variants(entry).items() for entry in wanted)):
        asked = dict(filter(None, kind))
        entries = [*first, *asked.values()]
        plan = make_plan(host, "networks", {"detectors": entries, "fuser": {"use": "weighted_mean"}, **shared})
        results = engine.fit_detectors(plan, data.batch, rows, copies=copies).results
        for ident, entry in asked.items():
            result = results[entry["use"]]
            row = {**about, "name": ident, "status": result.status, "reason": result.reason}
            row |= {"seconds": result.fit_seconds, "epoch": result.health.get("epoch")}
            if result.scores is not None:
                row["ap"] = float(score_table(y, result.scores[None, judged])["average_precision"][0])
            found.append(row)
    quick = host.registry.ensemble("quick")
    tables = {name: host.registry.ensemble(name) for name in ("quick", "default") if "ensembles" in names}
    if "student" in names:
        tables |= {"quick": quick, "quick and student": {**quick, "detectors": [*quick["detectors"], STUDENT]}}
    for ensemble, entry in tables.items():
        plan = make_plan(host, ensemble, entry)
        fitted, report, matrix = fit_ensemble(engine, plan, data.batch, rows)
        score = engine.decide(fitted, matrix, data.batch).score[judged]
        row = {**about, "name": ensemble, "status": "ok", "seconds": sum(r.fit_seconds for r in report.results)}
        found.append(row | {"ap": float(score_table(y, score[None])["average_precision"][0])})
    return found


def report(rows: list[dict[str, Any]]) -> list[str]:
    """One table: a pool a column, means over pools of 150 records or more last."""
    pools = sorted({row["pool"] for row in rows}, key=lambda pool: POOLS.index(pool) if pool in POOLS else len(POOLS))
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = {pool: [r for r in rows if r["name"] == name and r["pool"] == pool] for pool in pools}
        cells = [[r["ap"] for r in many if "ap" in r] for many in mine.values()]
        large = [np.mean(c) for c, many in zip(cells, mine.values(), strict=True) if c and many[0]["records"] >= LARGE]
        seconds = [r["seconds"] for many in mine.values() for r in many]
        shown = [f"{np.mean(c):.3f}" if c else "-" for c in cells]
        lines.append([name, *shown, f"{np.mean(large):.3f}" if large else "-", f"{max(seconds):.0f}"])
    out = table(["average precision", *pools, f"mean, {LARGE} records or more", "seconds at most"], lines)
    why = {
        f"{r['name']} on {r['pool']}: {r['reason']}"
        for r in rows
        if r["status"] != "ok" and "untrained" not in r["name"]
    }
    seeds = sorted({row["seed"] for row in rows})
    out += [f"Seeds {', '.join(map(str, seeds))}; {LARGE} records or more count in the mean. A dash: no scores.", ""]
    return out + [f"- {line}" for line in sorted(why)]


def main(words: list[str]) -> int:
    """Measures, keeps the rows and writes the table."""
    from vibro.host.manager import PluginHost

    options = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word] or list(NETWORKS)
    if not set(names) <= {*NETWORKS, "ensembles", "student"}:
        print(__doc__, file=sys.stderr)
        return 2
    file = RESULTS / "deep_pools" / "deep_pools.json"
    kept = json.loads(file.read_text())["rows"] if file.is_file() else []
    host, seed = PluginHost.create(autoload=False), int(options.get("seed", 0))
    for place in options["pools"].split(",") if "pools" in options else POOLS:
        new = measured(host, names, *place.split("/"), seed)
        for row in new:
            print(json.dumps(row, default=str), flush=True)
        done = {(row["pool"], row["seed"], row["name"]) for row in new}
        kept = [row for row in kept if (row["pool"], row["seed"], row["name"]) not in done] + new
        write("deep_pools", {"rows": kept}, report(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
