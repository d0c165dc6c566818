"""Label tables made from what the user says: label arrays of ``.npz`` sources, or folders mapped by exact name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import Component
from vibro.data import Rejected, SignalBatch
from vibro.errors import ConfigError
from vibro.ingest.files import check_paths, find_files
from vibro.ingest.intake import configured, guarded
from vibro.ingest.options import IngestOptions, check_options, pairs
from vibro.ingest.settings import with_settings
from vibro.io.files import iso_time

KEY_COLUMNS = ("record_id", "sensor_id", "data_time")
NPZ_COLUMNS = (*KEY_COLUMNS, "label", "fault_type", "split")
FOLDER_COLUMNS = ("recording", "source", "label", "fault_type", "folder", "records")
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
        raise ConfigError(
            "--labels-out: no .npz source holds an array label", hint="--map normal=0 --map inner=1 labels by folder"
        )
    return rows


def labels_of_folders(
    recordings: Mapping[tuple[str, str], int], mapping: Mapping[str, int]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A label row for every recording below a folder with a mapped name, and the records of folders that are left out.

    ``recordings`` counts records by source and recording. Names are compared whole, never by a part of them: ``normal``
    is not ``abnormal``.
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[str, int] = {}
    used: set[str] = set()
    for (source, recording), count in recordings.items():
        folders = PurePosixPath(source).parts[:-1]
        name = mapped_folder(source, mapping)
        if name is None:
            place = "/".join(folders) or "."
            left_out[place] = left_out.get(place, 0) + count
            continue
        used |= set(folders) & set(mapping)
        entry = {"label": mapping[name], "fault_type": name if mapping[name] == 1 else "", "folder": name}
        rows.append({"recording": recording, "source": source, **entry, "records": count})
    unknown = sorted(set(mapping) - used)
    if unknown:
        seen = sorted({part for source, _ in recordings for part in PurePosixPath(source).parts[:-1]})
        raise ConfigError(
            f"no record lies in a folder named {unknown[0]!r}", hint=f"folders: {', '.join(seen) or 'none'}"
        )
    twice = Counter(row["recording"] for row in rows)
    for row in rows:
        others = {other["label"] for other in rows if other["recording"] == row["recording"]} if twice else set()
        if len(others) > 1:
            raise ConfigError(f"recording {row['recording']!r} lies in folders of different labels")
    return rows, left_out


def mapped_folder(source: str, mapping: Mapping[str, int]) -> str | None:
    """The innermost folder of a path that is mapped; ConfigError where two of them have different labels."""
    names = [name for name in PurePosixPath(source).parts[:-1] if name in mapping]
    if len({mapping[name] for name in names}) > 1:
        raise ConfigError(f"folders {' and '.join(names)} of one path are mapped to different labels")
    return names[-1] if names else None


def recordings_of(paths: Sequence[Path], readers: Sequence[Component], options: IngestOptions) -> Recordings:
    """The recordings below the paths, whatever their length: nothing is kept of their samples."""
    check_paths(paths)
    options, _ = with_settings(paths, options)
    check_options(options)
    listing = find_files(paths, configured(readers, options))
    found: Counter[tuple[str, str]] = Counter()
    refused = []
    for file in listing.files:
        try:
            for item in guarded(file):
                if isinstance(item, Rejected):
                    refused.append((file.source, item))
                else:
                    found[file.source, item.recording or file.source] += 1
        except OSError as error:
            refused.append((file.source, Rejected("Q020", f"cannot be read: {error.strerror or error}")))
    return Recordings(found, refused)


@dataclass(frozen=True)
class Recordings:
    """Records by source and recording, and what was refused."""

    counts: Counter[tuple[str, str]]
    refused: list[tuple[str, Rejected]]


def labels_by_folder(batch: SignalBatch, mapping: Mapping[str, int]) -> list[dict[str, Any]]:
    """A label row for every record of a batch below a folder with a mapped name."""
    rows = []
    for i in range(len(batch)):
        name = mapped_folder(batch.sources[batch.source[i]], mapping)
        if name is not None:
            fault = name if mapping[name] == 1 else ""
            rows.append({**_key(batch, i), "label": mapping[name], "fault_type": fault})
    if not rows:
        raise ConfigError(f"--labels-out: no record lies in a folder named {' or '.join(mapping)}")
    return rows


def parse_mapping(texts: Sequence[str]) -> dict[str, int]:
    """``NAME=LABEL`` by name; LABEL is 0, 1 or -1."""
    mapping: dict[str, int] = {}
    for name, label in pairs(texts, "--map").items():
        if label not in _LABELS:
            raise ConfigError(
                f"--map {name}={label} is not NAME=LABEL with LABEL 0, 1 or -1", hint="--map normal=0 --map fault=1"
            )
        mapping[name] = _LABELS[label]
    return mapping


def _checked(label: NDArray[Any], source: str) -> NDArray[Any]:
    if label.dtype.kind not in "iub" or not set(np.unique(label).tolist()) <= {-1, 0, 1}:
        raise ConfigError(f"array label of {source} holds something else than 0, 1 and -1")
    return label


def _key(batch: SignalBatch, i: int) -> dict[str, Any]:
    values: Iterator[Any] = iter((str(batch.ids[i]), batch.sensors[batch.sensor[i]], iso_time(batch.time[i])))
    return dict(zip(KEY_COLUMNS, values, strict=True))
