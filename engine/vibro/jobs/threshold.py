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
from vibro.api import Thresholder
from vibro.context import Context
from vibro.engine import fused_cuts
from vibro.errors import ConfigError, StateError
from vibro.host import PluginHost
from vibro.ingest.tables import read_labels
from vibro.jobs.run import SCORES, decision, write_tables
from vibro.plan import Budgets
from vibro.report import write_report
from vibro.scores import LEVELS, Cuts, ScoreMatrix, decide
from vibro.store import manifest, tables
from vibro.store.index import index_of
from vibro.store.rundir import RunDir
from vibro.tensors import decode_text, load_tensors


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
    """Decides anew from stored scores without refitting; rewrites the run in one step, or writes a copy to ``out``."""
    old_manifest = manifest.verify(path)
    if old_manifest.get("status") != "complete":
        raise StateError(
            f"{path} holds a run that is {old_manifest.get('status')}", hint="only complete runs are decided anew"
        )
    found = json.loads((path / "summary.json").read_text("utf-8"))
    stored = load_tensors(path / SCORES)
    batch = index_of(stored)
    matrix = ScoreMatrix(
        tuple(map(str, decode_text(stored["detectors"]))),
        batch.ids,
        stored["raw"],
        stored["z"],
        np.isfinite(stored["z"]),
    )
    before = found["thresholds"]
    method = method or before["method"]
    budgets = Budgets(**before["budget"])
    if budget is not None:
        if not 0 < budget < 1:
            raise ConfigError(f"--budget {budget:g} is no share between 0 and 1")
        budgets = Budgets(attention=min(5 * budget, max(0.5, budget)), alarm=budget)
    cls = host.component("thresholder", method)
    assert issubclass(cls, Thresholder)
    thresholder = cls.make({}, Context(seed=old_manifest.get("seed", 0)).child(f"thresholder:{method}"))
    scores, y = stored["reference_fused"], None
    if cls.needs_labels:
        if labels is None:
            raise ConfigError(f"--method {method} learns from labels", hint="give --labels FILE")
        y = read_labels(labels, batch).y
        scores, y = stored["fused"][y >= 0], y[y >= 0]
    attention, alarm, details = fused_cuts(thresholder, scores, budgets, y)
    cuts = Cuts(attention, alarm, stored["own_cuts"])
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
        write_tables(run, batch, matrix, verdict, cuts, bom=False)
        own = {row["sensor_id"]: row["calibration"] == "own" for row in found["sensors"]}
        found |= {"thresholds": part, "levels": after["levels"], "sensors": summary.sensors(batch, verdict, own)}
        found["top"] = summary.top(batch, verdict)
        run.write_json("summary.json", found)
        kept = manifest.with_decision(old_manifest, decision(method, asdict(budgets), cuts))
        manifest.write(run.path, kept)
        if (run.path / "report.html").is_file():
            write_report(run.path, run.path / "report.html", lang=lang)
        names = ["scores.csv", "scores.parquet", "machines.csv", "summary.json", "report.html"]
        manifest.write(run.path, manifest.refresh(run.path, kept, names))
    return redecision


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
