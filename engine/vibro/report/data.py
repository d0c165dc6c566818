"""The files of a run directory that the report shows, read once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import StateError
from vibro.io.tensors import decode_text, pick_tensors
from vibro.scoring.verdict import LEVELS
from vibro.store import manifest, tables
from vibro.store.index import SCORES

# record ids -> samples (C, T) of those that could be read, and notes on the others
Signals = Callable[[Sequence[str]], tuple[dict[str, NDArray[np.float32]], list[str]]]

FINDINGS = 100  # rows of the quarantine table that are shown


@dataclass(frozen=True)
class RunData:
    """A run as its files tell it.

    ``scores`` holds the columns of scores.parquet; ``level`` (n,) and ``sensor`` (n,) are codes into ``LEVELS`` and
    ``sensors``. ``x`` (n,) is the time in seconds since 1970, or the row in the table where ``timed`` is False.
    ``covariates`` are names and values (n,), NaN = not known.
    """

    folder: Path
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    machines: list[dict[str, str]]
    findings: list[dict[str, str]]
    codes: Mapping[tuple[str, str, str], int]  # (code, reason, disposition) -> rows
    scores: Mapping[str, NDArray[Any]]
    detectors: tuple[str, ...]
    level: NDArray[np.int8]
    sensor: NDArray[np.intp]
    sensors: tuple[str, ...]
    x: NDArray[np.float64]
    timed: bool
    covariates: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.level)

    @property
    def judged(self) -> NDArray[np.float64]:
        """(n,) the scores that levels go by: with the neighbours in time where the model found that high ones adjoin."""
        return np.asarray(self.scores["persistent_score"], dtype=np.float64)

    @property
    def cuts(self) -> tuple[float | None, float | None]:
        """The attention and the alarm cut of the fused score, None where there is none."""
        cuts = self.summary.get("thresholds", {}).get("cuts", {})
        return cuts.get("attention"), cuts.get("alarm")


def load(folder: Path) -> RunData:
    """Reads a run directory; StateError names a file that is missing or damaged. A manifest may be missing."""
    kept = manifest.read(folder) if (folder / manifest.NAME).is_file() else {}
    if kept and not (folder / "scores.parquet").is_file():
        manifest.read_complete(folder)
    scores = tables.read_scores(folder)
    names, sensor = np.unique(scores["sensor_id"], return_inverse=True)
    code = {name: i for i, name in enumerate(LEVELS)}
    levels, level = np.unique(scores["level"], return_inverse=True)
    times = scores["data_time"]
    known = ~np.isnat(times)
    timed = bool(known.sum() > 0.5 * len(times))
    x = np.arange(len(times), dtype=np.float64)
    if timed:
        x = np.where(known, times.astype("datetime64[ms]").astype(np.int64) / 1000.0, np.nan)
    findings, codes = _quarantine(folder / "quarantine.csv")
    return RunData(
        folder=folder,
        summary=_summary(folder / "summary.json"),
        manifest=_printable(kept),
        machines=_rows(folder / "machines.csv"),
        findings=findings,
        codes=codes,
        scores=scores,
        detectors=tuple(name.removeprefix("z_") for name in scores if name.startswith("z_")),
        level=np.array([code.get(name, len(LEVELS) - 1) for name in levels.tolist()], dtype=np.int8)[level],
        sensor=sensor.astype(np.intp),
        sensors=tuple(tables.printable(str(name)) for name in names),
        x=x,
        timed=timed,
        covariates=_covariates(folder / SCORES, scores["record_id"]),
    )


def _covariates(path: Path, ids: NDArray[np.str_]) -> dict[str, NDArray[np.float32]]:
    """The covariates of the records, in the order of their ids; none where the run kept no index."""
    if not path.is_file():
        return {}
    kept = pick_tensors(path, ("index/ids", "index/covariates", "index/covariate_names"))
    names, own = decode_text(kept["index/covariate_names"]), decode_text(kept["index/ids"])
    order = np.argsort(own)
    place = order[np.clip(np.searchsorted(own, ids, sorter=order), 0, max(0, len(order) - 1))] if len(order) else order
    if len(place) != len(ids) or not np.array_equal(own[place], ids):
        return {}
    return {str(name): kept["index/covariates"][place, j] for j, name in enumerate(names)}


def _summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StateError(f"cannot read {path}: {error}", hint="run the ensemble or score again") from None
    if not isinstance(summary, dict):
        raise StateError(f"{path} is damaged")
    return dict(_printable(summary))


def _printable(value: Any) -> Any:
    """The value with control and bidirectional characters removed from every text: they could falsify what a page shows."""
    if isinstance(value, str):
        return tables.printable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _rows(path: Path) -> list[dict[str, str]]:
    return _printable(list(tables.read_table(path))) if path.is_file() else []


def _quarantine(path: Path) -> tuple[list[dict[str, str]], Counter[tuple[str, str, str]]]:
    """The first findings and the count of each kind."""
    shown: list[dict[str, str]] = []
    codes: Counter[tuple[str, str, str]] = Counter()
    if path.is_file():
        for row in tables.read_table(path):
            codes[row["code"], row["reason"], row["disposition"]] += 1
            if len(shown) < FINDINGS:
                shown.append(_printable(row))
    return shown, codes
