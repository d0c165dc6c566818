"""Cuts and fusers by themselves: known tails, a million records, deciding anew, false discoveries, fusers beside each other.

``python -m benchmarks.cuts [PART[=TIMES] ...]`` measures these parts (default: all) into ``results/cuts/PART.json``
and writes ``results/cuts/cuts.md`` from all parts that are there. Parts: tails, speed, threshold, discoveries,
fusers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, VIBRO, measure, table, where

HERE = RESULTS / "cuts"
BUDGETS = (0.01, 0.05)
RATES = (0.05, 0.1, 0.2)  # of false discoveries
THRESHOLDERS = ("auto", "quantile", "pot", "conformal", "mad", "spot", "mixture")
FUSERS = (  # all but stack, which needs labels
    "auto",
    "weighted_mean",
    "median",
    "trimmed_mean",
    "max",
    "aom",
    "agreement",
    "spectral",
    "stouffer",
    "cauchy",
)
SETS = {
    "motor rig": {"path": "adi_motor/adi_motor.npz", "window": 4096, "machine": "(adi-motor)"},
    "run to failure": {"path": "pronostia/pronostia.npz", "machine": "(.*)-[hv]$"},
    "heart beats": {"path": "ecg5000/ecg5000.npz", "fs": 125.0},
    "simulator": {"simulate": {"records": 2000, "faults": 0.15}},
}
LEAST = 5  # anomalies in a pool
LIMIT = 2000  # records in a pool


def main(words: list[str] | None = None) -> int:
    """Measures the parts that are named."""
    parts: dict[str, Callable[[int], Iterator[list[dict[str, Any]]]]] = {
        "tails": tails,
        "speed": speed,
        "threshold": threshold,
        "discoveries": discoveries,
        "fusers": fusers,
    }
    default = {"tails": 200, "speed": 1, "threshold": 3, "discoveries": 10, "fusers": 6}
    chosen = dict(word.partition("=")[::2] for word in words or parts)
    unknown = set(chosen) - set(parts)
    if unknown:
        print(f"unknown part {', '.join(sorted(unknown))}; parts: {', '.join(parts)}", file=sys.stderr)
        return 2
    HERE.mkdir(parents=True, exist_ok=True)
    for name, count in chosen.items():
        about, rows = where(), []
        for done, more in enumerate(
            parts[name](int(count or default[name])), 1
        ):  # what is done stands, if it is stopped
            rows += more
            found = {"about": about, "times": done, "rows": rows}
            (HERE / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = report()
    (HERE / "cuts.md").write_text("\n".join(["# cuts", "", *lines, ""]))
    print("\n".join(lines))
    return 0


# --- known tails ------------------------------------------------------------------------------------------------------


def tails(draws: int) -> Iterator[list[dict[str, Any]]]:
    """Relative error of ``pot`` at known quantiles, n = 2,000."""
    from vibro.context import Context
    from vibro_plugins.thresholders import pot

    shapes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "exponential": lambda u: -np.log(u),
        "Pareto, shape 0.25": lambda u: u**-0.25,
        "Pareto, shape 0.5": lambda u: u**-0.5,
        "uniform": lambda u: 1 - u,
    }
    rows = []
    for name, at in shapes.items():
        rng = np.random.default_rng(0)
        thresholder = pot.Pot.make({}, Context())
        samples = [at(rng.uniform(size=2000)) for _ in range(draws)]
        for budget in (0.01, 0.001):
            error = np.array([thresholder.cut(s, budget) for s in samples]) / at(np.array(budget)) - 1
            bias, middle = float(error.mean()), float(np.median(np.abs(error)))
            rows.append({"tail": name, "budget": budget, "bias": bias, "median_absolute_error": middle, "draws": draws})
    yield rows


# --- a million records ------------------------------------------------------------------------------------------------

MILLION = """
import json, time
import numpy as np
from vibro.context import Context
from vibro.scoring.verdict import Cuts, ScoreMatrix, decide
from vibro_plugins.fusers.auto import Auto
from vibro_plugins.thresholders.quantile import Quantile
rng = np.random.default_rng(0)
n, d = 1_000_000, 12
reference = rng.gamma(2.0, size=(30_000, d)) - 1.7
z = rng.standard_gamma(2.0, size=(n, d)); z -= 1.7
names = tuple(f"m{j}" for j in range(d))
matrix = ScoreMatrix(names, np.zeros(n, "U1"), z, z)
fuser = Auto.make({}, Context(names=names)); fuser.fit(reference)
clock, cpu = time.perf_counter(), time.process_time()
fused = fuser.fuse(matrix.z)
base = fuser.fuse(reference)
cut = Quantile.make({}, Context()).cut
cuts = Cuts(cut(base, 0.05), cut(base, 0.01), np.array([cut(c, 0.01) for c in reference.T]))
verdict = decide(matrix, fused, fuser.weights(), cuts, base, np.ones(n, bool), 0.5)
wall, cpu = time.perf_counter() - clock, time.process_time() - cpu
print(json.dumps({"wall": wall, "cpu": cpu, "alarms": int((verdict.level == 2).sum())}))
"""


def speed(times: int) -> Iterator[list[dict[str, Any]]]:
    """Fusing and cutting 1,000,000 records x 12 detectors in a process of its own, its data included in the memory."""
    for _ in range(times):
        done = measure([sys.executable, "-c", MILLION], threads=1)
        if done.code:
            raise RuntimeError(done.output)
        yield [{**json.loads(done.output.splitlines()[-1]), "peak_mb": done.peak_mb}]


# --- deciding anew ----------------------------------------------------------------------------------------------------


def threshold(times: int) -> Iterator[list[dict[str, Any]]]:
    """Seconds of ``vibro threshold`` on a run of 2,000 records, start of Python, tables and report included; and without."""
    from vibro.host.manager import PluginHost
    from vibro.runs.threshold import rethreshold

    host = PluginHost.create(autoload=False)
    with TemporaryDirectory() as folder:
        data, run = f"{folder}/data", f"{folder}/run"
        short = ["--ensemble", "quick", "--detectors", "mahalanobis", "--quiet"]
        for words in (
            ["data", "simulate", "-o", data, "--records", "2000", "--format", "npz"],
            ["ensemble", "run", f"{data}/data.npz", "-o", run, "--covariates", f"{data}/covariates.csv", *short],
        ):
            done = measure([*VIBRO, *words], threads=1)
            if done.code:
                raise RuntimeError(done.output)
        for _ in range(times):
            rows = []
            for method in THRESHOLDERS:
                for mode, more in (("rewritten", []), ("dry run", ["--dry-run"])):
                    done = measure([*VIBRO, "threshold", run, "--method", method, "--budget", "0.02", *more], threads=1)
                    if done.code:
                        raise RuntimeError(done.output)
                    rows.append({"method": method, "mode": mode, "wall": done.seconds, "cpu": done.cpu_seconds})
                wall, cpu = perf_counter(), process_time()
                rethreshold(host, Path(run), method=method, budget=0.02, dry_run=True)
                alone = {"wall": perf_counter() - wall, "cpu": process_time() - cpu}
                rows.append({"method": method, "mode": "decision alone", **alone})
            yield rows


# --- false discoveries ------------------------------------------------------------------------------------------------


def discoveries(seeds: int) -> Iterator[list[dict[str, Any]]]:
    """Rate of false discoveries of ``conformal`` with ``control = "discoveries"`` on fresh records with 5 % faults.

    ``benign`` is the share of far-out scores that the plant is said to have by itself: tap changes, hours without load.
    """
    for seed in range(seeds):
        rows = []
        for name, faults in (("clean", 0.0), ("5 % faults", 0.05)):
            fit = half_plant(seed, faults)
            scored, _, suppressed, valid = fit.fresh["faulty"]
            for benign in (0.04, 0.0):
                settings = {"control": "discoveries", "benign": benign}
                conformal = fit.host.component("thresholder", "conformal").make(settings, fit.ctx)
                for rate in RATES:
                    over = (scored > conformal.cut(fit.reference, rate)) & ~suppressed & valid
                    false, found = int((over & (fit.y == 0)).sum()), int(over.sum())
                    case = {"fitted_on": name, "seed": seed, "benign": benign, "rate": rate, "alarms": found}
                    rows.append({**case, "faults": int((fit.y == 1).sum()), "false": false / max(found, 1)})
        yield rows


@dataclass(frozen=True)
class HalfPlant:
    """``quick`` fitted on the earlier half of 4,000 simulated records, and its scores of later ones.

    ``fresh``: of the later half, ``clean`` and ``faulty``, whose labels are ``y``: fused scores, which of them are in
    operating states beyond the fitted ones, which of those may raise no alarm, and which records can be trusted.
    """

    host: Any
    ctx: Any
    reference: np.ndarray
    fresh: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    y: np.ndarray


@cache
def half_plant(seed: int, faults: float) -> HalfPlant:
    """Fits and scores; the same for whoever asks again."""
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost
    from vibro.injection.fit import fit_ensemble

    host = PluginHost.create(autoload=False)
    plan = make_plan(host, "quick", host.registry.ensemble("quick"))
    past, faulty = plant_halves(seed, faults)[0], plant_halves(seed, 0.05)[1]
    engine = Engine(host, Context(seed=seed, fs=past.batch.fs))
    fitted, _, _ = fit_ensemble(engine, plan, past.batch, make_rows(past.batch), trial=False)
    fresh = {}
    for name, batch in (("clean", plant_halves(seed, 0.0)[1].batch), ("faulty", faulty.batch)):
        verdict = engine.decide(fitted, engine.score(fitted, batch), batch)
        fresh[name] = verdict.score, verdict.unseen, verdict.alarm_suppressed, batch.valid
    return HalfPlant(host, engine.ctx, fitted.reference["fused"], fresh, faulty.y)


def plant_halves(seed: int, faults: float) -> tuple[Any, Any]:
    """The earlier and the later half of 4,000 simulated records."""
    from vibro.benchmark.datasets import SetEntry, load_set

    data = load_set(SetEntry("plant", simulate={"records": 4000, "faults": faults}), None, seed)
    middle = np.sort(data.batch.time)[len(data.batch) // 2]
    past, fresh = (data.take(np.flatnonzero(rows)) for rows in (data.batch.time < middle, data.batch.time >= middle))
    return past, fresh


# --- fusers -----------------------------------------------------------------------------------------------------------


def fusers(draws: int) -> Iterator[list[dict[str, Any]]]:
    """Average precision of every fuser on unlabelled pools, fitted and evaluated on the same rows, also with planted members."""
    from vibro.benchmark.datasets import SetEntry, load_set
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost
    from vibro.injection.fit import fit_ensemble

    host = PluginHost.create(autoload=False)
    plan = make_plan(host, "quick", host.registry.ensemble("quick"))
    given = os.environ.get("VIBRO_TEST_DATA", "")
    folder = Path(given) if given else None
    sets = {name: SetEntry(name, covariates=False, **settings) for name, settings in SETS.items()}
    for name, entry in sets.items():
        if entry.path and folder is None:
            print(f"{name}: left out, VIBRO_TEST_DATA names no folder", file=sys.stderr)
    for draw in range(draws):
        rows = []
        for name, entry in sets.items():
            if entry.path and folder is None:
                continue
            data = load_set(entry, folder, draw)
            for share in (0.05, 0.1):
                pool = data.take(pool_rows(data.y, share, draw))
                engine = Engine(host, Context(seed=draw, fs=pool.batch.fs))
                fitted, _, matrix = fit_ensemble(engine, plan, pool.batch, make_rows(pool.batch))
                case = {"set": name, "contamination": share, "draw": draw, "anomalies": int((pool.y == 1).sum())}
                rows += judge(host, case, pool.y, matrix.detectors, fitted.reference["z"], matrix.z, matrix.raw)
        yield rows


def pool_rows(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Normal rows and this share of anomalies, at least LEAST, at most LIMIT rows in all."""
    rng = np.random.default_rng([seed, round(1000 * share)])
    normal = rng.permutation(np.flatnonzero(y == 0))[: round(LIMIT * (1 - share))]
    wished = max(LEAST, round(share / (1 - share) * len(normal)))
    return np.sort(np.concatenate([normal, rng.permutation(np.flatnonzero(y == 1))[:wished]]))


