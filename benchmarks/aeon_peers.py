"""aeon's detectors of anomalous records beside vibro's on the small pools of the suite ``pools``; scores come as files.

aeon pins libraries of its own, so it lives in an environment of its own: ``VIBRO_AEON`` names its Python.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import table, write

SETS = ("adi_motor", "cwru_0hp", "itsc_current", "mfpt")  # pools of tens of records: minutes, not hours
ENSEMBLE = "quick"
SEEDS = 2
HERE = Path(__file__).parent


def main() -> int:
    """Writes ``results/aeon``."""
    from vibro.api import without_use
    from vibro.benchmark.combos import FuserSpec, fuse_subsets
    from vibro.benchmark.datasets import load_set
    from vibro.benchmark.drawing import TrialKey, draw_rows
    from vibro.benchmark.metrics import average_precision
    from vibro.benchmark.run import pools_of
    from vibro.benchmark.suite import read_suite
    from vibro.benchmark.trial import fit_trial
    from vibro.context import Context
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost
    from vibro.runs.overrides import find_ensemble

    python, root = os.environ.get("VIBRO_AEON"), os.environ.get("VIBRO_TEST_DATA")
    if not python or not root:
        print("VIBRO_AEON: the Python of an environment with aeon; VIBRO_TEST_DATA: the folder of the recordings")
        return 2
    suite = read_suite(HERE / "suites" / "pools.toml")
    host = PluginHost.create()
    plan = make_plan(host, *find_ensemble(host.registry, ENSEMBLE))
    fuser = FuserSpec(plan.ensemble.fuser["use"], plan.fuser, without_use(plan.ensemble.fuser))
    drawn: list[tuple[str, Any, Any]] = []  # pool, truth (n,), score of vibro (n,)
    with tempfile.TemporaryDirectory() as folder:
        for entry in suite.sets:
            data = load_set(entry, Path(root)) if entry.name in SETS else None
            for pool in pools_of(suite, entry) if data else ():
                for seed in range(SEEDS):
                    key = TrialKey(entry.name, pool.name, ENSEMBLE, 0, seed)
                    rows = draw_rows(data, pool, suite, key, entry.light)
                    np.savez(Path(folder) / f"{len(drawn):03}.npz", x=rows.data.batch.x[rows.judged], seed=seed)
                    trial = fit_trial(host, plan, data, pool, suite, key, light=entry.light)
                    alive = tuple(j for j in range(len(trial.detectors)) if np.isfinite(trial.reference[:, j]).any())
                    ctx = Context(seed=seed, names=trial.detectors)
                    _, fused, _ = next(fuse_subsets(fuser, ctx, trial.z, trial.reference, [alive]))
                    drawn.append((f"{entry.name}/{pool.name}", trial.y, fused[0]))
        subprocess.run([python, str(HERE / "peers" / "aeon_scores.py"), folder], check=True)
        found: dict[str, dict[str, list[float]]] = {}
        failed: list[str] = []
        version = ""
        for i, (name, y, score) in enumerate(drawn):
            with np.load(Path(folder) / f"{i:03}.out.npz", allow_pickle=False) as file:
                version = str(file["version"])
                scores = {ENSEMBLE: score, **dict(zip(file["names"].tolist(), file["scores"], strict=True))}
                told = zip(file["names"].tolist(), file["errors"].tolist(), strict=True)
            failed += [f"{name}, {peer}: {error}" for peer, error in told if error]
            block = found.setdefault(name, {"prior": []} | {peer: [] for peer in scores})
            block["prior"].append(float((y == 1).mean()))
            for peer, values in scores.items():
                block[peer].append(average_precision(y, values))
    columns = list(next(iter(found.values())))
    rows = [[name, *(f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in block.values())] for name, block in found.items()]
    rows.append(["mean", *(f"{np.mean([np.mean(block[c]) for block in found.values()]):.3f}" for c in columns)])
    lines = [
        f"Average precision, {SEEDS} draws per pool, fitted and evaluated on the same rows; aeon {version}, default settings:",
        "ROCKAD, and scikit-learn's isolation forest on the samples behind OutlierDetectionAdapter, which gives no score but",
        "yes or no. Its answer is inverted, because it gives 0 to outliers. A detector that failed counts as chance.",
        "",
        *table(["pool", *columns], rows),
        *(f"- {text}" for text in failed),
    ]
    write("aeon", {"average_precision": found, "aeon": version, "failed": failed}, lines)
    return 0
