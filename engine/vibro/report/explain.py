"""Why a record got its verdict: its detectors, its signal against the sensor's baseline, the records before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.context import Context
from vibro.data import Record, Rejected, record_id
from vibro.diagnosis.diagnose import Diagnosis, Known, Mates, diagnose, mates_of, shaft_of
from vibro.diagnosis.knowledge import machine_from
from vibro.errors import ConfigError
from vibro.host.manager import PluginHost
from vibro.ingest.files import find_files
from vibro.ingest.intake import configured
from vibro.ingest.options import IngestOptions
from vibro.ingest.shaping import Shaper, in_unit
from vibro.report import indicators
from vibro.report.alike import nearest
from vibro.report.attribution import AttributionMap
from vibro.report.data import RunData, load
from vibro.scoring.verdict import LEVELS, NORMAL
from vibro.store import manifest, tables
from vibro.store.lookup import find_record

BASELINE = 100  # records at most
BASELINE_BYTES = 64 << 20  # of samples at most
NEIGHBOURS = 5  # on each side
ALIKE = 3  # normal records of the most similar states that stand for the usual
FEATURES = 12  # indicators listed
UNREAD = Diagnosis((), ("what it looks like cannot be said: its samples could not be read",), judged=False)


@dataclass(frozen=True)
class Explanation:
    """An explained record.

    ``table`` is the JSON object of ``vibro explain --json``; ``row`` the record's row in ``run``; ``signal`` (C, T) its
    samples and ``baseline`` (b, C, T) those of normal records of ``baseline_of`` (the sensor, or "" for all sensors);
    both are empty when the sources could not be read, which ``notes`` say. ``diagnosis`` is what the signal looks like.
    ``alike`` (k, C, T) are the samples of the sensor's normal records in the most similar operating states, the nearest
    first, and ``alike_ids`` (k,) their ids. ``maps``: what makes the scores of detectors that say so.
    """

    run: RunData
    row: int
    table: Mapping[str, Any]
    signal: NDArray[np.float32]
    baseline: NDArray[np.float32]
    baseline_of: str
    notes: tuple[str, ...]
    diagnosis: Diagnosis
    alike: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    alike_ids: tuple[str, ...] = ()
    maps: tuple[AttributionMap, ...] = ()

    @property
    def fs(self) -> float:
        """Sampling rate in Hz."""
        return float(self.run.summary["signal"]["fs"])

    @property
    def mains(self) -> float | None:
        """Mains frequency in Hz, None without a comb."""
        found = self.run.summary["signal"].get("mains_hz")
        return float(found) if found else None


def explain(host: PluginHost, folder: Path, record: str, *, data: Path | None = None) -> Explanation:
    """Explains one record of a run directory; ``record`` is its id, a unique prefix of it, or ``SOURCE:ROW``.

    The sources are read again where the run found them, or below ``data``. ConfigError if no or more than one record is
    meant; sources that are gone or changed leave the signal out with a note.
    """
    if not folder.is_dir():
        raise ConfigError(f"no such run directory: {folder}")
    manifest.verify(folder)
    run = load(folder)
    row = find_record(run.scores, record, run.folder)
    mates, baseline_of = baseline_rows(run, row)
    alike = alike_rows(run, row)
    signals, notes = read_signals(host, run, [row, *dict.fromkeys([*mates, *alike.rows])], data)
    empty = np.zeros((0, 0), np.float32)
    signal = signals.pop(row, empty)
    diagnosis = diagnosed(run, row, signal, alike, signals) if signal.size else UNREAD
    compared = [signals[i] for i in mates if i in signals]
    baseline = np.stack(compared) if signal.size and compared else np.zeros((0, 0, 0), np.float32)
    closest = np.argsort((alike.state**2).sum(axis=1), kind="stable")[:ALIKE]
    near = [alike.rows[k] for k in closest if alike.rows[k] in signals]
    like = np.stack([signals[i] for i in near]) if near else np.zeros((0, 0, 0), np.float32)
    ids = tuple(str(run.scores["record_id"][i]) for i in near)
    found = Explanation(run, row, {}, signal, baseline, baseline_of, (), diagnosis, like, ids)
    table = build(found)
    return replace(found, table=table, notes=(*at_odds(table), *notes))


def alike_rows(run: RunData, row: int) -> Mates:
    """Normal records of the same sensor in the most similar operating state."""
    normal = (run.level == NORMAL) & (run.sensor == run.sensor[row])
    normal[row] = False
    told = run.summary["signal"]
    samples = int(told.get("length") or 1) * int(told.get("channels") or 1)
    return mates_of(np.flatnonzero(normal).tolist(), row, covariates(run)[1], samples)


def covariates(run: RunData) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names and values (n, k) of the covariates of a run's records, none where the run does not hold them."""
    columns = [*run.covariates.values()]
    return tuple(run.covariates), np.stack(columns, axis=1) if columns else np.zeros((len(run), 0), np.float32)


