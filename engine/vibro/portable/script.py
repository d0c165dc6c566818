"""Scores vibration records with the model that lies beside this file, as ``vibro score`` does; needs numpy alone, and
onnxruntime where a member is a network.

    python score.py RECORDS [--fs HZ] [--sensor NAME] > scores.csv
    python score.py --check

RECORDS is .npy of shape (n, T) or (n, C, T); .npz with ``signals`` and, where known, ``sensor_id``, ``machine_id``,
``data_time``, ``fs``, ``covariates`` (n, k) and ``covariate_names``; or .jsonl with ``signal_value``, ``sensor_id``,
``machine_id``, ``data_time``, ``fs`` and ``covariates`` in each line. ``--check`` scores the records that the model keeps
and compares: whether this machine computes what the other one did.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vibro.portable.lacks import filled, lacking
from vibro.portable.output import cell, refuse, warn
from vibro.portable.records import KINDS, Records, read_records
from vibro.portable.verdict import LEVELS, beyond, calibrated, decided, instants

Floats = NDArray[np.float64]
Inputs = dict[str, NDArray[Any]]
FUNCTIONS: dict[str, Callable[..., Any]] = {}  # of the members and views, by name; the script holds them
TOLERANCE = 1e-5  # of a score, or of the member's usual deviation where the score is smaller
NO_MORE = 141  # exit code where whoever read the scores has ended: 128 + SIGPIPE


class UnusableError(Exception):
    """Why the files beside the script cannot be used, in one sentence."""


class Scores(NamedTuple):
    """Of n records: ``raw`` and ``z`` (n, d) of the members, NaN = none; ``fused``, ``p_value`` and ``level`` (n,)."""

    raw: Floats
    z: Floats
    fused: Floats
    p_value: Floats
    level: NDArray[np.intp]


class Model:
    """The model of a folder: ``about`` is its ``model.json``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _opening(folder / "model.json") as path:
            self.about: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self.arrays: dict[str, dict[str, NDArray[Any]]] = {}
        with _opening(folder / "arrays.npz") as path, np.load(path, allow_pickle=False) as file:
            for name in file.files:
                part, _, own = name.rpartition("/")
                self.arrays.setdefault(part, {})[own] = file[name]
        self._graphs: dict[str, Callable[..., Any]] = {}

    def inputs(self, records: Records) -> Inputs:
        """What the views are made from, as ``vibro`` hands it to them."""
        code = {name: i for i, name in enumerate(self.about["sensors"])}
        sensor = np.array([code.get(name, -1) for name in records.sensor.tolist()], np.float32)
        of = instants(records.time, records.sensor, records.machine, self.about["periods"])
        covariates = np.asarray(records.covariates, np.float32)
        return {
            "raw": records.x,
            "covariates": covariates,
            "sensor": sensor[:, None],
            "instant": of.astype(np.float32)[:, None],
        }

    def raw(self, inputs: Inputs, members: Sequence[str] | None = None) -> Floats:
        """Scores (n, d) of these members, by default of all; NaN for a member that is not here or a record without its view."""
        views, n = dict(inputs), len(inputs["raw"])
        columns = {}
        for member in self.about["members"]:
            if members is not None and member["id"] not in members:
                continue
            x = self._view(member["view"], views)
            some = ~np.isnan(x.reshape(n, -1)[:, 0])
            column = np.full(n, np.nan)
            if some.any():
                column[some] = self._run(member, x[some])
            columns[member["id"]] = np.where(np.isfinite(column), column, np.nan)
        none = np.full(n, np.nan)
        return np.stack([columns.get(ident, none) for ident in self.about["detectors"]], axis=1)

    def verdict(self, inputs: Inputs, raw: Floats) -> Scores:
        """Calibrated, fused and cut scores (n, d)."""
        about, arrays = self.about, self.arrays
        sensor, known = inputs["sensor"][:, 0].astype(np.intp), np.asarray(inputs["covariates"], np.float64)
        bare, domain = arrays.get("bare", {}), arrays["domain"]
        z = calibrated(arrays["calibration"], bare, domain, about["linear"], raw, sensor, known)
        fusion = arrays["fusion"]
        weighted = (np.isfinite(z) & (fusion["weights"] > 0)).any(axis=1)
        fused = np.where(weighted, self._run(about["fuser"], z), np.nan)
        unseen = beyond(domain, known, sensor)
        p, level = decided(z, fused, fusion["weights"], fusion["reference"], about["cuts"], about["quorum"], unseen)
        return Scores(raw, z, fused, p, level)

    def score(self, records: Records) -> Scores:
        """The scores and levels of records."""
        inputs = self.inputs(records)
        return self.verdict(inputs, self.raw(inputs))

    def check(self) -> float:
        """The largest ``difference`` from what the model keeps of its own records; inf for another level."""
        kept = self.arrays["probes"]
        inputs = {name: kept[name] for name in ("raw", "covariates", "sensor", "instant")}
        found = self.verdict(inputs, self.raw(inputs))
        pairs = [*zip(found.raw.T, kept["scores"].T, kept["usual"], strict=True), (found.fused, kept["fused"], 1.0)]
        worst = max(difference(got, then, float(usual)) for got, then, usual in pairs)
        return worst if np.array_equal(found.level, kept["level"]) else float("inf")

    def _view(self, name: str, views: Inputs) -> NDArray[Any]:
        if name not in views:
            part = self.about["views"][name]
            inputs = {of: self._view(of, views) for of in part["inputs"]}
            lacks = lacking(inputs)
            values = self._run(part, *(filled(inputs, lacks) if lacks.any() else inputs).values())
            if lacks.any():
                values = np.array(values)
                values[lacks] = np.nan
            views[name] = values
        return views[name]

    def _run(self, part: Mapping[str, Any], *inputs: NDArray[Any]) -> NDArray[Any]:
        """A view, a member or the fuser: its function, its graph, or its function with its graph."""
        graph = self._graph(part["graph"]) if part["graph"] else None
        if not part["function"]:
            assert graph is not None
            return np.asarray(graph(*inputs))
        given = (self.arrays.get(part["arrays"], {}), *([] if graph is None else [graph]), *inputs)
        return np.asarray(FUNCTIONS[part["function"]](*given))

    def _graph(self, name: str) -> Callable[..., Any]:
        if name not in self._graphs:
            try:
                import onnxruntime
            except ImportError as error:
                raise UnusableError(f"onnxruntime cannot be imported ({error}): pip install onnxruntime") from None
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            with _opening(self.folder / name) as path:
                session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            names = [given.name for given in session.get_inputs()]
            self._graphs[name] = lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))[0]
        return self._graphs[name]


