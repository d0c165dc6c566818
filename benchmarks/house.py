"""Figures of the house: the demo, the floors on simulated plants, start-up, threads, equal bytes."""

from __future__ import annotations

import statistics
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import VIBRO, measure, sources, table, write

SEEDS = (0, 1, 2)
FLOORS = {  # (ROC AUC, average precision)
    ("mahalanobis", False): (0.86, 0.33),
    ("knn", False): (0.86, 0.33),
    ("quick", False): (0.87, 0.35),
    ("mahalanobis", True): (0.95, 0.50),
    ("knn", True): (0.95, 0.50),
    ("quick", True): (0.95, 0.55),
}


def main() -> int:
    """Measures, writes ``results/house`` and says which figure was missed."""
    before = sources()
    found: dict[str, Any] = {"start": start_up(), "demo": demos(), "floors": floors()}
    lines, missed = report(found)
    if sources() != before:
        missed.append("the sources changed while this was measured: measure again")
        lines += ["- the sources changed while this was measured: measure again"]
    write("house", {**found, "missed": missed}, lines)
    return 1 if missed else 0


def start_up() -> dict[str, Any]:
    """Seconds of ``vibro --help`` and ``vibro ensemble --help``; whether they import heavy libraries."""
    out: dict[str, Any] = {}
    for words in (("--help",), ("ensemble", "--help")):
        runs = [measure([*VIBRO, *words], threads=1) for _ in range(9)]
        out[" ".join(words)] = {
            "median": statistics.median(r.seconds for r in runs),
            "least": min(r.seconds for r in runs),
            "cpu_seconds": statistics.median(r.cpu_seconds for r in runs),
        }
    code = "import sys; from vibro.cli import run; run(['--help']); print(sorted({'torch','pyod','sklearn'} & set(sys.modules)))"
    out["imports"] = measure([sys.executable, "-c", code], threads=1).output.strip().splitlines()[-1]
    return out


def demos() -> list[dict[str, Any]]:
    """``vibro demo --ensemble quick``: as it is, twice, and with inner pools told to use one and two threads."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for name, threads in (("as it is", None), ("again", None), ("one thread", 1), ("two threads", 2)):
            target = Path(folder) / name.replace(" ", "-")
            m = measure([*VIBRO, "demo", "--ensemble", "quick", "-o", str(target)], threads)
            scores = target / "scores.csv"
            out.append(
                {
                    "run": name,
                    "seconds": m.seconds,
                    "cpu_seconds": m.cpu_seconds,
                    "peak_mb": m.peak_mb,
                    "code": m.code,
                    "scores": sha256(scores.read_bytes()).hexdigest()[:16] if scores.is_file() else "",
                    "tail": "" if m.code == 0 else m.output[-400:],
                }
            )
    return out


def floors() -> list[dict[str, Any]]:
    """ROC AUC and average precision of members and of the fused verdict on simulated plants, fitted without labels."""
    from vibro.benchmark.baselines import trivial_scores
    from vibro.benchmark.datasets import SetEntry, load_set
    from vibro.benchmark.metrics import score_table
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost
    from vibro.injection.fit import fit_ensemble

    host = PluginHost.create(autoload=False)
    plan = make_plan(host, "quick", host.registry.ensemble("quick"))
    out = []
    for given in (False, True):
        for seed in SEEDS:
            data = load_set(SetEntry("plant", simulate={"records": 2000}, covariates=given), None, seed)
            engine = Engine(host, Context(seed=seed, fs=data.batch.fs))
            fitted, _, matrix = fit_ensemble(engine, plan, data.batch, make_rows(data.batch))
            verdict = engine.decide(fitted, matrix, data.batch)
            names = [*matrix.detectors, "quick"]
            columns = [*matrix.z.T, verdict.score]
            if not given:
                for name, score in trivial_scores(data.batch, seed).items():
                    names.append(name)
                    columns.append(score)
            figures = score_table(data.y, np.array(columns))
            for j, name in enumerate(names):
                out.append(
                    {
                        "name": name,
                        "covariates": given,
                        "seed": seed,
                        "roc_auc": float(figures["roc_auc"][j]),
                        "average_precision": float(figures["average_precision"][j]),
                        "prior": float((data.y == 1).mean()),
                    }
                )
    return out


def report(found: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Markdown, and the figures that were missed."""
    missed = []
    lines = ["## `vibro demo --ensemble quick` (2,000 records; goal 60 s, 1 GB)", ""]
    rows = [(d["run"], d["seconds"], d["cpu_seconds"], d["peak_mb"], d["code"], d["scores"]) for d in found["demo"]]
    lines += table(("run", "seconds", "processor seconds", "peak MB", "exit", "sha256 of scores.csv"), rows)
    first, again = found["demo"][:2]
    if first["code"] or first["seconds"] > 60 or first["peak_mb"] > 1024:
        missed.append(f"demo: {first['seconds']:.1f} s, {first['peak_mb']:.0f} MB, exit {first['code']}")
    if first["scores"] != again["scores"]:
        missed.append("two runs with one seed differ in scores.csv")
    lines += ["## Start-up (goal 0.3 s)", ""]
    times = {name: v for name, v in found["start"].items() if name != "imports"}
    lines += table(
        ("command", "median s", "least s"), [(f"vibro {n}", v["median"], v["least"]) for n, v in times.items()]
    )
    lines += [f"Heavy libraries imported by `--help`: {found['start']['imports']}", ""]
    if times["--help"]["median"] > 0.3 or found["start"]["imports"] != "[]":
        missed.append(f"vibro --help: {times['--help']['median']:.2f} s, imports {found['start']['imports']}")
    lines += ["## Floors on simulated plants (fitted without labels, evaluated on the same rows)", ""]
    rows = []
    for (name, given), many in _grouped(found["floors"]).items():
        means = [float(np.mean([m[key] for m in many])) for key in ("roc_auc", "average_precision")]
        goal = FLOORS.get((name, given))
        spread = ", ".join(f"{m['roc_auc']:.3f}/{m['average_precision']:.3f}" for m in many)
        wished = f"{goal[0]:.2f}/{goal[1]:.2f}" if goal else ""
        rows.append((name, "with" if given else "without", f"{means[0]:.3f}", f"{means[1]:.3f}", wished, spread))
        if goal and (means[0] < goal[0] or means[1] < goal[1]):
            missed.append(f"{name} {'with' if given else 'without'} covariates: {means[0]:.3f}/{means[1]:.3f}")
    lines += table(("", "covariates", "ROC AUC", "AP", "floor", "by seed"), rows)
    lines += ["Missed:" if missed else "Nothing missed.", "", *(f"- {text}" for text in missed)]
    return lines, missed


def _grouped(rows: list[dict[str, Any]]) -> dict[tuple[str, bool], list[dict[str, Any]]]:
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["name"], row["covariates"]), []).append(row)
    return found


if __name__ == "__main__":
    sys.exit(main())