def diagnosed(
    run: RunData, row: int, signal: NDArray[np.float32], mates: Mates, signals: Mapping[int, NDArray[np.float32]]
) -> Diagnosis:
    """Hypotheses about a record against ``mates`` of its sensor, those of which ``signals`` has the samples."""
    told = run.summary["signal"]
    machine = machine_from(run.summary.get("machines_known", {}).get(run.sensors[run.sensor[row]], {}))
    names, values = covariates(run)

    def speed(i: int) -> float | None:
        return shaft_of(machine, dict(zip(names, values[i].tolist(), strict=True)))

    what = Known(float(told["fs"]), str(told.get("unit") or ""), told.get("mains_hz"), machine, speed(row))
    read = [k for k, i in enumerate(mates.rows) if i in signals]
    baseline = np.stack([signals[mates.rows[k]] for k in read]) if read else None
    speeds = np.array([speed(mates.rows[k]) or np.nan for k in read])
    return diagnose(signal, what, baseline, speeds, mates.state[read])


def baseline_rows(run: RunData, row: int) -> tuple[list[int], str]:
    """Normal records to compare with, spread evenly over the run: the sensor's own, or all where it has less than five."""
    length = int(run.summary["signal"].get("length") or 1) * int(run.summary["signal"].get("channels") or 1)
    most = int(np.clip(BASELINE_BYTES // (4 * length), 8, BASELINE))
    normal = run.level == NORMAL
    normal[row] = False
    own = np.flatnonzero(normal & (run.sensor == run.sensor[row]))
    chosen, name = (own, run.sensors[run.sensor[row]]) if len(own) >= 5 else (np.flatnonzero(normal), "")
    spread = np.unique(np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(int))
    return [int(i) for i in chosen[spread]], name


def read_signals(
    host: PluginHost, run: RunData, rows: list[int], data: Path | None
) -> tuple[dict[int, NDArray[np.float32]], list[str]]:
    """The samples of these records read again from their sources, and notes on sources that are missing or changed."""
    options, unit = _reading(run), str(run.summary["signal"]["unit"])
    readers = [cls.make({}, Context()) for cls in host.components("reader")]
    listing = find_files(_source_paths(run, data), configured(readers, options))
    files, shaper = {found.source: found for found in listing.files}, Shaper(options, listing.root.name)
    wanted: dict[str, dict[str, int]] = {}
    for row in rows:
        wanted.setdefault(str(run.scores["source"][row]), {})[str(run.scores["record_id"][row])] = row
    signals: dict[int, NDArray[np.float32]] = {}
    notes = []
    for source, ids in wanted.items():
        if source not in files:
            notes.append(f"{source} is not where the run found it; --data DIR names its folder")
            continue
        numbers = {int(run.scores["row"][row]) for row in ids.values()}
        for item in shaper.shape(files[source].reader.read(files[source].path), source):
            record = item if isinstance(item, Rejected) else in_unit(item[0], unit)
            if record.row > max(numbers):
                break
            if isinstance(record, Record) and record.row in numbers:
                row = ids.get(record_id(record.sensor, record.time, record.signal), -1)
                if row >= 0:
                    signals[row] = record.signal
        if gone := [row for row in ids.values() if row not in signals]:
            notes.append(f"{source}:{run.scores['row'][gone[0]]} has changed since the run")
    return signals, sorted(set(notes))


def build(found: Explanation) -> dict[str, Any]:
    """The JSON object of ``vibro explain --json``."""
    run, row = found.run, found.row
    scores = run.scores
    identifier = str(scores["record_id"][row])
    attention, alarm = run.cuts
    return {
        "record_id": identifier,
        "source": str(scores["source"][row]),
        "row": int(scores["row"][row]),
        "sensor_id": run.sensors[run.sensor[row]],
        "data_time": scores["data_time"][row],
        "score": float(scores["score"][row]),
        "persistent_score": float(scores["persistent_score"][row]),
        "p_value": float(scores["p_value"][row]),
        "level": LEVELS[run.level[row]],
        "reason": str(scores["reason"][row]),
        "agreement": float(scores["agreement"][row]),
        "cuts": {"attention": attention, "alarm": alarm},
        "detectors": detectors(run, row),
        "hypotheses": [h.table for h in found.diagnosis.hypotheses] if found.diagnosis.judged else None,
        "not_judged": list(found.diagnosis.unsaid),
        "facts": list(found.diagnosis.facts),
        "features": features(found),
        "lines": lines(found),
        "neighbours": neighbours(run, row),
        "nearest": nearest(run, row),
        "quality": [
            {key: finding[key] for key in ("code", "reason", "disposition", "detail")}
            for finding in _findings(run.folder / "quarantine.csv")
            if finding["record_id"] == identifier
        ],
    }


def detectors(run: RunData, row: int) -> list[dict[str, Any]]:
    """Per detector: z, its part of the weighted mean over the detectors that have a z, and whether z exceeds its own cut."""
    told = {d["id"]: d for d in run.summary.get("detectors", [])}
    z = {name: float(run.scores[f"z_{name}"][row]) for name in run.detectors}
    weight = {name: float(told.get(name, {}).get("weight") or 0.0) for name in run.detectors}
    total = sum(weight[name] for name in run.detectors if np.isfinite(z[name]))
    rows = []
    for name in run.detectors:
        cut = told.get(name, {}).get("cut")
        known = bool(np.isfinite(z[name]))
        rows.append(
            {
                "id": name,
                "z": z[name],
                "weight": weight[name],
                "share": weight[name] * z[name] / total if known and total else None,
                "exceeds": z[name] > cut if known and cut is not None else None,
                "cut": cut,
            }
        )
    return rows


def at_odds(table: Mapping[str, Any]) -> list[str]:
    """Sentences where the level of an explained record and the cuts of score and detectors do not say the same."""
    alarm, score, level = table["cuts"]["alarm"], table["persistent_score"], table["level"]
    judged = [d for d in table["detectors"] if d["exceeds"] is not None and d["weight"]]
    over = [d["id"] for d in judged if d["exceeds"]]
    few = sum(d["weight"] for d in judged if d["exceeds"]) < 0.5 * sum(d["weight"] for d in judged)
    if alarm is None or not np.isfinite(score) or level not in LEVELS[:3] or not judged:
        return []
    if (score > alarm) != (table["score"] > alarm):
        alone, near = ("above", "below") if table["score"] > alarm else ("below", "above")
        return [
            f"the score is {alone} the alarm cut, with its neighbours in time it is {near}: persistent_score, which the level"
            " follows"
        ]
    if score > alarm and level != "alarm":
        return [
            f"the score is above the alarm cut, yet the level is {level}: the warnings of the run say what holds it back"
        ]
    if level == "alarm" and few:
        by = f"by {', '.join(over)} far above" if over else "by many that are near"
        return [f"{len(over)} of {len(judged)} detectors exceed their own cut: the alarm is made {by} theirs"]
    if level != "alarm" and not few:
        return [f"{', '.join(over)} exceed their own cut, each by little: the fused score stays below the alarm cut"]
    return []


def features(found: Explanation) -> list[dict[str, Any]]:
    """The indicators that differ most from the baseline."""
    judged = []
    for channel in range(found.signal.shape[0] if len(found.baseline) >= 3 else 0):
        mine = indicators.indicators(found.signal[None, channel], found.fs)
        theirs = indicators.indicators(found.baseline[:, channel], found.fs)
        prefix = f"ch{channel}_" if found.signal.shape[0] > 1 else ""
        judged += [(prefix + j.name, j) for j in indicators.judge(mine, theirs)]
    judged.sort(key=lambda pair: -abs(pair[1].z))
    return [
        {"name": name, "value": j.value, "baseline_median": j.median, "baseline_mad": j.mad, "z": j.z}
        for name, j in judged[:FEATURES]
    ]


def lines(found: Explanation) -> list[dict[str, Any]]:
    """Level of each multiple of the mains over the baseline's median; without mains the frequencies that rose most."""
    if len(found.baseline) < 3:
        return []
    hz = indicators.frequencies(found.signal.shape[1], found.fs)
    mine = indicators.power_spectrum(found.signal[:1])
    theirs = indicators.power_spectrum(found.baseline[:, 0])
    if found.mains:
        multiples, level = indicators.mains_lines(mine, hz, found.mains)
        over = level[0] - np.median(indicators.mains_lines(theirs, hz, found.mains)[1], axis=0)
        pairs = zip(multiples.tolist(), over.tolist(), strict=True)
        return [{"hz": m * found.mains, "multiple": int(m), "db_over_baseline": o} for m, o in pairs]
    centre, level = indicators.bands(mine, hz)
    peaks = indicators.risen(centre, level[0], indicators.bands(theirs, hz)[1])
    return [{"hz": hz, "multiple": None, "db_over_baseline": over} for hz, over in peaks]


def neighbours(run: RunData, row: int) -> list[dict[str, Any]]:
    """Records of the same sensor just before and after, in order of time."""
    mine = np.flatnonzero(run.sensor == run.sensor[row])
    mine = mine[np.argsort(run.x[mine], kind="stable")]
    place = int(np.flatnonzero(mine == row)[0])
    near = mine[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
    return [
        {
            "record_id": str(run.scores["record_id"][i]),
            "data_time": run.scores["data_time"][i],
            "score": float(run.scores["score"][i]),
            "persistent_score": float(run.judged[i]),
            "level": LEVELS[run.level[i]],
        }
        for i in near
        if i != row
    ]


def _reading(run: RunData) -> IngestOptions:
    """How the run read its sources."""
    told: dict[str, Any] = run.manifest.get("settings", {}).get("reading", {})
    known = {f.name for f in fields(IngestOptions)}
    lists: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in told.items() if name in known
    }
    return IngestOptions(**lists)


def _source_paths(run: RunData, data: Path | None) -> list[Path]:
    """Where the sources may lie: below ``data``, else where the run found them, else in its own ``data`` (the demo)."""
    if data is not None:
        if not data.exists():
            raise ConfigError(f"--data {data} does not exist")
        return [data]
    settings = run.manifest.get("settings", {})
    known = [manifest.typed_path(settings, path) for path in settings.get("paths", [])]
    return [path for path in known if path.exists()] or [path for path in [run.folder / "data"] if path.exists()]


def _findings(path: Path) -> list[dict[str, str]]:
    return list(tables.read_table(path)) if path.is_file() else []
