"""Score over time of every sensor, packed for the script that draws it, with what lies below and behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report.cases import moment
from vibro.report.data import RunData
from vibro.report.packing import packed, packed_codes, packed_places
from vibro.scoring.regression import sensor_rows

DRAWN = 1_000  # sensors, the worst ones
POINTS = 60_000  # of all sensors together; above, each stretch keeps its lowest and its highest record
COVARIATES = 3  # drawn below a trend


def trends(run: RunData, order: Sequence[int]) -> list[dict[str, Any]]:
    """One row per sensor, the first ``DRAWN`` of ``order``; sensors with a single place in time have none."""
    told = {row["sensor_id"]: row for row in run.summary.get("sensors", [])}
    spans = run.summary.get("fit_spans") or {}
    order = order[:DRAWN]
    each = POINTS // max(1, len(order))
    found = []
    of = sensor_rows(run.sensor)
    for code in order:
        rows = of[code][np.isfinite(run.x[of[code]])]
        rows = rows[np.argsort(run.x[rows], kind="stable")]
        if len(np.unique(run.x[rows])) < 2:
            continue
        rows = rows[_kept(run.judged[rows], each)]
        name = run.sensors[code]
        found.append(
            {
                "code": code,
                "name": name or "–",
                "machine": str((told.get(name) or {}).get("machine_id") or ""),
                "level": int(max((level for level in run.level[of[code]] if level < 3), default=0)),
                "x": packed_places(run.x[rows]),
                "y": packed(run.judged[rows]),
                "levels": packed_codes(run.level[rows]),
                "fit": _seconds(spans.get(name)),
                "covariates": _covariates(run, rows),
            }
        )
    return found


def overlapping(run: RunData) -> bool:
    """Whether the sensors were measured at the same time, so that one axis shows them all."""
    spans = []
    for rows in sensor_rows(run.sensor):
        x = run.x[rows][np.isfinite(run.x[rows])]
        if len(x):
            spans.append(float(np.ptp(x)))
    known = run.x[np.isfinite(run.x)]
    whole = float(np.ptp(known)) if len(known) else 0.0
    return not spans or float(np.median(spans)) >= 0.5 * whole


def _kept(score: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """The rows that draw the same picture: all, or the lowest and the highest of each stretch."""
    if len(score) <= most:
        return np.arange(len(score))
    kept = []
    for part in np.array_split(np.arange(len(score)), most // 2):
        known = np.where(np.isfinite(score[part]), score[part], 0.0)
        kept += [int(part[known.argmin()]), int(part[known.argmax()])]
    return np.unique(kept)


def _covariates(run: RunData, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
    """The covariates that vary over these rows."""
    found = []
    for name, values in run.covariates.items():
        mine = values[rows]
        known = mine[np.isfinite(mine)]
        if len(known) > 1 and np.ptp(known) > 0:
            found.append({"name": name, "y": packed(mine)})
    return found[:COVARIATES]


def _seconds(span: Sequence[str] | None) -> list[float] | None:
    if not span or not moment(span[0]):
        return None
    return [float(np.datetime64(end.removesuffix("Z"), "ms").astype(np.int64)) / 1000 for end in span]
