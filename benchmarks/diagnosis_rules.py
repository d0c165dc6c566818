"""What the rules of a diagnosis name right, without one label: bearings of public rigs, alarms of simulated transformers.

``python -m benchmarks.diagnosis_rules [PART ...]`` measures these parts (default: all) into
``results/diagnosis_rules/PART.json`` and writes ``results/diagnosis_rules/diagnosis_rules.md`` from all parts that are there.
Parts: mfpt, cwru_0hp, simulator. Bearings are judged record by record from speed and geometry alone, with no baseline;
labels only count what is right. Goals: mfpt at least 92 %; inner and outer race of cwru_0hp at least 60 %; a wrong kind in at
most 5 % of the faulty records; at most 2 of the 99 normal ones named; simulated core, winding, tap changer and sensor faults
at least 80 % of the records in alarm with severity from .5.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, table, where

HERE = RESULTS / "diagnosis_rules"
SEEDS = 5
SEVERE = 0.5
PLANTS = (("transformer", 2000), ("transformer-field", 2000), ("transformer-60hz", 2000))
RIGS = {
    "mfpt": {"rpm": "1500", "bpfo": "81.125", "bpfi": "118.875", "bsf": "63.91", "ftf": "14.8375"},
    "cwru_0hp": {"rpm": "1797", "balls": "9", "ball_d": "7.94", "pitch_d": "39.04", "angle": "0"},
}
BEARING = {
    "inner_race": "bearing: inner race",
    "outer_race": "bearing: outer race",
    "ball": "bearing: rolling element",
    "normal": "",
}
SIMULATED = {
    "core_loose": "core: loose clamping",
    "dc_bias": "core: DC bias",
    "winding_loose": "winding: loose clamping",
    "winding_deform": "winding: deformation",
    "cooling": "cooling: fan or pump",
    "oltc_wear": "tap changer: wear",
    "s_clip": "sensor: clipping",
    "s_dropout": "sensor: dropout",
    "s_drift": "sensor: drift or settling",
    "s_loose": "sensor: loose mount",
    "s_gain": "sensor: gain",
    "s_emi": "sensor: electrical interference",
    "s_rate": "sensor: wrong sampling rate",
}


def main(words: list[str] | None = None) -> int:
    """Measures the parts that are named."""
    parts = words or [*RIGS, "simulator"]
    if unknown := set(parts) - {*RIGS, "simulator"}:
        print(f"unknown part {', '.join(sorted(unknown))}; parts: {', '.join([*RIGS, 'simulator'])}", file=sys.stderr)
        return 2
    HERE.mkdir(parents=True, exist_ok=True)
    for name in parts:
        found = simulator() if name == "simulator" else rig(name)
        if found is None:
            print(f"{name} is left out: VIBRO_TEST_DATA does not hold it", file=sys.stderr)
            continue
        (HERE / f"{name}.json").write_text(json.dumps({"about": where(), **found}, indent=1) + "\n")
    lines = ["# diagnosis_rules", ""]
    for name in [*RIGS, "simulator"]:
        if (path := HERE / f"{name}.json").is_file():
            found = json.loads(path.read_text())
            about = found["about"]
            lines += [f"{about['date']}, commit {about['commit']}, {about['cpu']}, load {about['load']}", ""]
            lines += of_simulator(found) if name == "simulator" else of_rig(name, found)
    (HERE / "diagnosis_rules.md").write_text("\n".join(lines))
    print("\n".join(lines))
    return 0


def rig(name: str) -> dict[str, Any] | None:
    """Counts of the first hypothesis by recording."""
    from vibro.diagnosis.diagnose import Known, diagnose
    from vibro.diagnosis.knowledge import machine_of

    path = Path(os.environ.get("VIBRO_TEST_DATA", "")) / name / f"{name}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as data:
        signals, kinds, recordings = data["signals"], data["fault_type"], data["source_file"]
        fs = float(data["fs"])
    machine = machine_of(RIGS[name], name)
    known = Known(fs, "g", None, machine, machine.shaft)
    rows: dict[str, dict[str, Any]] = {}
    for x, kind, recording in zip(signals, kinds, recordings, strict=True):
        named = diagnose(x[None], known).named
        row = rows.setdefault(str(recording), {"kind": str(kind), "first": Counter()})
        row["first"][named[0].name if named else ""] += 1
    return {"machine": RIGS[name], "fs": fs, "recordings": rows}


def of_rig(name: str, found: dict[str, Any]) -> list[str]:
    """One row a recording, and the figures that the goals are about."""
    total: Counter[str] = Counter()
    cells = []
    for recording, row in sorted(found["recordings"].items()):
        first, kind = row["first"], row["kind"]
        n, right = sum(first.values()), first.get(BEARING[kind], 0)
        silent = first.get("", 0) if kind != "normal" else 0
        others = ", ".join(f"{k} {v}" for k, v in sorted(first.items()) if k and k != BEARING[kind])
        cells.append([recording, kind, n, right, silent, others or "-"])
        races = kind in ("inner_race", "outer_race")
        total += Counter(
            {"records": n, "normal": n * (kind == "normal"), "named normal": (n - right) * (kind == "normal")}
        )
        total += Counter({"races": n * races, "right races": right * races, "faulty": n * (kind != "normal")})
        total += Counter({"wrong": (n - right - silent) * (kind != "normal")})
        total += Counter({"ball": n * (kind == "ball"), "right ball": right * (kind == "ball")})
    lines = [f"## {name}", "", f"Known: {', '.join(f'{k} {v}' for k, v in found['machine'].items())}.", ""]
    lines += [
        f"Inner and outer race named right: {share(total, 'right races', 'races')}. Rolling element:"
        f" {share(total, 'right ball', 'ball')}. Another kind named: {share(total, 'wrong', 'faulty')}."
        f" Normal records named: {share(total, 'named normal', 'normal')}.",
        "",
    ]
    return lines + table(["recording", "kind", "records", "right", "not named", "otherwise"], cells)


def simulator() -> dict[str, Any]:
    """Counts of the first hypothesis of severe faults in alarm, by plant and fault; of all false alarms too."""
    from benchmarks.transients import run
    from vibro.diagnosis.knowledge import Machine
    from vibro.runs.diagnosis import first_hypotheses
    from vibro.scoring.verdict import ALARM, INVALID

    rows = []
    for preset, records in PLANTS:
        for seed in range(SEEDS):
            sim, batch, _, _, verdict = run({"records": records, "preset": preset}, seed)
            mains = 60.0 if preset == "transformer-60hz" else 50.0
            machines = dict.fromkeys(batch.sensors, Machine(mains_hz=mains, winding="transformer"))
            found = first_hypotheses(batch, verdict, machines, mains, most=len(batch))
            for i in np.flatnonzero(verdict.level == ALARM):
                kind = str(sim.fault_type[i]) or str(sim.kind[i])
                name = found.get(str(batch.ids[i]), {"name": ""})["name"]
                rows.append([preset, seed, kind, bool(sim.severity[i] >= SEVERE), name])
            spoilt = (verdict.level == INVALID) & (sim.severity >= SEVERE)
            rows += [[preset, seed, str(sim.fault_type[i]), True, "invalid"] for i in np.flatnonzero(spoilt)]
    return {"rows": rows}


def of_simulator(found: dict[str, Any]) -> list[str]:
    """Figures by group of faults and plant, and by fault."""
    rows = [row for row in found["rows"] if row[4] != "invalid"]
    severe = [row for row in rows if row[3] and row[2] in SIMULATED]
    lines = ["## Simulated transformers", ""]
    lines += [
        f"Ensemble `quick` on {SEEDS} plants a preset with 5 % faults, fitted on all of each; judged are its alarms with a"
        f" severity from {SEVERE}, against normal records of the sensor in the nearest operating state.",
        "",
    ]
    cells = []
    for preset, _ in PLANTS:
        for group in ("core", "winding", "tap changer", "sensor", "cooling"):
            mine = [row for row in severe if row[0] == preset and grouped(SIMULATED[row[2]]) == group]
            cells.append([preset, group, len(mine), *rights(mine)])
        mine = [row for row in severe if row[0] == preset and grouped(SIMULATED[row[2]]) != "cooling"]
        cells.append([preset, "core, winding, tap changer, sensor", len(mine), *rights(mine)])
    lines += table(["preset", "fault", "alarms", "group right", "fault right"], cells)
    cells = []
    for kind in SIMULATED:
        mine = Counter(row[4] for row in severe if row[2] == kind)
        invalid = sum(row[2] == kind for row in found["rows"] if row[4] == "invalid")
        others = ", ".join(f"{k or 'nothing'} {v}" for k, v in mine.most_common() if k != SIMULATED[kind])
        cells.append([kind, sum(mine.values()), mine[SIMULATED[kind]], others or "-", invalid])
    lines += table(["fault", "alarms", "right", "otherwise", "told invalid and not in alarm"], cells)
    false = Counter(row[4] or "nothing" for row in rows if row[2] in ("normal", "benign"))
    named = ", ".join(f"{k} {v}" for k, v in false.most_common()) or "none"
    return [*lines, f"False alarms and what they were named: {named}.", ""]


def grouped(name: str) -> str:
    """The machine part of a hypothesis."""
    return name.partition(":")[0]


def rights(rows: list[list[Any]]) -> list[str]:
    """Shares of the right group and of the right fault."""
    if not rows:
        return ["-", "-"]
    group = sum(grouped(row[4]) == grouped(SIMULATED[row[2]]) for row in rows)
    fault = sum(row[4] == SIMULATED[row[2]] for row in rows)
    return [f"{group / len(rows):.0%}", f"{fault / len(rows):.0%}"]


def share(total: Counter[str], part: str, whole: str) -> str:
    """``part of whole`` with its share."""
    return f"{total[part]} of {total[whole]} ({total[part] / total[whole]:.1%})" if total[whole] else "none there"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or None))