def judge(
    host: Any,
    case: dict[str, Any],
    y: np.ndarray,
    names: tuple[str, ...],
    ref: np.ndarray,
    z: np.ndarray,
    raw: np.ndarray,
) -> list[dict[str, Any]]:
    """Average precision of members, baselines and fusers; ``planted`` adds an inverted and a dead member."""
    from vibro.benchmark.baselines import rank_consensus, z_mean

    rows = []

    def add(what: str, score: np.ndarray, kind: str) -> None:
        rows.append({**case, "what": what, "kind": kind, "average_precision": average_precision(y, score)})

    for j, name in enumerate(names):
        add(name, z[:, j], "member")
    add("rank mean", rank_consensus(raw), "baseline")
    add("plain z mean", z_mean(raw), "baseline")
    bad = np.random.default_rng(0).normal(size=len(ref)), np.random.default_rng(1).normal(size=len(z))
    ref_bad = np.column_stack([ref, -ref[:, 0] + 0.3 * bad[0], np.zeros(len(ref))])
    z_bad = np.column_stack([z, -z[:, 0] + 0.3 * bad[1], np.zeros(len(z))])
    for kind, fit, score, ids in (
        ("fuser", ref, z, names),
        ("planted", ref_bad, z_bad, (*names, "inverted", "dead")),
    ):
        for name in FUSERS:
            add(name, fused(host, name, ids, fit, score), kind)
    return rows


