"""Volume under the surface: ranking metrics for anomalies of some duration that tolerate early or late scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WIDEST = 20  # points of the widest buffer


def volume_under_surface(
    y: NDArray[np.int16], score: Floats, series: NDArray[np.intp] | None = None, widest: int = WIDEST
) -> tuple[float, float]:
    """VUS-ROC and VUS-PR of the points (n,) of one or more ``series``, in order of time: range AUC, mean over buffers 0..widest.

    A buffer of w points softens each anomaly: to w / 2 points on either side labels fall as sqrt(1 - distance / w). At
    every threshold recall is the soft true positives over the mean of plain and soft positives, at most 1, times the
    share of anomalies met at all. NaN without both classes. NaN scores rank lowest.

    Source: Paparrizos et al., Volume Under the Surface, PVLDB 15(11), 2022; every distinct score is a threshold here.
    """
    bad: NDArray[np.bool_] = np.asarray(y) == 1
    series = np.zeros(len(bad), np.intp) if series is None else np.asarray(series)
    if not bad.any() or bad.all():
        return float("nan"), float("nan")
    order = np.argsort(-np.nan_to_num(score, nan=-np.inf, posinf=1e300), kind="stable")
    falling = np.nan_to_num(score, nan=-np.inf, posinf=1e300)[order]
    last = np.append(falling[1:] != falling[:-1], True)  # of each threshold
    areas = [_range_areas(bad, _soft(bad, series, w), series, order, last) for w in range(widest + 1)]
    roc, pr = np.mean(areas, axis=0)
    return float(roc), float(pr)


def _soft(y: NDArray[np.bool_], series: NDArray[np.intp], w: int) -> Floats:
    """Labels (n,) in 0..1 with a buffer of w points; it does not reach into another series."""
    soft = y.astype(np.float64)
    for step in range(1, w // 2 + 1):
        value = np.sqrt(1 - step / w)
        for near, far in ((slice(step, None), slice(None, -step)), (slice(None, -step), slice(step, None))):
            reach = y[far] & (series[near] == series[far])
            soft[near] = np.maximum(soft[near], np.where(reach, value, 0.0))
    return soft


def _range_areas(
    y: NDArray[np.bool_], soft: Floats, series: NDArray[np.intp], order: NDArray[np.intp], last: NDArray[np.bool_]
) -> tuple[float, float]:
    """Range AUC-ROC and AUC-PR of soft labels."""
    touched = soft > 0
    begins = touched & np.append(True, ~touched[:-1] | (series[1:] != series[:-1]))
    event = np.where(touched, np.cumsum(begins), 0)[order]
    met = np.zeros(len(y), np.bool_)
    met[np.unique(event, return_index=True)[1]] = True  # first point of each anomaly in falling order
    met &= event > 0
    hits = np.cumsum(soft[order])[last]
    flagged = np.flatnonzero(last) + 1
    positives = 0.5 * (y.sum() + soft.sum())
    recall = np.minimum(hits / positives, 1.0) * np.cumsum(met)[last] / max(int(begins.sum()), 1)
    fpr = (flagged - hits) / (len(y) - positives)
    precision = hits / flagged
    recall, fpr = np.append(0.0, recall), np.append(0.0, fpr)
    return float(np.trapezoid(recall, fpr)), float((np.diff(recall) * precision).sum())
