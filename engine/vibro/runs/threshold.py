"""``vibro threshold``: decide anew from stored scores; ``vibro report``: write the report again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State, Thresholder
from vibro.benchmark.evaluate import at_cuts
from vibro.context import Context
from vibro.data import SignalBatch
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.ingest.tables import read_labels
from vibro.injection.trial import Trial
from vibro.io.named import check_plain
from vibro.io.tensors import decode_text, save_tensors
from vibro.report import source_signals, write_report
from vibro.runs import members, summary
from vibro.runs.attribution import maps_of
from vibro.runs.choice import AUTO, Cutting, advice, chosen, make_thresholder
from vibro.runs.diagnosis import with_hypotheses
from vibro.runs.model import MODEL, recut_model
from vibro.runs.outputs import decision, write_tables
from vibro.runs.overrides import budgets_for
from vibro.runs.stored import Quarantined
from vibro.scoring.cases import case_rows
from vibro.scoring.machines import machine_rows
from vibro.scoring.marks import Look
from vibro.scoring.reasons import with_reasons
from vibro.scoring.thresholds import Budgets, find_cuts, own_cuts
from vibro.scoring.verdict import LEVELS, ScoreMatrix, Verdict, decide
from vibro.store import manifest, tables
from vibro.store.finished import open_finished, require
from vibro.store.index import SCORES, index_of
from vibro.store.marks import marks_in, marks_of, read_marks
from vibro.store.rundir import RunDir


@dataclass(frozen=True)
class Redecision:
    """Old and new cuts and counts of ``vibro threshold``.

    ``reason``: why ``auto`` took this method, empty where another was asked for. ``moves``: (level before, level after) ->
    records, for those that changed; ``machines``: machine -> both levels, for those whose verdict changed.
    """

    method: str
    reason: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    moves: Mapping[tuple[str, str], int]
    machines: Mapping[str, tuple[str, str]]

    @property
    def changed(self) -> int:
        """Records whose level changed."""
        return sum(self.moves.values())


@dataclass(frozen=True)
class Learned:
    """Scores that cuts come from, and their labels where the method learns from such."""

    scores: NDArray[np.float64]
    y: NDArray[np.int16] | None = None
    told: Mapping[str, Any] | None = None  # what the manifest says about the labels
    warnings: tuple[str, ...] = ()


def rethreshold(
    host: PluginHost,
    path: Path,
    *,
    method: str | None = None,
    budget: float | None = None,
    labels: Path | None = None,
    labels_partial: bool = False,
    out: Path | None = None,
    dry_run: bool = False,
    lang: str = "en",
) -> Redecision:
    """Decides anew from stored scores without refitting; rewrites the run in one step, or writes a copy to ``out``.

    Method ``auto``, asked for by name, is that thresholder unless the run's injected faults show that it misses half of a
    kind which another cut within the budget catches. The model of the run gets the new cuts too, so that ``vibro score``
    goes on with them.
    """
    kept, stored = open_finished(path, "reference_cut", "persistent")
    found = json.loads((path / "summary.json").read_text("utf-8"))
    if found["metrics"]:
        require(path, stored, "label")
    before = found["thresholds"]
    asked, method = method, method or before["method"]
    budgets = Budgets(**(before["budget"] if budget is None else budgets_for(budget)))
    trial = None
    if found["fault_injection"] is not None:
        trial = Trial(**_part(stored, "trial/"))

    def cutting(method: str) -> Cutting | None:
        if trial is None:
            return None
        return Cutting(host, trial, stored["reference_cut"], _rule(kept, method), budgets, kept["seed"])

    reason = ""
    if asked == AUTO and (judge := cutting(AUTO)) is not None:
        method, reason = chosen(judge)
    elif asked == AUTO:
        reason = "auto: no fault was injected in this run to choose by"
    thresholder = make_thresholder(host, _rule(kept, method), kept["seed"])
    batch = index_of(stored)
    learned = _learned(thresholder, stored, batch, path, labels, labels_partial)
    own = stored["own_cuts"]
    if learned.told is None:
        own = own_cuts(thresholder, stored["reference_z"], budgets.alarm)
    seed = Context(seed=kept["seed"]).child("resample").seed
    cuts, details = find_cuts(thresholder, learned.scores, budgets, own, seed, learned.y)
    ids = tuple(map(str, decode_text(stored["detectors"])))
    look = Look(stored["signature"], stored["z"], stored["group"])
    matrix = ScoreMatrix(ids, batch.ids, stored["raw"], stored["z"], look)
    quorum = float(stored["quorum"])
    unseen = stored["unseen"].astype(np.bool_)
    fused, persistent = stored["fused"], stored["persistent"]
    verdict = decide(
        matrix, fused, stored["weights"], cuts, stored["reference_fused"], batch.valid, quorum, unseen, persistent
    )
    marks = marks_of(_part(stored, "marks/"))
    marks = marks.joined(marks_in(read_marks(path), batch.ids, look, marks.near))
    verdict = with_reasons(batch, verdict, cuts, stored["reference_fused"], look, marks)
    injected = None
    if trial is not None:
        names = tuple(map(str, decode_text(stored["model_sensors"])))
        injected = members.fault_injection(trial, cuts, ids, names, kept["ensemble"]["fuser"])
    machines = machine_rows(batch, verdict, cuts)
    cases = with_hypotheses(case_rows(batch, verdict, machines), found.get("hypotheses", {}))
    judge = None if learned.told is not None else cutting(method)
    after = summary.decided(
        batch,
        verdict,
        cuts,
        machines,
        cases,
        {**details, "reason": reason or None},
        method=method,
        budgets=asdict(budgets),
        baselines={row["sensor_id"]: row["calibration"] for row in found["sensors"]},
        injected=injected,
        hypotheses=found.get("hypotheses", {}),
        advice=advice(judge, cuts.alarm) if judge else (),
    )
    redecision = Redecision(
        method,
        reason,
        {"thresholds": before, "levels": found["levels"]},
        {"thresholds": after["thresholds"], "levels": after["levels"]},
        _moves(stored["level"], verdict.level),
        _turned(path, machines),
    )
    if dry_run:
        return redecision
    signals = source_signals(host, path)
    with RunDir.edit(path) if out is None else RunDir.copy(path, out) as run:
        write_tables(run, batch, matrix, verdict, machines, cases, bom=bool(kept["settings"].get("csv_bom")))
        save_tensors(
            run.path / SCORES,
            {**stored, "own_cuts": cuts.own, "resampled_cuts": cuts.resampled, "level": verdict.level},
        )
        if (run.path / MODEL).is_dir():
            recut_model(run.path, cuts, details, _rule(kept, method), asdict(budgets))
        told = _told_anew(found, after, dict(zip(ids, cuts.own, strict=True)), learned.warnings)
        told["metrics"] = _judged_anew(found["metrics"], stored, verdict, budgets.alarm)
        run.write_json("summary.json", told)
        kept = manifest.with_decision(kept, decision(method, asdict(budgets), cuts, learned.told))
        manifest.write(run.path, kept)
        if (run.path / "report.html").is_file():
            write_report(run.path, run.path / "report.html", lang, signals, maps_of(host))
        manifest.write(run.path, {**kept, "files": manifest.run_files(run.path)})
    return redecision


def _part(stored: State, prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in stored.items() if name.startswith(prefix)}


def _told_anew(
    found: Mapping[str, Any], after: Mapping[str, Any], own: Mapping[str, float], said: Sequence[str]
) -> dict[str, Any]:
    """The summary ``found`` with what follows from new cuts ``after``; ``own``: each detector's cut, ``said``: warnings."""
    lasting = [line for line in found["warnings"] if line not in found["thresholds"]["warnings"] and line not in said]
    warnings = [*lasting, *after["thresholds"]["warnings"], *said]
    detectors = [{**row, "cut": float(own[row["id"]])} if row["id"] in own else row for row in found["detectors"]]
    return {**found, **after, "detectors": detectors, "warnings": warnings}


