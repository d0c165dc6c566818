"""A finished run as the commands that learn from it take it up: its held-out scores, the user's marks, its records again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.context import Context
from vibro.data import SignalBatch
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, ingest
from vibro.ingest.accounting import Finding
from vibro.io.paths import cache_folder
from vibro.io.tensors import decode_text
from vibro.scoring.marks import Look
from vibro.scoring.reasons import with_reasons
from vibro.scoring.thresholds import Cuts
from vibro.scoring.verdict import ScoreMatrix, Verdict, decide
from vibro.store import manifest, tables
from vibro.store.finished import open_finished
from vibro.store.index import index_of
from vibro.store.marks import marks_in, marks_of, read_marks
from vibro.store.viewcache import ViewCache


@dataclass(frozen=True)
class StoredRun:
    """A finished run of ``vibro ensemble run``.

    ``batch`` has no samples; ``matrix`` holds the scores that records had when they were held out, which are those of the
    model for records that were not fitted; ``marks`` are the rows of ``labels.csv`` by record id.
    """

    path: Path
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]
    stored: State
    batch: SignalBatch
    matrix: ScoreMatrix
    marks: Mapping[str, Mapping[str, Any]]

    @property
    def weights(self) -> NDArray[np.float64]:
        """(d,) weights of the detectors."""
        return self.stored["weights"]

    @property
    def look(self) -> Look:
        """What the records look like."""
        return Look(self.stored["signature"], self.stored["z"], self.stored["group"])

    @property
    def cuts(self) -> Cuts:
        """The cuts of the run."""
        named = self.summary["thresholds"]["cuts"]
        return Cuts(named["attention"], named["alarm"], self.stored["own_cuts"], named["unseen"] or np.inf)

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict on the held-out scores, with its reasons, by the cuts of the run."""
        stored, batch, cuts = self.stored, self.batch, self.cuts
        unseen, reference = stored["unseen"].astype(np.bool_), stored["reference_fused"]
        quorum = float(stored["quorum"])
        fused, persistent = stored["held_out_fused"], stored["held_out_persistent"]
        verdict = decide(self.matrix, fused, self.weights, cuts, reference, batch.valid, quorum, unseen, persistent)
        prefix = "marks/"
        marks = marks_of({n.removeprefix(prefix): a for n, a in stored.items() if n.startswith(prefix)})
        marks = marks.joined(marks_in(self.marks, batch.ids, self.look, marks.near))
        return with_reasons(batch, verdict, cuts, reference, self.look, marks)

    def records(self, host: PluginHost, data: Path | None, workdir: Path) -> SignalBatch:
        """The batch with its samples, read again from where the run found them, or below ``data``.

        ConfigError if a record of the run is not there any more.
        """
        settings = self.manifest["settings"]
        paths = (
            (data,) if data is not None else tuple(manifest.typed_path(settings, path) for path in settings["paths"])
        )
        if missing := [path for path in paths if not path.exists()]:
            raise ConfigError(f"{missing[0]}, which the run read, is not there", hint="--data says where it lies now")
        known = {f.name for f in fields(IngestOptions)}
        told: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in settings["reading"].items() if k in known
        }
        readers = [cls.make({}, Context()) for cls in host.components("reader")]
        cache = ViewCache(cache_folder() / "records")
        found = ingest(paths, readers, IngestOptions(**told), workdir, host.emit, cache, side_by_side=True).batch
        if np.array_equal(found.ids, self.batch.ids):
            return replace(self.batch, x=found.x)
        place = {ident: i for i, ident in enumerate(found.ids.tolist())}
        lost = [ident for ident in self.batch.ids.tolist() if ident not in place]
        if lost:
            raise ConfigError(
                f"the data lack {len(lost)} of the {len(self.batch)} records of {self.path}, {lost[0]} first",
                hint="--data says where the data of the run lie now, or run the ensemble again",
            )
        return replace(self.batch, x=found.x[[place[ident] for ident in self.batch.ids.tolist()]])


def open_run(path: Path) -> StoredRun:
    """A finished run whose files are all as they were written; ConfigError or StateError for anything else."""
    kept, stored = open_finished(path)
    if "held_out_z" not in stored:
        raise ConfigError(
            f"{path} holds no held-out scores: it was scored with a model, or written by an earlier version",
            hint="name a run that vibro ensemble run wrote",
        )
    batch = index_of(stored)
    ids = tuple(map(str, decode_text(stored["detectors"])))
    matrix = ScoreMatrix(ids, batch.ids, stored["raw"], stored["held_out_z"])
    summary = json.loads((path / "summary.json").read_text("utf-8"))
    return StoredRun(path, kept, summary, stored, batch, matrix, read_marks(path))


@dataclass(frozen=True)
class Quarantined:
    """The books of a finished run as far as labels ask for them: what ``quarantine.csv`` lists."""

    path: Path

    def findings(self) -> Iterator[Finding]:
        """Every finding of the table."""
        for row in tables.read_table(self.path / "quarantine.csv"):
            numbers = [int(row[name]) if row[name] else -1 for name in ("row", "line", "byte_offset")]
            text = {name: row[name] for name in ("source", "record_id", "sensor_id", "data_time")}
            yield Finding(
                text["source"],
                numbers[0],
                numbers[1],
                row["pointer"],
                numbers[2],
                text["record_id"],
                text["sensor_id"],
                text["data_time"],
                row["code"],
                row["disposition"],
                row["detail"],
                row["excerpt"],
            )
