"""The charts of the report, drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report.axes import (
    WIDTH,
    Array,
    bottom_axis,
    clip,
    course,
    short,
    time_axis,
    time_label,
    uneven_axis,
    upright_cuts,
)
from vibro.report.cells import SHADES
from vibro.report.scale import Scale, score_scale
from vibro.report.svg import Svg, drawing, element, mark, polyline, text
from vibro.report.texts import Texts
from vibro.scoring.verdict import INDETERMINATE, INVALID, LEVELS, NORMAL

_MARKS = 150  # marks in one panel


def histogram(score: Array, cuts: tuple[float | None, float | None], t: Texts) -> Svg:
    """Histogram of fused scores; the cuts are bin edges, so that every bar belongs to one level."""
    height, left, right, top, bottom = 260.0, 56.0, 16.0, 34.0, 44.0
    score = score[np.isfinite(score)]
    scale = score_scale(score, left, WIDTH - right, *cuts)
    edges = _edges(scale, [c for c in cuts if c is not None and scale.lo < c < scale.hi], 72)
    counts, _ = np.histogram(score, edges)
    most = max(1, int(counts.max(initial=0)))
    base = height - bottom

    def rise(count: Any) -> Any:
        return base - np.log1p(count) / np.log1p(most) * (base - top)

    parts = [text(left - 8, rise(c) + 4, f"{c:,}", "tick", "end") for c in _count_ticks(most)]
    parts += [
        element("line", x1=left, x2=WIDTH - right, y1=rise(c), y2=rise(c), class_="grid") for c in _count_ticks(most)
    ]
    for count, a, b in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        if count:
            x, y = float(scale(a)), float(rise(count))
            label = element("title", f"{short(a)} … {short(b)}: {count:,}")
            level = _zone((a + b) / 2, cuts)
            wide = max(1.0, float(scale(b)) - x - 1)
            parts.append(element("rect", label, x=x, y=y, width=wide, height=base - y, class_=f"bar {level}"))
    parts.append(text(left - 8, top - 14, t["axis_records"], "axis-label", "end"))
    parts += bottom_axis(scale, base, t["axis_score"], height)
    parts += upright_cuts(scale, cuts, top, base, t)
    return drawing(WIDTH, height, t["h_scores"], *parts)


def heat_map(
    rows: Sequence[str],
    worst: Array,
    level: NDArray[np.int8],
    bins: Array,
    shade: Array,
    timed: bool,
    t: Texts,
    codes: Sequence[int] = (),
) -> Svg:
    """Sensors by time.

    ``worst`` (r, b) is the highest score, NaN = no record, ``level`` (r, b) its level, ``bins`` (b + 1,) the edges of
    time, ``shade`` (5,) the scores where a normal cell gets darker, ``codes`` (r,) the sensors for the script
    that follows a click.
    """
    left, top, cell = 150.0, 4.0, 20.0
    wide = (WIDTH - left - 10) / worst.shape[1]
    height = top + cell * len(rows) + 30
    parts = []
    for i, name in enumerate(rows):
        y = top + i * cell
        parts.append(text(left - 8, y + cell / 2 + 4, clip(name, 20), "label", "end"))
        for j in np.flatnonzero(np.isfinite(worst[i]) | (level[i] == INVALID) | (level[i] == INDETERMINATE)):
            kind = LEVELS[level[i, j]]
            class_ = f"h{np.searchsorted(shade, worst[i, j])}" if kind == "normal" else f"cell {kind}"
            title = f"{name} · {time_label(bins[j], timed)} · {t[kind]} · {short(worst[i, j])}"
            x = left + j * wide
            size = {"width": max(wide - 1, 0.5), "height": cell - 1}
            where = {"data_sensor": codes[i], "data_x": f"{bins[j]:.0f}"} if codes else {}
            rect = element("rect", element("title", title), x=x, y=y, class_=class_, **size, **where)
            parts.append(rect)
            if kind in ("alarm", "attention", "invalid") and wide > 7:
                parts.append(mark(kind, x + (wide - 1) / 2, y + cell / 2 - 0.5, 3.2, title))
    base = top + cell * len(rows)
    end = left + wide * worst.shape[1]
    if np.ptp(np.diff(bins[:-1])) > 1e-6 * (bins[-1] - bins[0]):
        parts += uneven_axis(bins, left, end, base, timed)
    else:
        parts += time_axis(Scale(float(bins[0]), float(bins[-1]), left, end), base, timed, t)
    return drawing(WIDTH, height, t["h_when"], *parts)


def panel(
    x: Array,
    score: Array,
    level: NDArray[np.int8],
    axes: tuple[Scale, Scale],
    cuts: tuple[float | None, float | None],
    timed: bool,
    t: Texts,
    pointed: tuple[float, float] | None = None,
) -> Svg:
    """Score of one sensor over time: median line, band, cuts, a mark for every record that is not normal.

    ``pointed`` is a place to ring.
    """
    across, up = axes
    height, base = up.start + 26, up.start
    parts = [text(across.start - 6, float(up(v)) + 4, short(v), "tick", "end") for v in up.ticks()]
    parts += [element("line", x1=across.start, x2=across.end, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    for name, cut in zip(("attention", "alarm"), cuts, strict=True):
        if cut is not None:
            parts.append(element("line", x1=across.start, x2=across.end, y1=up(cut), y2=up(cut), class_=f"cut {name}"))
    good = np.isfinite(x) & np.isfinite(score) & (level != INVALID)
    centre, low, middle, high = course(x[good], score[good], 160)
    if len(centre) > 1:
        outline = np.concatenate([centre, centre[::-1]]), np.concatenate([low, high[::-1]])
        parts.append(polyline(across(outline[0]), up(outline[1]), "band"))
        parts.append(polyline(across(centre), up(middle), "line"))
    elif len(centre):
        parts.append(mark("normal", float(across(centre[0])), float(up(middle[0])), 4))
    odd = np.flatnonzero(np.isfinite(x) & (level != NORMAL) & (level != INDETERMINATE))
    order = odd[np.argsort(-np.nan_to_num(score[odd], nan=-np.inf), kind="stable")][:_MARKS]
    for i in order[::-1]:
        y = float(up(score[i])) if np.isfinite(score[i]) and level[i] != INVALID else base - 5
        title = f"{time_label(x[i], timed)} · {t[LEVELS[level[i]]]} · {short(score[i])}"
        parts.append(mark(LEVELS[level[i]], float(across(x[i])), y, 3.6, title))
    if pointed:
        parts.append(element("circle", cx=pointed[0], cy=pointed[1], r=9, class_="ring"))
    parts += time_axis(across, base, timed, t, most=max(4, round((across.end - across.start) / 120)))
    return drawing(across.end + 12, height, t["h_trend"], *parts)


def matrix(names: Sequence[str], values: Array, t: Texts) -> Svg:
    """Rank correlations between detectors."""
    cell, left = 34.0, 150.0
    top = 6.0
    parts = []
    for i, name in enumerate(names):
        y = top + i * cell
        parts.append(text(left - 8, y + cell / 2 + 4, clip(name, 20), "label", "end"))
        parts.append(text(left + (i + 0.5) * cell, top + len(names) * cell + 14, str(i + 1), "tick", "middle"))
        parts.append(text(left + len(names) * cell + 8, y + cell / 2 + 4, str(i + 1), "tick", "start"))
        for j in range(len(names)):
            value = float(values[i, j])
            if not np.isfinite(value):
                continue
            class_ = "against" if value < 0 else f"h{min(SHADES - 1, int(value * SHADES))}"
            title = element("title", f"{name} · {names[j]}: {value:.2f}")
            x = left + j * cell
            parts.append(element("rect", title, x=x, y=y, width=cell - 1, height=cell - 1, class_=class_))
            ink = "cell-ink dark" if value >= 0.5 else "cell-ink"
            parts.append(
                text(
                    x + cell / 2,
                    y + cell / 2 + 4,
                    f"{value:.2f}".replace("0.", ".") if abs(value) < 0.995 else f"{value:.0f}",
                    ink,
                    "middle",
                )
            )
    size = left + len(names) * cell + 40
    return drawing(size, top + len(names) * cell + 22, t["h_alike"], *parts, class_="chart", natural=True)


def dots(rows: Sequence[tuple[str, str, float | None, float | None]], prior: float | None, t: Texts) -> Svg:
    """One line per scorer (name, group, ROC AUC, average precision) on an axis from 0 to 1, with chance levels."""
    left, line, top = 190.0, 22.0, 6.0
    base = top + line * len(rows)
    scale = Scale(0.0, 1.0, left, WIDTH - 60)
    parts = [element("line", x1=scale(v), x2=scale(v), y1=top, y2=base, class_="grid") for v in (0, 0.25, 0.75, 1)]
    parts.append(element("line", x1=scale(0.5), x2=scale(0.5), y1=top, y2=base, class_="cut chance"))
    if prior is not None:
        parts.append(element("line", x1=scale(prior), x2=scale(prior), y1=top, y2=base, class_="cut prior"))
    for i, (name, group, auc, ap) in enumerate(rows):
        y = top + (i + 0.5) * line
        parts.append(text(left - 10, y + 4, clip(name, 24), f"label {group}", "end"))
        for shape, value, what in (("attention", ap, t["average_precision"]), ("normal", auc, t["roc_auc"])):
            if value is not None and np.isfinite(value):
                bad = " worse" if shape == "normal" and value < 0.5 and group != "baselines" else ""
                title = f"{name} · {what} {value:.3f}"
                sign = mark(shape, float(scale(value)), y, 5 if shape == "attention" else 7, title)
                parts.append(element("g", sign, class_=f"{'ap' if shape == 'attention' else 'auc'}{bad} {group}"))
        if auc is not None and np.isfinite(auc):
            parts.append(text(WIDTH - 50, y + 4, f"{auc:.3f}", "tick", "start"))
    for v in (0, 0.25, 0.5, 0.75, 1):
        parts.append(text(float(scale(v)), base + 16, f"{v:g}", "tick", "middle"))
    return drawing(WIDTH, base + 22, t["h_labels"], *parts)


def _edges(scale: Scale, cuts: Sequence[float], bins: int) -> Array:
    """Edges of about ``bins`` bins of equal width on the axis, with the cuts among them."""
    stops = [scale.lo, *cuts, scale.hi]
    positions = scale.transform(stops)
    whole = float(positions[-1] - positions[0])
    edges = [np.array([scale.lo])]
    for a, b, stop in zip(positions[:-1], positions[1:], stops[1:], strict=True):
        steps = max(1, round(bins * float(b - a) / whole))
        edges += [scale.inverse(np.linspace(a, b, steps + 1)[1:-1]), np.array([stop])]
    found = np.concatenate(edges)
    found[-1] = np.nextafter(scale.hi, np.inf)
    return np.unique(found)


def _zone(value: float, cuts: tuple[float | None, float | None]) -> str:
    attention, alarm = cuts
    if alarm is not None and value > alarm:
        return "alarm"
    return "attention" if attention is not None and value > attention else "normal"


def _count_ticks(most: int) -> list[int]:
    return [c for c in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000) if c <= most]
