"""Each network in the size of ``default`` against a larger twin, on rows that the fit has not seen.

    python -m benchmarks.deep_sizes [NAME ...] [seeds=2] [protocol=motor]

The twins stand in ``deep_sizes.toml``; protocols are those of ``benchmarks.deep``. A row is written to
``benchmarks/results/deep_sizes`` as soon as it is measured; one measured again replaces the old one.
"""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, where, write
from benchmarks.deep import PROTOCOLS, Task, figures

HERE = Path(__file__).parent
MARGIN = 0.01  # AUC that a small network may lose against its twin without a word in its card


def planned(host: Any, name: str, settings: dict[str, Any]) -> Any:
    """A plan of the entry of ``default`` with other settings."""
    from vibro.core.planning import make_plan

    entry = next(dict(e) for e in host.registry.ensemble("default")["detectors"] if e.get("id", e["use"]) == name)
    return make_plan(host, name, {"detectors": [entry | settings], "fuser": {"use": "weighted_mean"}})


def measured(host: Any, name: str, settings: dict[str, Any], task: Task, seed: int) -> dict[str, Any]:
    """All settings, figures, seconds, parameters and health of one fit; or why it was skipped."""
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.errors import QuorumError
    from vibro.injection.fit import fit_ensemble

    engine, plan = Engine(host, Context(seed=seed, fs=task.batch.fs)), planned(host, name, settings)
    detector = plan.detectors[0]
    whole = {"settings": asdict(detector.params)}
    try:
        fitted, report, matrix = fit_ensemble(engine, plan, task.batch, make_rows(task.batch, task.fit))
    except QuorumError as error:
        return {**whole, "skipped": error.message}
    result = report.results[0]
    weights = [value for key, value in fitted.states[name].items() if key.startswith("net.")]
    return {
        **whole,
        **figures(task, matrix.z[task.judged, 0], fitted.reference["z"][:, 0]),
        "fit_seconds": result.fit_seconds,
        "score_seconds": result.score_seconds,
        "parameters": sum(value.size for value in weights),
        "health": dict(result.health),
    }


def report(rows: list[dict[str, Any]]) -> list[str]:
    """Small, large and their difference by detector and seed."""
    body, cards = [], []
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = {(row["size"], row["seed"]): row for row in rows if row["name"] == name}
        pairs = [(seed, mine["small", seed], mine["large", seed]) for size, seed in mine if size == "large"]
        body += [
            [name, seed, *_cells(small, large), " / ".join(dict.fromkeys((small["commit"], large["commit"])))]
            for seed, small, large in sorted(pairs, key=lambda pair: pair[0])
        ]
        gains = [
            large["roc_auc"] - small["roc_auc"]
            for _, small, large in pairs
            if "roc_auc" in small and "roc_auc" in large
        ]
        if gains and np.mean(gains) > MARGIN:
            cards.append(f"- {name}: by {np.mean(gains):.3f} (mean of {len(gains)} seeds)")
    heads = ["", "seed", "AUC small", "AUC large", "large - small"]
    heads += ["seconds small", "seconds large", "parameters small", "parameters large", "commit"]
    most = max((row.get("fit_seconds", 0.0) for row in rows), default=0.0)
    return [
        *table(heads, body),
        f"Seconds of one fit on one core; the longest took {most / 60:.1f} minutes. The larger twins: deep_sizes.toml.",
        "",
        f"Better by more than {MARGIN} when larger:" if cards else f"None is better by more than {MARGIN} when larger.",
        "",
        *cards,
        *(
            f"- {row['name']}, {row['size']}, seed {row['seed']} was skipped and not compared"
            for row in rows
            if "skipped" in row
        ),
    ]


def _cells(small: dict[str, Any], large: dict[str, Any]) -> list[str]:
    """The rest of a line of the table."""
    skipped = next((row["skipped"] for row in (small, large) if "skipped" in row), None)
    if skipped:
        return ["", "", skipped, "", "", "", ""]
    both = (small, large)
    auc = [f"{row['roc_auc']:.3f}" for row in both]
    difference = f"{large['roc_auc'] - small['roc_auc']:+.3f}"
    return [*auc, difference, *(f"{r['fit_seconds']:.1f}" for r in both), *(f"{r['parameters']:,}" for r in both)]


def main(words: list[str]) -> int:
    """Measures and writes row by row."""
    from vibro.host.manager import PluginHost

    twins = tomllib.loads((HERE / "deep_sizes.toml").read_text())
    options = dict(word.split("=", 1) for word in words if "=" in word)
    names = [word for word in words if "=" not in word] or list(twins)
    protocol = options.get("protocol", "motor")
    if not set(names) <= set(twins) or protocol not in PROTOCOLS:
        print(__doc__, file=sys.stderr)
        return 2
    file = RESULTS / "deep_sizes" / "deep_sizes.json"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    rows, data = kept.get("rows", []), kept.get("data", {})
    host = PluginHost.create(autoload=False)
    for seed in range(int(options.get("seeds", 2))):
        task = PROTOCOLS[protocol](seed)
        data[protocol] = sha256(task.batch.x.tobytes() + task.y.tobytes()).hexdigest()
        for name in names:
            for size, settings in (("small", {}), ("large", twins[name])):
                key = {"name": name, "size": size, "seed": seed, "protocol": protocol}
                row = {**key, "commit": where()["commit"], **measured(host, name, settings, task, seed)}
                rows = [r for r in rows if any(r[k] != key[k] for k in key)] + [row]
                write("deep_sizes", {"data": data, "rows": rows}, report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
