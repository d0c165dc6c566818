"""A frozen model that stays in memory and judges files one by one, as ``vibro score`` judges them all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vibro.context import Context, resolve_device
from vibro.core.engine import Engine
from vibro.data import SignalBatch, check_schema
from vibro.host.manager import PluginHost
from vibro.ingest import IngestOptions, NothingAccepted, ingest
from vibro.ingest.accounting import Accounting
from vibro.ingest.tables import Covariates
from vibro.io.files import scratch_folder
from vibro.runs.model import load_model, model_folder, verify_model
from vibro.scoring.verdict import ScoreMatrix, Verdict
from vibro.store import bundle, manifest


@dataclass(frozen=True)
class Judged:
    """What became of one file: its accepted records with their verdicts, none where nothing was accepted, and its findings."""

    batch: SignalBatch | None
    matrix: ScoreMatrix | None
    verdict: Verdict | None
    findings: list[dict[str, Any]]


class Scorer:
    """Reads and judges files below one folder with a model.

    Sampling rate, length and unit are those of the model: what a record states otherwise quarantines that record.
    ``covariates``: their table, and for how many seconds a row of it stays valid.
    """

    def __init__(
        self,
        host: PluginHost,
        model: Path,
        root: Path,
        reading: IngestOptions,
        device: str = "auto",
        covariates: tuple[Path, float] | None = None,
    ) -> None:
        self.fitted, _, meta = load_model(host, model)
        self.root = root
        self._manifest = model_folder(model) / bundle.NAME
        self._stamp = self._manifest.stat()
        ctx = Context(seed=self.fitted.seed, device=resolve_device(device), fs=self.fitted.schema["fs"])
        self._engine = Engine(host, ctx)
        verify_model(self._engine, self.fitted, meta, manifest.libraries())
        self._readers = [cls.make({}, Context()) for cls in host.components("reader")]
        self._table = covariates
        self.read_covariates()
        self._reading = frozen(reading, self.fitted.schema)

    @property
    def fit(self) -> str:
        """Hash of all that was learned by detectors and views: other cuts, marks or baselines of a sensor leave it as it is."""
        listed = bundle.read_manifest(self._manifest.parent)["files"]
        parts = {path: entry["sha256"] for path, entry in listed.items() if path.startswith(("detectors/", "views/"))}
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def stale(self) -> bool:
        """Whether the model has been changed since it was loaded: by ``vibro label``, ``threshold`` or ``accept``."""
        try:
            return not os.path.samestat(self._stamp, self._manifest.stat())
        except FileNotFoundError:  # while it is exchanged
            return False

    def read_covariates(self) -> None:
        """Reads the table of covariates as it is now; ConfigError if that cannot be."""
        self._covariates = None if self._table is None else Covariates.read(self._table[0])

    def judge(self, path: Path) -> Judged:
        """Reads and judges a file; IncompatibleModelError where its records have other channels, PluginError if a part fails."""
        with scratch_folder() as folder:
            try:
                emit = self._engine.host.emit
                got = ingest([path], self._readers, self._reading, folder, emit, hashed=False, root=self.root)
            except NothingAccepted as error:
                return Judged(None, None, None, _findings(error.accounting))
            batch = got.batch
            check_schema(self.fitted.schema, batch)
            if self._table is not None and self._covariates is not None:
                batch, _ = self._covariates.join(batch, self._table[1])
            matrix = self._engine.score(self.fitted, batch)
            verdict = self._engine.decide(self.fitted, matrix, batch)
            batch = replace(batch, x=np.zeros((len(got.batch), 1, 0), np.float32))
            return Judged(batch, matrix, verdict, _findings(got.accounting))


def frozen(reading: IngestOptions, schema: Mapping[str, Any]) -> IngestOptions:
    """The options of reading with what the model fixes."""
    unit = reading.unit or (None if schema["unit"] == "unknown" else schema["unit"])
    return replace(
        reading,
        fs=reading.fs or schema["fs"],
        length=reading.length or schema["length"],
        unit=unit,
        prefer_unit=schema["unit"],
        need_fs=False,
    )


def _findings(books: Accounting) -> list[dict[str, Any]]:
    return [finding.as_row() for finding in books.findings()]
