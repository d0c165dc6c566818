"""The two runs of a comparison, and which records of one are those of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.core.fitted import FittedEnsemble
from vibro.data import SignalBatch
from vibro.errors import VibroError
from vibro.host.manager import PluginHost
from vibro.io.tensors import decode_text
from vibro.runs.model import MODEL, load_model
from vibro.store.finished import open_finished
from vibro.store.index import index_of


@dataclass(frozen=True)
class Side:
    """One run of a comparison: manifest, records, stored scores, and its model where that is still there."""

    path: Path
    manifest: Mapping[str, Any]
    batch: SignalBatch
    stored: Mapping[str, NDArray[Any]]
    fitted: FittedEnsemble | None

    @property
    def detectors(self) -> list[str]:
        """Ids of the detectors, in the order of the columns."""
        return [str(name) for name in decode_text(self.stored["detectors"])]


def open_side(host: PluginHost, path: Path) -> Side:
    """A finished run; ConfigError or StateError for anything else."""
    kept, stored = open_finished(path, "persistent")
    place = path if (path / MODEL).is_dir() else Path(kept["settings"]["model"]["path"])
    try:
        fitted = load_model(host, place, allow_missing=True)[0]
    except VibroError:  # gone or changed: what was stated is compared all the same
        fitted = None
    return Side(path, kept, index_of(stored), stored, fitted)


def matched(a: SignalBatch, b: SignalBatch) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the records that both have."""
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for keys in (_by_id, _by_time, _by_place):
        place = {key: i for i, key in enumerate(keys(a)) if key is not None and i not in pairs}
        for j, key in enumerate(keys(b)):
            i = place.get(key, -1) if key is not None else -1
            if i >= 0 and j not in taken and i not in pairs:
                pairs[i] = j
                taken.add(j)
    rows = np.array(sorted(pairs), np.intp)
    return rows, np.array([pairs[int(i)] for i in rows], np.intp)


def _by_id(batch: SignalBatch) -> list[Any]:
    return list(map(str, batch.ids))


def _by_time(batch: SignalBatch) -> list[Any]:
    stamps = batch.time.astype("datetime64[ns]").astype(np.int64)
    known = ~np.isnat(batch.time)
    return [(batch.sensors[s], int(t)) if yes else None for s, t, yes in zip(batch.sensor, stamps, known, strict=True)]


def _by_place(batch: SignalBatch) -> list[Any]:
    return [(batch.sources[s], int(r)) for s, r in zip(batch.source, batch.row, strict=True)]
