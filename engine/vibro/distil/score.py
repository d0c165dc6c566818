"""Scores vibration records with the student that lies beside this file; needs Python 3.11 and numpy, nothing else.

    python score.py RECORDS [--int8] [--fs HZ] [--sensor NAME] > scores.csv

RECORDS is .npy of shape (n, T) or (n, C, T); .npz with ``signals`` and, where known, ``sensor_id``, ``fs``, ``covariates``
(n, k) and ``covariate_names``; or .jsonl with ``signal_value`` (numbers, or one text of numbers and commas), ``sensor_id``,
``fs`` and ``covariates`` in each line. Scores are about those of the ensemble that taught the student: larger = worse. A
record that lacks a covariate which the student knows gets no level.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOG_BANDS, LINEAR_BANDS = 64, 128
SEGMENTS, LEAST_SEGMENT, LINEAR_SEGMENT = 15, 256, 512  # at most; samples at least; samples at most
CLIP = 12.0  # scales at which a feature is clipped
BLOCK = 1 << 19  # samples worked on at a time
LOWEST = 1e-30  # smallest amplitude, in any unit
LARGEST = 20.0  # asinh of the largest score
KINDS = (".npy", ".npz", ".jsonl")
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet takes for the beginning of one

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]


def features(x: NDArray[Any]) -> Floats:
    """(n, C, T) -> (n, C * f): log10 of level and of bands, evenly spaced in log and in linear frequency, and 9 statistics."""
    n, channels, samples = x.shape
    rows = x.reshape(n * channels, samples)
    step = max(1, BLOCK // samples)
    return np.concatenate([_features(rows[i : i + step]) for i in range(0, len(rows), step)]).reshape(n, -1)


def _features(x: NDArray[Any]) -> Floats:
    y = np.asarray(x, np.float64)
    y = y - y.mean(axis=1, keepdims=True)
    level = np.sqrt(np.mean(y * y, axis=1, keepdims=True))
    y = y / np.maximum(level, LOWEST)
    samples = y.shape[1]
    segments = min(max(2 * samples // LEAST_SEGMENT - 1, 1), SEGMENTS)
    power = _welch(y, 2 * samples // (segments + 1))
    edges = np.unique(np.round(np.geomspace(1, power.shape[1], LOG_BANDS + 1)).astype(int))
    log_bands = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
    power = _welch(y, min(LINEAR_SEGMENT, samples))[:, 1:]
    edges = np.unique(np.linspace(0, power.shape[1], min(LINEAR_BANDS, power.shape[1]) + 1).astype(int))
    linear = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    linear = np.maximum(linear, 1e-6 * np.median(linear, axis=1, keepdims=True))
    loud = _log(level)
    return np.concatenate([loud, loud + _log(log_bands) / 2, loud + _log(linear) / 2, _shape(y)], axis=1)


def _welch(y: Floats, segment: int) -> Floats:
    """Mean power (rows, segment // 2 + 1) of half-overlapping Hann segments."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(segment) / segment)
    starts = range(0, y.shape[1] - segment + 1, max(1, segment // 2))
    total = np.zeros((len(y), segment // 2 + 1))
    for start in starts:
        part = y[:, start : start + segment]
        z = np.fft.rfft((part - part.mean(axis=1, keepdims=True)) * window, axis=1)
        total += z.real**2 + z.imag**2
    return total / (len(starts) * segment * np.sum(window**2) / 2)


def _shape(y: Floats) -> Floats:
    """Crest, kurtosis, waveform, mobility and complexity as log10, skewness, sign changes, variation and crest of blocks."""
    slope = np.diff(y, axis=1)
    moving = np.sqrt(np.mean(slope**2, axis=1))
    turning = np.sqrt(np.mean(np.diff(slope, axis=1) ** 2, axis=1))
    parts = min(max(y.shape[1] // 32, 1), 16)
    blocks = y[:, : y.shape[1] // parts * parts].reshape(len(y), parts, -1)
    blocks = np.maximum(np.sqrt(np.mean(blocks**2, axis=2)), LOWEST)
    middle = blocks.mean(axis=1)
    columns = [
        _log(np.abs(y).max(axis=1)),
        _log(np.mean(y**4, axis=1)),
        _log(np.mean(np.abs(y), axis=1)),
        _log(moving),
        _log(turning) - _log(moving),
        np.mean(y**3, axis=1),
        np.mean(np.signbit(y[:, 1:]) != np.signbit(y[:, :-1]), axis=1),
        _log(blocks.std(axis=1) / middle + 1e-3),
        _log(blocks.max(axis=1) / middle),
    ]
    return np.stack(columns, axis=1)


def _log(values: Floats) -> Floats:
    return np.log10(np.maximum(values, LOWEST))


def standardised(arrays: Arrays, found: Floats, sensor: NDArray[np.intp], covariates: NDArray[Any]) -> Floats:
    """Features (n, f) without what the covariates (n, k) explain, in units of their sensor.

    ``sensor`` (n,) codes, -1 = unknown: the row of all sensors, which is the last one of every table.
    """
    found = unexplained(arrays, found, sensor, covariates)
    return np.clip((found - arrays["location"][sensor]) / arrays["scale"][sensor], -CLIP, CLIP)


def unexplained(arrays: Arrays, found: Floats, sensor: NDArray[np.intp], covariates: NDArray[Any]) -> Floats:
    """Features (n, f) less what a regression on the covariates (n, k) makes of their difference from the usual."""
    if "coefficients" in arrays:
        table = arrays["coefficients"]  # (sensors + 1, columns, f), or (1, columns, f) for all sensors
        row = sensor if len(table) > 1 else np.zeros(len(sensor), np.intp)
        for j, column in enumerate(columns(arrays, sensor, covariates).T):
            found = found - column[:, None] * table[row, j]
    return found


def columns(arrays: Arrays, sensor: NDArray[np.intp], covariates: NDArray[Any]) -> Floats:
    """Columns (n, c) of a quadratic regression on covariates (n, k), held in the range that was seen; NaN = not known."""
    low, high = arrays["basis.low"], arrays["basis.high"]
    held = np.clip(np.where(np.isfinite(covariates), covariates, arrays["basis.middle"][sensor]), low, high)
    unit = (held - (low + high) / 2) / np.where(high > low, high - low, 1.0)
    pairs = arrays["basis.pairs"].astype(np.intp)
    products = unit[:, pairs[:, 0]] * unit[:, pairs[:, 1]]
    return (np.concatenate([unit, products], axis=1) - arrays["basis.mean"]) / arrays["basis.scale"]


def inputs(arrays: Arrays, x: Floats) -> Floats:
    """Standardised features (n, f) -> (n, f + axes + 2): beside them their principal axes and two distances.

    The distances are those along the axes and beside them from the records that were presumed normal, as log.
    """
    centred = x - arrays["middle"]
    along = centred @ arrays["axes"].astype(np.float64)  # in units of the scatter along each axis
    beside = np.sum(centred**2, axis=1) - np.sum(along**2 * arrays["spread"], axis=1)
    distances = np.stack([np.mean(along**2, axis=1), np.maximum(beside, 0.0) / arrays["rest"]], axis=1)
    distances = (np.log(distances + 0.01) - arrays["distance.location"]) / arrays["distance.scale"]
    return np.concatenate([x / 2, along / 2, distances], axis=1)


def network(arrays: Arrays, x: Floats) -> Floats:
    """Inputs (n, i) -> scores (n,): the mean over networks of two hidden layers each."""
    h = x.astype(np.float32)
    for layer in ("1", "2"):
        h = np.maximum(h @ arrays["w" + layer].astype(np.float32) + arrays["b" + layer], 0.0)  # (networks, n, hidden)
    y = (h @ arrays["w3"].astype(np.float32) + arrays["b3"]).mean(axis=0)[:, 0]
    return np.asarray(np.sinh(np.clip(y.astype(np.float64), -LARGEST, LARGEST)))


def score(arrays: Arrays, x: NDArray[Any], sensor: NDArray[np.intp], covariates: NDArray[Any]) -> Floats:
    """Records (n, C, T) of sensors with these codes (n,), with covariates (n, k), NaN = not known -> scores (n,)."""
    return network(arrays, inputs(arrays, standardised(arrays, features(x), sensor, covariates)))


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .safetensors file; of int8 where an array ``NAME.unit`` says what one step is worth."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    kinds: dict[str, Any] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I8": np.dtype("i1")}
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            arrays[name] = np.frombuffer(content[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return unpacked(arrays)


def unpacked(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """int8 arrays times what one step is worth."""
    return {
        name: array * arrays[f"{name}.unit"] if f"{name}.unit" in arrays else array
        for name, array in arrays.items()
        if not name.endswith(".unit")
    }


def read_records(path: Path, known: Sequence[str]) -> tuple[NDArray[Any], list[str], NDArray[Any], float]:
    """Signals (n, C, T), the names of their sensors, their ``known`` covariates (n, k) and the sampling rate.

    What the file does not say is an empty list, NaN and 0.
    """
    names: list[str] = []
    fs: list[float] = []
    given: list[Mapping[str, Any]] = []
    if path.suffix == ".npy":
        x = np.load(path, allow_pickle=False)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            x = file["signals"]
            names = [str(name) for name in file["sensor_id"]] if "sensor_id" in file.files else []
            fs = [float(file["fs"])] if "fs" in file.files else []
            if "covariates" in file.files:
                labels = [str(name) for name in file["covariate_names"]]
                given = [dict(zip(labels, row, strict=True)) for row in file["covariates"].tolist()]
    else:
        signals = []
        for line in filter(str.strip, path.read_text("utf-8").splitlines()):
            item = json.loads(line)
            value = item["signal_value"]
            signals.append([float(v) for v in value.split(",")] if isinstance(value, str) else value)
            names.append(str(item.get("sensor_id", "")))
            given.append(item.get("covariates") or {})
            fs += [float(item["fs"])] if "fs" in item else []
        x = np.array(signals, np.float32)  # ValueError where lengths differ
    if len(set(fs)) > 1:
        raise ValueError("records of different sampling rates")
    x = np.asarray(x[:, None, :] if x.ndim == 2 else x, np.float32)
    covariates = np.full((len(x), len(known)), np.nan)
    for i, row in enumerate(given):
        covariates[i] = [np.nan if row.get(name) is None else float(row[name]) for name in known]
    return x, names, covariates, fs[0] if fs else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Writes row, sensor, score and level of every record to stdout; the exit code.

    0; 2 where files beside the script are missing or damaged, or RECORDS is of no kind that is read; 3 where the records do
    not fit; 141 (128 + SIGPIPE) where whoever read the scores has ended.
    """
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
        return 141


def _run(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--int8", action="store_true", help="the weights of one byte each")
    parser.add_argument("--fs", type=float, default=0.0, help="sampling rate in Hz of a file that states none")
    parser.add_argument("--sensor", default="", help="sensor of a file that states none")
    asked = parser.parse_args(argv)
    folder = Path(__file__).parent
    file = folder / "student.json"
    try:
        about = json.loads(file.read_text("utf-8"))
        file = folder / ("student-int8.safetensors" if asked.int8 else "student.safetensors")
        weights = read_weights(file)
    except Exception as error:  # whatever is wrong with a file
        return refuse(f"{file} is missing or damaged: {error}", 2)
    if asked.records.suffix not in KINDS:
        return refuse(f"{asked.records} is none of {', '.join(KINDS)}", 2)
    try:
        x, names, covariates, fs = read_records(asked.records, about["covariates"])
    except Exception as error:  # likewise
        return refuse(f"{asked.records} cannot be read: {error}")
    fs = fs or asked.fs
    if x.ndim != 3 or x.shape[1:] != (about["channels"], about["length"]):
        return refuse(f"records are {x.shape[1:]}, the student reads {about['channels']} x {about['length']} samples")
    if fs != about["fs"]:
        said = f"the sampling rate is {fs:g} Hz" if fs else "no sampling rate is stated (--fs)"
        return refuse(f"{said}, the student was taught at {about['fs']:g} Hz")
    if len(bad := np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))):
        return refuse(f"record {bad[0]} holds values that are no numbers")
    names = names or [asked.sensor] * len(x)
    code = {name: i for i, name in enumerate(about["sensors"])}
    found = score(weights, x, np.array([code.get(name, -1) for name in names], np.intp), covariates)
    lacking = ~np.isfinite(covariates).all(axis=1)
    if n := int(lacking.sum()):
        lack, get = ("lacks", "gets") if n == 1 else ("lack", "get")
        said = f"{n} of {len(x)} records {lack} {', '.join(about['covariates'])} and {get} no level"
        warn(f"{said}: what these explain stays in their scores")
    if strange := sorted(set(names) - set(about["sensors"])):
        warn(f"the student does not know sensor {', '.join(strange)}: scored as usual for all its sensors")
    lines = ["row,sensor_id,score,level"]
    for row, (name, value) in enumerate(zip(names, found.tolist(), strict=True)):
        level = next((cut for cut in ("alarm", "attention") if value > about["cuts"][cut]), "normal")
        level = "indeterminate" if lacking[row] else level
        lines.append(f"{row},{cell(name)},{value:.6g},{level}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def cell(text: str) -> str:
    """A quoted cell of the table, which no spreadsheet takes for a formula."""
    safe = ("'" if text.startswith(FORMULA) else "") + printable(text)
    return '"' + safe.replace('"', '""') + '"'


def printable(text: str) -> str:
    """The text in one line, with control and other invisible characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def warn(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"warning: {printable(message)}\n")


def refuse(message: str, code: int = 3) -> int:
    """One line on stderr; gives the exit code, by default that of input that cannot be used."""
    sys.stderr.write(f"error: {printable(message)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