@contextmanager
def _opening(path: Path) -> Iterator[Path]:
    """A file of the export; UnusableError for whatever its reader raises."""
    try:
        yield path
    except Exception as error:
        raise UnusableError(f"{path} is missing or damaged: {error}") from None


def difference(found: Floats, then: Floats, usual: float) -> float:
    """The largest difference between scores (n,), over their size or at least ``usual``; inf where one is not there."""
    if not np.array_equal(np.isnan(found), np.isnan(then)):
        return float("inf")
    apart = np.abs(found - then) / np.maximum(np.abs(then), usual)
    return float(np.nanmax(apart, initial=0.0)) if np.isfinite(then).any() else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the scores of a file's records to stdout; the exit code.

    0; 1 where --check finds other scores; 2 where files beside the script are missing or damaged, or RECORDS is of no kind
    that is read; 3 where the records do not fit; 141 where whoever read the scores has ended.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except UnusableError as error:
        return refuse(str(error), 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
        return NO_MORE


def _run(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(description="Scores vibration records with the model beside this file.")
    parser.add_argument("records", type=Path, nargs="?", help=".npy, .npz or .jsonl")
    parser.add_argument("--check", action="store_true", help="score the records that the model keeps, and compare")
    parser.add_argument("--fs", type=float, default=0.0, help="sampling rate in Hz of a file that states none")
    parser.add_argument("--sensor", default="", help="sensor of a file that states none")
    asked = parser.parse_args(argv)
    model = Model(Path(__file__).parent)
    if asked.check:
        worst = model.check()
        sys.stdout.write(f"largest difference {worst:.2g}, at most {TOLERANCE:g} is allowed\n")
        return int(worst > TOLERANCE)
    if asked.records is None:
        parser.error("RECORDS or --check is needed")
    about = model.about
    if asked.records.suffix not in KINDS:
        return refuse(f"{asked.records} is none of {', '.join(KINDS)}", 2)
    try:
        records = read_records(asked.records, about["covariates"])
    except Exception as error:  # whatever is wrong with a file
        return refuse(f"{asked.records} cannot be read: {error}")
    if (problem := unfit(about, records, asked.fs)) is not None:
        return refuse(problem)
    if asked.sensor:
        given = records.sensor != ""
        machine = np.where(records.machine != "", records.machine, asked.sensor)
        records = records._replace(sensor=np.where(given, records.sensor, asked.sensor), machine=machine)
    if strange := sorted(set(records.sensor.tolist()) - set(about["sensors"])):
        warn(f"the model does not know sensor {', '.join(strange)}: judged as usual for all")
    if lacking := int((~np.isfinite(records.covariates)).any(axis=1).sum()):
        said = f"{lacking} of {len(records.x)} records {'lacks' if lacking == 1 else 'lack'} {' or '.join(about['covariates'])}"
        warn(f"{said}: calibrated without covariates")
    write(about, records, model.score(records))
    return 0


def unfit(about: Mapping[str, Any], records: Records, fs: float) -> str | None:
    """Why records cannot be scored with the model; None if they can."""
    shape, fs = records.x.shape, records.fs or fs
    if len(shape) != 3 or shape[1:] != (about["channels"], about["length"]):
        return f"records are {shape[1:]}, the model reads {about['channels']} x {about['length']} samples"
    if fs != about["fs"]:
        said = f"the sampling rate is {fs:g} Hz" if fs else "no sampling rate is stated (--fs)"
        return f"{said}, the model was fitted at {about['fs']:g} Hz"
    bad = np.flatnonzero(~np.isfinite(records.x).all(axis=(1, 2)))
    return f"record {bad[0]} holds values that are no numbers" if len(bad) else None


def write(about: Mapping[str, Any], records: Records, found: Scores) -> None:
    """One line a record: row, sensor, fused score, p-value, level and the members' z, empty where there is none."""
    sys.stdout.write(
        ",".join(["row", "sensor_id", "score", "p_value", "level", *(f"z_{i}" for i in about["detectors"])])
    )
    sys.stdout.write("\n")
    for row, name in enumerate(records.sensor.tolist()):
        numbers = [found.fused[row], found.p_value[row], *found.z[row]]
        texts = ["" if np.isnan(v) else f"{v:.9g}" for v in numbers]
        sys.stdout.write(",".join([str(row), cell(name), *texts[:2], LEVELS[found.level[row]], *texts[2:]]) + "\n")
