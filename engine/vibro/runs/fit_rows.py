"""``--fit-on``: the rows of a batch that a run learns from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vibro.core.folds import make_rows
from vibro.core.rows import Rows
from vibro.data import SignalBatch, parse_time
from vibro.errors import ConfigError, DataError
from vibro.ingest.tables import Labels
from vibro.scoring.regression import sensor_rows
from vibro.words import counted

FORMS = "all, normal, split:NAME, first:0.2 (a share of each sensor's time), first:30d or until:2024-03-01"
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

Chosen = NDArray[np.bool_]


def check_fit_on(fit_on: str, labelled: bool) -> None:
    """ConfigError for a ``--fit-on`` that is not understood, or that needs labels where there are none."""
    kind, _, value = fit_on.partition(":")
    if kind in ("first", "until"):
        _baseline(fit_on)
        return
    if fit_on not in ("all", "normal") and not (kind == "split" and value):
        raise ConfigError(f"--fit-on {fit_on!r} is not known", hint=f"use {FORMS}")
    if fit_on != "all" and not labelled:
        raise ConfigError(f"--fit-on {fit_on} needs --labels")


def rows_to_fit(batch: SignalBatch, labels: Labels | None, fit_on: str) -> tuple[Rows, list[str]]:
    """The rows of ``--fit-on``, and sentences on what it left without any; ConfigError if it picks none.

    Rows of a baseline (``first``, ``until``) are judged by the scores that they had when they were held out. DataError
    where every record is invalid.
    """
    if not batch.valid.any():
        raise DataError("there is nothing to fit on: no record is valid", hint="vibro data check DATA says why")
    if fit_on == "all":
        return make_rows(batch), []
    kind, _, value = fit_on.partition(":")
    if kind in ("first", "until"):
        return _baseline_rows(batch, fit_on)
    assert labels is not None  # check_fit_on has seen to it
    wanted = labels.y == 0 if fit_on == "normal" else labels.split == value
    rows = np.flatnonzero(wanted & batch.valid)
    if not len(rows):
        known = ", ".join(sorted(set(map(str, labels.split)) - {""})) or "none"
        raise ConfigError(f"--fit-on {fit_on} picks no valid record (splits in the label table: {known})")
    return replace(make_rows(batch, rows, fit_on), clean=True), []


def _baseline_rows(batch: SignalBatch, fit_on: str) -> tuple[Rows, list[str]]:
    choose, chosen = _baseline(fit_on), np.zeros(len(batch), np.bool_)
    for mine in sensor_rows(batch.sensor):
        if len(mine):
            chosen[mine] = choose(batch.time[mine])
    rows = np.flatnonzero(chosen & batch.valid)
    if not len(rows):
        if np.isnat(batch.time).all():
            raise ConfigError(f"--fit-on {fit_on} picks no valid record", hint="vibro data check names what is wrong")
        first, last = (np.datetime_as_string(t, "s") for t in (np.nanmin(batch.time), np.nanmax(batch.time)))
        raise ConfigError(
            f"--fit-on {fit_on} picks no valid record: the records lie between {first} and {last}",
            hint="name a time within the records, or a share of them such as first:0.2",
        )
    without = [batch.sensors[c] for c in np.setdiff1d(batch.sensor, batch.sensor[rows])]
    said = []
    if without:
        names = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        one = len(without) == 1
        who, judged = counted(len(without), "sensor has", "sensors have"), "is judged" if one else "are judged"
        said = [f"{who} no record in the baseline {fit_on} and {judged} by the others': {names}"]
    return replace(make_rows(batch, rows, fit_on), judged_held_out=True, clean=True), said


def _baseline(fit_on: str) -> Callable[[NDArray[np.datetime64]], Chosen]:
    """From the times (n,) of one sensor's records in source order to which of them are its baseline."""
    kind, _, value = fit_on.partition(":")
    if kind == "until":
        try:
            until, _ = parse_time(value if "T" in value or " " in value else f"{value}T00:00:00")
        except ValueError:
            raise ConfigError(f"--fit-on {fit_on}: {value!r} is no date", hint="until:2024-03-01") from None
        return lambda time: np.asarray(_dated(time, fit_on) < until)
    span = _SPAN.fullmatch(value)
    if span:
        length = np.timedelta64(round(float(span[1]) * _SECONDS[span[2]] * 1e9), "ns")
        return lambda time: np.asarray(_dated(time, fit_on) <= time.min() + length)
    try:
        share = float(value)
    except ValueError:
        share = np.nan
    if not 0 < share <= 1:
        raise ConfigError(f"--fit-on {fit_on}: {value!r} is no share or span of time", hint=f"use {FORMS}")

    def first(time: NDArray[np.datetime64]) -> Chosen:
        if np.isnat(time).any():
            return np.asarray(np.arange(len(time)) < np.ceil(share * len(time)))
        since = (time - time.min()).astype("timedelta64[ns]").astype(np.float64)
        return np.asarray(since <= share * since.max())

    return first


def _dated(time: NDArray[np.datetime64], fit_on: str) -> NDArray[np.datetime64]:
    if np.isnat(time).any():
        raise ConfigError(f"--fit-on {fit_on} needs records with a time", hint="without times use a share: first:0.2")
    return time
