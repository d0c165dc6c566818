"""The user's marks: ``labels.csv`` of a run directory, and what a model keeps of them as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import State
from vibro.errors import StateError
from vibro.io.tensors import decode_text, encode_text
from vibro.scoring.marks import FAULT, KINDS, Look, Marks
from vibro.store import tables

NAME = "labels.csv"
COLUMNS = ("record_id", "source", "row", "sensor_id", "data_time", "label", "kind", "fault_type")


def marks_state(marks: Marks) -> State:
    """Marks as plain arrays."""
    look = marks.look
    return {
        "ids": encode_text(marks.ids),
        "kind": marks.kind,
        "signature": look.signature,
        "z": look.z,
        "group": look.group,
        "near": marks.near,
    }


def marks_of(state: Mapping[str, NDArray[Any]]) -> Marks:
    """The marks of ``marks_state``."""
    look = Look(state["signature"], state["z"], state["group"])
    return Marks(decode_text(state["ids"]), state["kind"], look, state["near"])


def read_marks(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of ``labels.csv`` by record id, in the order in which they were given; none without the file."""
    path = folder / NAME
    rows = {row["record_id"]: dict(row) for row in tables.read_table(path)} if path.is_file() else {}
    for row in rows.values():
        if row.get("kind") not in KINDS:
            raise StateError(f"{path}: record {row['record_id']} is marked {row.get('kind')!r}, not {', '.join(KINDS)}")
    return rows


def write_marks(folder: Path, rows: Sequence[Mapping[str, Any]], *, bom: bool) -> None:
    """Writes ``labels.csv``; it has the columns of a label table, with 1 for faults and 0 for all others."""
    told = [{**row, "label": int(row["kind"] == KINDS[FAULT])} for row in rows]
    tables.write_table(folder / NAME, COLUMNS, told, bom=bom)


def marks_in(
    table: Mapping[str, Mapping[str, Any]], ids: NDArray[np.str_], look: Look, near: NDArray[np.float64]
) -> Marks:
    """The marks of a table of ``read_marks`` whose records are among ``ids`` (n,), which look like ``look``."""
    rows = np.array([i for i, ident in enumerate(ids.tolist()) if ident in table], dtype=np.intp)
    kind = np.array([KINDS.index(table[i]["kind"]) for i in ids[rows].tolist()], dtype=np.int8)
    return Marks(ids[rows], kind, look.take(rows), near)


def not_obeyed(table: Mapping[str, Mapping[str, Any]], marks: Marks) -> list[str]:
    """A sentence on the records of ``table`` that ``marks`` does not hold, for they are not among the data."""
    lost = [ident for ident in table if ident not in set(marks.ids.tolist())]
    if not lost:
        return []
    shown = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
    return [f"{NAME} marks {len(lost)} of its {len(table)} records in vain, as these data do not hold them: {shown}"]
