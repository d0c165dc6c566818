"""``vibro label``: the user's word on records, kept in the run directory and in the model that scores what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vibro.errors import ConfigError, IncompatibleModelError, StateError
from vibro.runs.model import MODEL, model_folder, remark_model
from vibro.scoring.marks import KINDS, Look, Marks
from vibro.store import manifest, tables
from vibro.store.finished import open_finished
from vibro.store.index import index_of
from vibro.store.lookup import find_record
from vibro.store.marks import NAME, marks_in, read_marks, write_marks
from vibro.store.place import is_run
from vibro.store.rundir import RunDir


@dataclass(frozen=True)
class Labelled:
    """What ``vibro label`` did: its ``rows`` of the table, all ``counts`` by kind, the ``model`` that knows of them, or
    a sentence on why none does."""

    path: Path
    rows: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    model: Path | None
    warning: str


def label_records(path: Path, records: Sequence[str], kind: str, fault_type: str = "") -> Labelled:
    """Marks records of a finished run as normal, fault or benign; a later mark of the same record wins.

    ConfigError for a record that the run does not have. Nothing is decided anew: ``vibro threshold`` does that.
    """
    if kind not in KINDS:
        raise ConfigError(f"--as {kind!r} is not known", hint=f"use {', '.join(KINDS)}")
    if fault_type and kind == "normal":
        raise ConfigError("a normal record has no type", hint="leave --type out, or use --as fault or benign")
    kept, stored = open_finished(path, "signature")
    scores = tables.read_scores(path)
    found = [_row(scores, find_record(scores, record, path), kind, fault_type) for record in dict.fromkeys(records)]
    with RunDir.edit(path) as run:
        new = {row["record_id"]: row for row in found}
        look = Look(stored["signature"], stored["z"], stored["group"])
        marks = marks_in(new, index_of(stored).ids, look, stored["marks/near"])
        model: Path | None = path / MODEL
        said = ""
        if (run.path / MODEL).is_dir():
            remark_model(run.path / MODEL, marks)
        else:
            model, said = _teach(Path(kept["settings"]["model"]["path"]), marks, new)
        table = _add(run.path, kept, new)
    counts = Counter(str(row["kind"]) for row in table.values())
    return Labelled(path / NAME, found, {name: counts[name] for name in KINDS}, model, said)


def _row(scores: Mapping[str, NDArray[Any]], row: int, kind: str, fault_type: str) -> dict[str, Any]:
    """The row of the table for one record."""
    copied = {name: scores[name][row] for name in ("record_id", "source", "row", "sensor_id", "data_time")}
    copied = {name: str(value) if isinstance(value, str) else value for name, value in copied.items()}
    return {**copied, "kind": kind, "fault_type": fault_type}


def _add(run: Path, kept: Mapping[str, Any], new: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Adds rows to the table of a run and writes its manifest; the whole table."""
    table = {**read_marks(run), **new}
    write_marks(run, list(table.values()), bom=bool(kept["settings"].get("csv_bom")))
    manifest.write(run, {**kept, "files": manifest.run_files(run)})
    return table


def _teach(place: Path, marks: Marks, new: Mapping[str, Mapping[str, Any]]) -> tuple[Path | None, str]:
    """Tells the model that a run was scored with, and the run that it belongs to; the model, or None and why not."""
    why = f"{place}, with which these records were scored, does not know of this: "
    folder = model_folder(place)
    try:
        if not is_run(folder.parent):
            remark_model(folder, marks)
            return folder, ""
        kept = manifest.verify(folder.parent)
        with RunDir.edit(folder.parent) as run:
            remark_model(run.path / MODEL, marks)
            _add(run.path, kept, new)
    except (StateError, IncompatibleModelError) as error:
        return None, why + error.message
    return folder, ""