def _judged_anew(
    metrics: Mapping[str, Any] | None, stored: State, verdict: Verdict, budget: float
) -> dict[str, Any] | None:
    """The metrics of the run with what follows from other cuts."""
    if metrics is None:
        return None
    faults = np.array([*decode_text(stored["faults"])], dtype=np.str_)[stored["fault"]]
    return at_cuts(metrics, stored["label"], faults, verdict, budget, stored["fitted"].astype(np.bool_))


def _rule(kept: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    """The thresholder of the run with its settings, or another method with its defaults."""
    table: Mapping[str, Any] = kept["ensemble"]["thresholder"]
    return table if table["use"] == method else {"use": method}


def _learned(
    thresholder: Thresholder, stored: State, batch: SignalBatch, path: Path, labels: Path | None, partial: bool
) -> Learned:
    """The stored reference, or the labelled records where the method learns from labels."""
    learns = thresholder.needs_labels
    if learns != (labels is not None):
        raise ConfigError(
            f"--method {thresholder.name} learns from labels"
            if learns
            else f"--method {thresholder.name} takes no labels",
            hint="give --labels FILE" if learns else "--labels belongs to --method labelled",
        )
    if labels is None:
        return Learned(stored["reference_cut"])
    check_plain(labels, "--labels")
    table = read_labels(labels, batch, partial, Quarantined(path))
    known = (table.y >= 0) & np.isfinite(stored["persistent"]) & batch.valid
    y = table.y[known]
    told = {
        "labels": str(labels),
        "key": table.key,
        "rows": len(y),
        "normal": int((y == 0).sum()),
        "anomalous": int((y > 0).sum()),
    }
    return Learned(stored["persistent"][known], y, told, tuple(table.warnings))


def _moves(before: NDArray[np.int8], after: NDArray[np.int8]) -> dict[tuple[str, str], int]:
    """Records by level before and after, those that changed."""
    moves = Counter(zip(before.tolist(), after.tolist(), strict=True))
    return {(LEVELS[was], LEVELS[now]): n for (was, now), n in sorted(moves.items()) if was != now}


def _turned(path: Path, machines: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Machines whose level changes, with both."""
    was = {row["machine_id"]: row["level"] for row in tables.read_table(path / "machines.csv")}
    pairs = {row["machine_id"]: (was.get(row["machine_id"], ""), str(row["level"])) for row in machines}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def rewrite_report(host: PluginHost, path: Path, out: Path | None, lang: str) -> Path:
    """Writes the report of a run again, to ``out`` or in its place; the path written."""
    kept = manifest.verify(path)
    signals = source_signals(host, path)
    if out is not None:
        write_report(path, out, lang, signals, maps_of(host))
        return out
    with RunDir.edit(path) as run:
        write_report(run.path, run.path / "report.html", lang, signals, maps_of(host))
        manifest.write(run.path, manifest.refresh(run.path, kept, ["report.html"]))
    return path / "report.html"