def fused(host: Any, name: str, ids: tuple[str, ...], reference: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Scores of one fuser fitted on the reference."""
    from vibro.context import Context

    fuser = host.component("fuser", name).make({}, Context(names=ids))
    fuser.fit(reference)
    return np.asarray(fuser.fuse(z))


def average_precision(y: np.ndarray, score: np.ndarray) -> float:
    """With ties; rows without a score come last."""
    from vibro.benchmark.metrics import score_table

    known = np.where(np.isfinite(score), score, np.nanmin(score) - 1.0)
    return float(score_table((y == 1).astype(np.int16), known[None, :])["average_precision"][0])


# --- report -----------------------------------------------------------------------------------------------------------


def report() -> list[str]:
    """Markdown of all parts that have been measured."""
    lines: list[str] = []
    parts = {
        "tails": of_tails,
        "speed": of_speed,
        "threshold": of_threshold,
        "discoveries": of_discoveries,
        "fusers": of_fusers,
    }
    for name, make in parts.items():
        path = HERE / f"{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text())
        about = found["about"]
        title, body = make(found["rows"], found["times"])
        stamp = f"{about['date']}, commit {about['commit']}, {about['cpu']}, load {about['load']}"
        lines += [f"## {title}", "", stamp, "", *body]
    return lines


def of_tails(rows: list[dict[str, Any]], times: int) -> tuple[str, list[str]]:
    """The table of known tails."""
    cells = [[r["tail"], f"{r['budget']:.1%}", f"{r['bias']:+.1%}", f"{r['median_absolute_error']:.1%}"] for r in rows]
    title = f"`pot` at known quantiles ({rows[0]['draws']} draws of 2,000; goals: bias 5 %, error 8 % at 1 %, 15 % at 0.1 %)"
    return title, table(["tail", "budget", "bias", "median absolute error"], cells)


def of_speed(rows: list[dict[str, Any]], times: int) -> tuple[str, list[str]]:
    """The figures of a million records."""
    cells = [[f"{r['wall']:.2f}", f"{r['cpu']:.2f}", f"{r['peak_mb']:.0f}"] for r in rows]
    return "Fusing and cutting 1,000,000 x 12 (goals: 5 s, 1,000 MB)", table(["wall s", "cpu s", "peak MB"], cells)


def of_threshold(rows: list[dict[str, Any]], times: int) -> tuple[str, list[str]]:
    """The quickest of the repetitions, which is least disturbed by other programs."""
    cells = []
    for method in THRESHOLDERS:
        cell = [method]
        for mode in ("rewritten", "dry run", "decision alone"):
            mine = [r for r in rows if (r["method"], r["mode"]) == (method, mode)]
            cell += [f"{min(r['wall'] for r in mine):.2f}", f"{min(r['cpu'] for r in mine):.2f}"]
        cells.append(cell)
    head = ["thresholder", "wall s", "cpu s", "wall s, --dry-run", "cpu s, --dry-run"]
    head += ["wall s, decision alone", "cpu s, decision alone"]
    return f"`vibro threshold` on 2,000 records, best of {times} (goal: 1 s)", table(head, cells)


def of_discoveries(rows: list[dict[str, Any]], times: int) -> tuple[str, list[str]]:
    """Mean share of false ones among the alarms, and how many alarms and faults there were."""
    cells = []
    for case in dict.fromkeys((r["fitted_on"], r["benign"], r["rate"]) for r in rows):
        mine = [r for r in rows if (r["fitted_on"], r["benign"], r["rate"]) == case]
        false, alarms, faults = (np.mean([r[name] for r in mine]) for name in ("false", "alarms", "faults"))
        cells.append([case[0], f"{case[1]:.0%}", f"{case[2]:.0%}", f"{false:.1%}", f"{alarms:.0f}", f"{faults:.0f}"])
    head = ["fitted on", "benign", "stated", "realised", "alarms", "faults"]
    title = f"False discoveries of `conformal` on fresh records ({times} plants with 5 % faults; goal: at most the stated rate)"
    return title, table(head, cells)


def of_fusers(rows: list[dict[str, Any]], times: int) -> tuple[str, list[str]]:
    """Mean average precision by set and pool, and over all pools."""
    pools = list(dict.fromkeys((r["set"], r["contamination"]) for r in rows))

    def mean(
        pool: tuple[str, float], keep: Callable[[dict[str, Any]], bool], statistic: Callable[[list[float]], float]
    ) -> float:
        values: dict[int, list[float]] = {}
        for r in rows:
            if (r["set"], r["contamination"]) == pool and keep(r):
                values.setdefault(r["draw"], []).append(r["average_precision"])
        return float(np.mean([statistic(v) for v in values.values()]))

    lines: list[list[Any]] = []

    def line(
        name: str, keep: Callable[[dict[str, Any]], bool], statistic: Callable[[list[float]], float] = max
    ) -> None:
        cells = [mean(pool, keep, statistic) for pool in pools]
        lines.append([name, *(f"{c:.3f}" for c in cells), f"{np.mean(cells):.3f}"])

    line("mean member", lambda r: r["kind"] == "member", lambda v: float(np.mean(v)))
    line("best member (oracle)", lambda r: r["kind"] == "member")
    for kind, suffix in (("baseline", ""), ("fuser", ""), ("planted", ", inverted and dead member planted")):
        for what in dict.fromkeys(r["what"] for r in rows if r["kind"] == kind):
            line(f"{what}{suffix}", lambda r, k=kind, w=what: (r["kind"], r["what"]) == (k, w))
    head = ["average precision", *(f"{name} {share:.0%}" for name, share in pools), "mean"]
    return f"Fusers over the members of `quick` ({times} draws per pool)", table(head, lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or None))
