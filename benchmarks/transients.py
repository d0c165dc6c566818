"""Figures of transients and labels: clean plants with tap changes, what faults lose to them, what one label covers.

``python -m benchmarks.transients [PART[=DRAWS] ...]`` measures these parts (default: all) into ``results/transients/PART.json``
and writes ``results/transients/transients.md`` from all parts that are there. Parts: events, labels. Goals: at 4 % of instants
with a tap change at most 2 % alarms among normal records (aim 1.2 %), at least 80 % of the tap changes named (aim 95 %), and no
faults taken for one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, where

HERE = RESULTS / "transients"
DRAWS = 5
RECORDS = 4000
CLEAN = (0.0, 0.012, 0.04)  # shares of the instants with a tap change
FAULTY = (("transformer", 0.012), ("transformer", 0.04), ("transformer-field", 0.04))
FAULTS = 0.05
LABELLED = {"records": 2000, "faults": 0.1, "tap_changes": 0.012}


def main(words: list[str] | None = None) -> int:
    """Measures the parts that are named."""
    parts: dict[str, Callable[[int], dict[str, Any]]] = {"events": events, "labels": labels}
    chosen = dict(word.partition("=")[::2] for word in words or parts)
    unknown = set(chosen) - set(parts)
    if unknown:
        print(f"unknown part {', '.join(sorted(unknown))}; parts: {', '.join(parts)}", file=sys.stderr)
        return 2
    HERE.mkdir(parents=True, exist_ok=True)
    for name, draws in chosen.items():
        found = {"about": where(), **parts[name](int(draws or DRAWS))}
        (HERE / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    lines = ["# transients", ""]
    for name, make in (("events", of_events), ("labels", of_labels)):
        path = HERE / f"{name}.json"
        if path.is_file():
            found = json.loads(path.read_text())
            about = found["about"]
            lines += [
                f"{about['date']}, commit {about['commit']}, {about['cpu']}, load {about['load']}",
                "",
                *make(found),
            ]
    (HERE / "transients.md").write_text("\n".join(lines))
    print("\n".join(lines))
    return 0


def events(draws: int) -> dict[str, Any]:
    """Clean and faulty plants."""
    clean: list[dict[str, Any]] = []
    faulty: list[dict[str, Any]] = []
    for seed in range(draws):
        for share in CLEAN:
            settings = {"records": RECORDS, "faults": 0.0, "tap_changes": share}
            clean += [{"tap_changes": share, "seed": seed, **row} for row in judged(settings, seed)]
        for preset, share in FAULTY:
            settings = {"records": RECORDS, "faults": FAULTS, "preset": preset, "tap_changes": share}
            rows = judged(settings, seed)
            faulty += [{"preset": preset, "tap_changes": share, "seed": seed, **row} for row in rows]
    return {"draws": draws, "clean": clean, "faulty": faulty}


def labels(draws: int) -> dict[str, Any]:
    """What one label ``benign`` covers of the other raised records, were it given to each of them in turn."""
    from vibro.scoring.marks import BENIGN, Marks

    rows = []
    for seed in range(draws):
        sim, batch, fitted, matrix, verdict = run(LABELLED, seed)
        raised = np.flatnonzero((verdict.level == 1) | (verdict.level == 2))
        kind = np.where(sim.fault_type != "", sim.fault_type, sim.kind)[raised]
        look, ids = matrix.look.take(raised), batch.ids[raised]
        same, other = [], []
        for j in range(len(raised)):
            mark = Marks(ids[[j]], np.array([BENIGN], np.int8), look.take(np.array([j])), fitted.marks.near)
            covered = mark.harmless(ids, look)
            covered[j] = False
            alike = (look.group == look.group[j]) & (kind == kind[j])
            alike[j] = False
            if alike.any():
                same.append(float(covered[alike].mean()))
            other.append(int((covered & (kind != kind[j]) & (sim.label[raised] == 1)).sum()))
        faults = int((sim.label[raised] == 1).sum())
        rows.append({"seed": seed, "raised": len(raised), "faults": faults, "same": np.mean(same), "other": np.mean(other),
                     "most": max(other)})  # fmt: skip
    return {"draws": draws, "rows": rows}


def run(settings: dict[str, Any], seed: int) -> tuple[Any, ...]:
    """``quick`` fitted on all of a simulated plant and judged in place."""
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.core.planning import make_plan
    from vibro.host.manager import PluginHost
    from vibro.injection.fit import fit_ensemble
    from vibro.simulate import simulate, to_batch

    sim = simulate(seed=seed, **settings)
    batch = to_batch(sim)
    host = PluginHost.create(autoload=False)
    plan = make_plan(host, "quick", host.registry.ensemble("quick"))
    engine = Engine(host, Context(seed=seed, fs=batch.fs))
    fitted, _, matrix = fit_ensemble(engine, plan, batch, make_rows(batch), trial=False)
    return sim, batch, fitted, matrix, engine.decide(fitted, matrix, batch)


def judged(settings: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """``quick`` on a simulated plant: fitted on all of it and judged in place, and on its earlier half for the later one."""
    from vibro.context import Context
    from vibro.core.engine import Engine
    from vibro.core.folds import make_rows
    from vibro.host.manager import PluginHost
    from vibro.injection.fit import fit_ensemble

    sim, batch, whole, _, verdict = run(settings, seed)
    rows = [{"how": "in place", **counted(sim, np.arange(len(batch)), verdict)}]
    middle = np.sort(batch.time)[len(batch) // 2]
    past, later = np.flatnonzero(batch.time < middle), np.flatnonzero(batch.time >= middle)
    engine = Engine(PluginHost.create(autoload=False), Context(seed=seed, fs=batch.fs))
    fitted, _, _ = fit_ensemble(engine, whole.plan, batch.take(past), make_rows(batch.take(past)), trial=False)
    fresh = batch.take(later)
    verdict = engine.decide(fitted, engine.score(fitted, fresh), fresh)
    return [*rows, {"how": "later half", **counted(sim, later, verdict)}]


def counted(sim: Any, rows: np.ndarray, verdict: Any) -> dict[str, int]:
    """Records by truth and verdict."""
    from vibro.scoring.verdict import ALARM, INVALID, REASONS

    alarm, transient = verdict.level == ALARM, verdict.reason == REASONS.index("transient")
    fault, known = sim.label[rows] == 1, verdict.level != INVALID
    tap = (sim.kind[rows] == "benign") & known
    of = transient & fault
    return {
        "normal": int((~fault & known).sum()),
        "alarms": int((alarm & ~fault).sum()),
        "taps": int(tap.sum()),
        "tap_alarms": int((alarm & tap).sum()),
        "taps_named": int((transient & tap).sum()),
        "others_named": int((transient & ~fault & ~tap).sum()),
        "faults": int((fault & known).sum()),
        "fault_alarms": int((alarm & fault).sum()),
        "faults_named": int(of.sum()),
        "faults_named_at_a_tap_change": int((of & sim.oltc[rows]).sum()),
    }


def of_labels(found: dict[str, Any]) -> list[str]:
    """One row a plant."""
    cells = [
        [r["seed"], r["raised"], r["faults"], f"{r['same']:.0%}", f"{r['other']:.2f}", r["most"]] for r in found["rows"]
    ]
    head = ["plant", "raised records", "faults among them", "others of its kind and sensor that one label covers"]
    lines = ["## One label `benign`, given to each raised record in turn", ""]
    lines += [f"Ensemble `quick`, {LABELLED['records']} records a plant, {LABELLED['faults']:.0%} faults.", ""]
    return lines + table([*head, "faults of another kind that it covers, mean", "most"], cells)


def of_events(found: dict[str, Any]) -> list[str]:
    """Two tables, each figure over the draws together and of the worst one."""
    clean, faulty, draws = found["clean"], found["faulty"], found["draws"]
    lines = [
        f"Ensemble `quick`, {RECORDS} records a plant, {draws} plants a row, budget 1 %.",
        "",
        "## Clean plants",
        "",
    ]
    cells = []
    for share, how in dict.fromkeys((r["tap_changes"], r["how"]) for r in clean):
        mine = [r for r in clean if (r["tap_changes"], r["how"]) == (share, how)]
        named = rate(mine, "taps_named", "taps") if share else "-"
        cells.append([f"{share:.1%}", how, rate(mine, "alarms", "normal"), named, sum(r["others_named"] for r in mine)])
    head = [
        "instants with a tap change",
        "judged",
        "alarms among normal records (worst draw)",
        "tap changes named (worst draw)",
    ]
    lines += table([*head, "other records named"], cells)
    lines += [f"## Plants with {FAULTS:.0%} faults", ""]
    cells = []
    for preset, share, how in dict.fromkeys((r["preset"], r["tap_changes"], r["how"]) for r in faulty):
        mine = [r for r in faulty if (r["preset"], r["tap_changes"], r["how"]) == (preset, share, how)]
        eaten = [sum(r[name] for r in mine) for name in ("faults_named", "faults_named_at_a_tap_change")]
        faults, caught = sum(r["faults"] for r in mine), rate(mine, "fault_alarms", "faults")
        cells.append([preset, f"{share:.1%}", how, faults, caught, *eaten, rate(mine, "taps_named", "taps")])
    head = ["preset", "instants with a tap change", "judged", "faults", "faults in alarm (worst draw)"]
    head += ["faults named transient", "of them at a tap change", "tap changes named (worst draw)"]
    return lines + table(head, cells)


def rate(rows: list[dict[str, Any]], part: str, whole: str) -> str:
    """Share over all rows, and in brackets that of the draw in which it is farthest from what is wished."""
    each = [r[part] / max(1, r[whole]) for r in rows]
    worst = max(each) if part == "alarms" else min(each)
    return f"{sum(r[part] for r in rows) / max(1, sum(r[whole] for r in rows)):.2%} ({worst:.2%})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or None))
