"""Which normal records of its sensor a record is most like, and which faults that the user has labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.io.tensors import load_tensors
from vibro.report.data import RunData
from vibro.scoring.marks import FAULT, KINDS, Look, usual_distance
from vibro.scoring.verdict import NORMAL
from vibro.store.index import SCORES, index_of
from vibro.store.marks import read_marks

NEAREST = 3  # records of either kind


def nearest(run: RunData, row: int) -> dict[str, list[dict[str, Any]]]:
    """``normal`` and ``labelled_faults``: the nearest records, each with its ``distance``.

    Distances are those by which marks find their like: of level and spectrum against the sensor's own, and of the detectors'
    z, in units of what 95 % of the pairs of normal records of a sensor lie apart at most. Empty lists for a run that kept no
    index.
    """
    found: dict[str, list[dict[str, Any]]] = {"normal": [], "labelled_faults": []}
    path = run.folder / SCORES
    stored = load_tensors(path) if path.is_file() else {}
    if "signature" not in stored:
        return found
    ids = index_of(stored).ids
    place = {ident: i for i, ident in enumerate(ids.tolist())}
    order = np.array([place[ident] for ident in run.scores["record_id"].tolist()], np.intp)
    look = Look(stored["signature"], stored["z"], stored["group"]).take(order)
    sound = (run.level == NORMAL) & (look.group >= 0)
    usual = usual_distance(look.take(sound))
    ratio = look.apart(look.take(np.full(len(run), row, np.intp))) / np.where(usual > 0, usual, np.nan)
    known = np.isfinite(ratio)
    distance = np.where(known, ratio, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    distance[row] = np.nan
    marks = {ident: m for ident, m in read_marks(run.folder).items() if m["kind"] == KINDS[FAULT]}
    labelled = np.isin(run.scores["record_id"], list(marks))
    for name, rows in (
        ("normal", (run.level == NORMAL) & (run.sensor == run.sensor[row]) & ~labelled),
        ("labelled_faults", labelled),
    ):
        for i in _closest(distance, rows):
            ident = str(run.scores["record_id"][i])
            found[name].append(
                {
                    "record_id": ident,
                    "sensor_id": run.sensors[run.sensor[i]],
                    "data_time": run.scores["data_time"][i],
                    "distance": float(distance[i]),
                    "fault_type": marks.get(ident, {}).get("fault_type", ""),
                }
            )
    return found


def _closest(distance: NDArray[np.float64], rows: NDArray[np.bool_]) -> list[int]:
    """The rows of the smallest distances, unknown ones left out."""
    open_ = np.flatnonzero(rows & np.isfinite(distance))
    return [int(i) for i in open_[np.argsort(distance[open_], kind="stable")[:NEAREST]]]
