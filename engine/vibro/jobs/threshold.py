"""``vibro threshold``: decide anew from stored scores; ``vibro report``: write the report again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vibro import files, summary
from vibro.api import State, Thresholder
from vibro.context import Context
from vibro.data import SignalBatch
from vibro.engine import find_cuts, fused_cuts
from vibro.errors import ConfigError, StateError
from vibro.host import PluginHost
from vibro.ingest.tables import read_labels
from vibro.jobs.run import SCORES, decision, write_tables
from vibro.model import MODEL, recut_model
from vibro.overrides import budgets_for
from vibro.plan import Budgets, without_use
from vibro.report import write_report
from vibro.scores import LEVELS, Cuts, ScoreMatrix, decide
from vibro.store import manifest, tables
from vibro.store.index import index_of
from vibro.store.rundir import RunDir
from vibro.tensors import decode_text, load_tensors, save_tensors


@dataclass(frozen=True)
class Redecision:
    """Old and new cuts and counts of ``vibro threshold``."""

    method: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    changed: int


def rethreshold(
    host: PluginHost,
    path: Path,
    *,
    method: str | None = None,
    budget: float | None = None,
    labels: Path | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    lang: str = "en",
) -> Redecision:
    """Decides anew from stored scores without refitting; rewrites the run in one step, or writes a copy to ``out``.

    The model of the run gets the new cuts too, so that ``vibro score`` goes on with them.
    """
    if not path.is_dir():
        raise ConfigError(f"no such run directory: {path}")
    kept = manifest.verify(path)
    if kept.get("status") != "complete":
        raise StateError(f"{path} holds a run that is {kept.get('status')}", hint="only complete runs are decided anew")
    found = json.loads((path / "summary.json").read_text("utf-8"))
    stored = load_tensors(path / SCORES)
    before = found["thresholds"]
    method = method or before["method"]
    budgets = Budgets(**(before["budget"] if budget is None else budgets_for(budget)))
    thresholder = _thresholder(host, kept, method)
    batch = index_of(stored)
    cuts, details = _cuts(thresholder, stored, budgets, batch, labels)
    ids = tuple(map(str, decode_text(stored["detectors"])))
    matrix = ScoreMatrix(ids, batch.ids, stored["raw"], stored["z"], np.isfinite(stored["z"]))
    quorum = float(stored["quorum"])
    verdict = decide(matrix, stored["fused"], stored["weights"], cuts, stored["reference_fused"], batch.valid, quorum)
    part = summary.thresholds(method, asdict(budgets), cuts, details, verdict)
    after = {"thresholds": part, "levels": summary.levels(verdict)}
    old_level = tables.read_scores(path)["level"]
    changed = int(np.sum(old_level != np.array(LEVELS)[verdict.level]))
    redecision = Redecision(method, {"thresholds": before, "levels": found["levels"]}, after, changed)
    if dry_run:
        return redecision
    if out is not None:
        copy_run(path, out)
    with RunDir.edit(out or path) as run:
        write_tables(run, batch, matrix, verdict, cuts, bom=bool(kept["settings"].get("csv_bom")))
        save_tensors(run.path / SCORES, {**stored, "own_cuts": cuts.own})
        if (run.path / MODEL).is_dir():
            table = kept["ensemble"]["thresholder"]
            rule = table if table["use"] == method else {"use": method}
            recut_model(run.path, cuts, details, rule, asdict(budgets))
        own = {row["sensor_id"]: row["calibration"] == "own" for row in found["sensors"]}
        found |= {"thresholds": part, "levels": after["levels"], "sensors": summary.sensors(batch, verdict, own)}
        found["top"] = summary.top(batch, verdict)
        for row, cut in zip([d for d in found["detectors"] if d["id"] in ids], cuts.own, strict=True):
            row["cut"] = float(cut)
        if found["metrics"] is not None:
            found["metrics"] = None
            found["warnings"].append("metrics were left out when the cuts were changed: score again with --labels")
        run.write_json("summary.json", found)
        kept = manifest.with_decision(kept, decision(method, asdict(budgets), cuts))
        manifest.write(run.path, kept)
        if (run.path / "report.html").is_file():
            write_report(run.path, run.path / "report.html", lang=lang)
        manifest.write(run.path, {**kept, "files": manifest.run_files(run.path)})
    return redecision


def _thresholder(host: PluginHost, kept: Mapping[str, Any], method: str) -> Thresholder:
    """The thresholder of the run with its settings, or another method with its defaults."""
    cls = host.component("thresholder", method)
    assert issubclass(cls, Thresholder)
    table = kept["ensemble"]["thresholder"]
    settings = without_use(table) if table["use"] == method else {}
    return cls.make(settings, Context(seed=kept["seed"]).child(f"thresholder:{method}"), where="thresholder")


def _cuts(
    thresholder: Thresholder, stored: State, budgets: Budgets, batch: SignalBatch, labels: Path | None
) -> tuple[Cuts, dict[str, Any]]:
    """Cuts from the stored reference; of the fused score from labelled records where the method learns from labels."""
    learns = thresholder.needs_labels
    if learns != (labels is not None):
        raise ConfigError(
            f"--method {thresholder.name} learns from labels"
            if learns
            else f"--method {thresholder.name} takes no labels",
            hint="give --labels FILE" if learns else "--labels belongs to --method labelled",
        )
    if labels is None:
        return find_cuts(thresholder, stored["reference_z"], stored["reference_fused"], budgets)
    y = read_labels(labels, batch).y
    known = (y >= 0) & np.isfinite(stored["fused"]) & batch.valid
    attention, alarm, details = fused_cuts(thresholder, stored["fused"][known], budgets, y[known])
    return Cuts(attention, alarm, stored["own_cuts"]), details


def copy_run(path: Path, out: Path) -> None:
    """A copy of a finished run in a directory that must be absent or empty."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty", hint="choose another -o")
    with files.disk_errors(out):
        shutil.copytree(path, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".vibro.lock*"))


def rewrite_report(path: Path, out: Path | None, lang: str) -> Path:
    """Writes the report of a run again, to ``out`` or in its place; the path written."""
    kept = manifest.verify(path)
    if out is not None:
        write_report(path, out, lang=lang)
        return out
    with RunDir.edit(path) as run:
        write_report(run.path, run.path / "report.html", lang=lang)
        manifest.write(run.path, manifest.refresh(run.path, kept, ["report.html"]))
    return path / "report.html"
