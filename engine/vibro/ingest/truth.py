"""Label tables made from what the user says: label arrays of ``.npz`` sources, or folders mapped by exact name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.data import SignalBatch
from vibro.errors import ConfigError
from vibro.io.files import iso_time

KEY_COLUMNS = ("record_id", "sensor_id", "data_time")
NPZ_COLUMNS = (*KEY_COLUMNS, "label", "fault_type", "split")
FOLDER_COLUMNS = (*KEY_COLUMNS, "label", "fault_type", "folder")
_LABELS = {"0": 0, "1": 1, "-1": -1}


def labels_of_arrays(batch: SignalBatch, root: Path) -> list[dict[str, Any]]:
    """A label row for every record whose ``.npz`` source holds an array ``label``; ConfigError if none does."""
    rows: list[dict[str, Any]] = []
    for code, source in enumerate(batch.sources):
        if not source.lower().endswith(".npz"):
            continue
        with np.load(root / source, allow_pickle=False) as arrays:
            if "label" not in arrays.files:
                continue
            label = _checked(arrays["label"], source)
            texts = {name: arrays[name] for name in ("fault_type", "split") if name in arrays.files}
        for i in np.flatnonzero(batch.source == code):
            row = int(batch.row[i])
            more = {name: str(values[row]) for name, values in texts.items() if len(values) == len(label)}
            rows.append({**_key(batch, int(i)), "label": int(label[row]), **more})
    if not rows:
        raise ConfigError("--labels-out: no .npz source holds an array label")
    return rows


def labels_of_folders(batch: SignalBatch, mapping: Mapping[str, int]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A label row for every record below a folder with a mapped name, and the records of folders that are left out.

    Names are compared whole, never by a part of them: ``normal`` is not ``abnormal``.
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[str, int] = {}
    used: set[str] = set()
    for i in range(len(batch)):
        folders = PurePosixPath(batch.sources[batch.source[i]]).parts[:-1]
        mapped = [name for name in folders if name in mapping]
        if not mapped:
            place = "/".join(folders) or "."
            left_out[place] = left_out.get(place, 0) + 1
            continue
        if len({mapping[name] for name in mapped}) > 1:
            raise ConfigError(f"folders {' and '.join(mapped)} of one path are mapped to different labels")
        used |= set(mapped)
        entry = {"label": mapping[mapped[-1]], "fault_type": "", "folder": mapped[-1]}
        rows.append({**_key(batch, i), **entry})
    unknown = sorted(set(mapping) - used)
    if unknown:
        seen = sorted({part for source in batch.sources for part in PurePosixPath(source).parts[:-1]})
        raise ConfigError(
            f"no record lies in a folder named {unknown[0]!r}", hint=f"folders: {', '.join(seen) or 'none'}"
        )
    return rows, left_out


def parse_mapping(pairs: Sequence[str]) -> dict[str, int]:
    """``NAME=LABEL`` by name; LABEL is 0, 1 or -1."""
    mapping: dict[str, int] = {}
    for pair in pairs:
        name, equals, label = pair.rpartition("=")
        if not (name and equals and label in _LABELS):
            raise ConfigError(
                f"--map {pair!r} is not NAME=LABEL with LABEL 0, 1 or -1", hint="--map normal=0 --map fault=1"
            )
        if mapping.setdefault(name, _LABELS[label]) != _LABELS[label]:
            raise ConfigError(f"--map names {name!r} twice with different labels")
    if not mapping:
        raise ConfigError("no folder is mapped to a label", hint="--map normal=0 --map fault=1")
    return mapping


def _checked(label: NDArray[Any], source: str) -> NDArray[Any]:
    if label.dtype.kind not in "iub" or not set(np.unique(label).tolist()) <= {-1, 0, 1}:
        raise ConfigError(f"array label of {source} holds something else than 0, 1 and -1")
    return label


def _key(batch: SignalBatch, i: int) -> dict[str, Any]:
    values: Iterator[Any] = iter((str(batch.ids[i]), batch.sensors[batch.sensor[i]], iso_time(batch.time[i])))
    return dict(zip(KEY_COLUMNS, values, strict=True))
