"""aeon's detector of anomalous records beside ``default`` on the pools of the suite ``pools``; scores come as files.

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
SEEDS = 3
HERE = Path(__file__).parent


def main() -> int:
    """Writes ``results/aeon_peers``."""
    from vibro.benchmark.combos import FuserSpec, fuse_subsets
    from vibro.benchmark.datasets import load_set
    from vibro.benchmark.metrics import average_precision
    from vibro.benchmark.run import pools_of
    from vibro.benchmark.suite import read_suite
    from vibro.benchmark.trial import TrialKey, draw_rows, fit_trial
    from vibro.context import Context
    from vibro.host import PluginHost
    from vibro.overrides import find_ensemble
    from vibro.plan import make_plan, without_use

    python, root = os.environ.get("VIBRO_AEON"), os.environ.get("VIBRO_TEST_DATA")
    if not python or not root:
        print("VIBRO_AEON: the Python of an environment with aeon; VIBRO_TEST_DATA: the folder of the recordings")
        return 2
    suite = read_suite(HERE / "suites" / "pools.toml")
    host = PluginHost.create()
    plan = make_plan(host, *find_ensemble(host.registry, "default"))
    fuser = FuserSpec(plan.ensemble.fuser["use"], plan.fuser, without_use(plan.ensemble.fuser))
    found: dict[str, dict[str, list[float]]] = {}
    version = ""
    for entry in suite.sets:
        if entry.name not in SETS:
            continue
        data = load_set(entry, Path(root))
        for pool in pools_of(suite, entry):
            block = found.setdefault(f"{entry.name}/{pool.name}", {"default": [], "rockad": []})
            for seed in range(SEEDS):
                key = TrialKey(entry.name, pool.name, "default", 0, seed)
                drawn = draw_rows(data, pool, suite, key, entry.light)
                score, version = _rockad(python, drawn.data.batch.x[drawn.judged], seed)
                y = drawn.data.y[drawn.judged]
                block["rockad"].append(average_precision(y, score))
                trial = fit_trial(host, plan, data, pool, suite, key, light=entry.light)
                alive = tuple(j for j in range(len(trial.detectors)) if np.isfinite(trial.reference[:, j]).any())
                ctx = Context(seed=seed, names=trial.detectors)
                _, fused, _ = next(fuse_subsets(fuser, ctx, trial.z, trial.reference, [alive]))
                block["default"].append(average_precision(trial.y, fused[0]))
    rows = [[name, *(f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in block.values())] for name, block in found.items()]
    means = [float(np.mean([np.mean(block[k]) for block in found.values()])) for k in ("default", "rockad")]
    rows.append(["mean", *(f"{m:.3f}" for m in means)])
    lines = [
        f"Average precision, {SEEDS} draws a pool, fitted and judged in place; ROCKAD of aeon {version}, default settings.",
        "",
        *table(["pool", "default", "ROCKAD"], rows),
    ]
    write("aeon_peers", {"average_precision": found, "aeon": version}, lines)
    return 0


def _rockad(python: str, x: Any, seed: int) -> tuple[Any, str]:
    """Scores (n,) by the other interpreter, and the version of aeon."""
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, x=np.asarray(x), seed=seed)
        subprocess.run([python, str(HERE / "peers" / "rockad.py"), str(given), str(taken)], check=True)
        with np.load(taken, allow_pickle=False) as file:
            return file["score"], str(file["version"])
