"""The charts of the report, drawn as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report.scale import Scale, score_scale, time_ticks
from vibro.report.svg import Svg, drawing, element, join, mark, polyline, text
from vibro.report.texts import Texts

Array = NDArray[np.float64]
WIDTH = 1080.0
NORMAL, ATTENTION, ALARM, INVALID, INDETERMINATE = range(5)
NAMES = ("normal", "attention", "alarm", "invalid", "indeterminate")
SHADES = 6  # classes h0..h5 of the style sheet
LETTER = 7.6  # width of a letter of an axis at most
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
            label = element("title", f"{_short(a)} … {_short(b)}: {count:,}")
            level = _zone((a + b) / 2, cuts)
            wide = max(1.0, float(scale(b)) - x - 1)
            parts.append(element("rect", label, x=x, y=y, width=wide, height=base - y, class_=f"bar {level}"))
    parts.append(text(left - 8, top - 14, t["axis_records"], "axis-label", "end"))
    parts += _bottom_axis(scale, base, t["axis_score"], height)
    parts += _upright_cuts(scale, cuts, top, base, t)
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
        parts.append(text(left - 8, y + cell / 2 + 4, _clip(name, 20), "label", "end"))
        for j in np.flatnonzero(np.isfinite(worst[i]) | (level[i] == INVALID) | (level[i] == INDETERMINATE)):
            kind = NAMES[level[i, j]]
            class_ = f"h{np.searchsorted(shade, worst[i, j])}" if kind == "normal" else f"cell {kind}"
            title = f"{name} · {_moment(bins[j], timed)} · {t[kind]} · {_short(worst[i, j])}"
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
        parts += _uneven_axis(bins, left, end, base, timed)
    else:
        parts += _time_axis(Scale(float(bins[0]), float(bins[-1]), left, end), base, timed, t)
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
    parts = [text(across.start - 6, float(up(v)) + 4, _short(v), "tick", "end") for v in up.ticks()]
    parts += [element("line", x1=across.start, x2=across.end, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    for name, cut in zip(("attention", "alarm"), cuts, strict=True):
        if cut is not None:
            parts.append(element("line", x1=across.start, x2=across.end, y1=up(cut), y2=up(cut), class_=f"cut {name}"))
    good = np.isfinite(x) & np.isfinite(score) & (level != INVALID)
    centre, low, middle, high = _course(x[good], score[good], 160)
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
        title = f"{_moment(x[i], timed)} · {t[NAMES[level[i]]]} · {_short(score[i])}"
        parts.append(mark(NAMES[level[i]], float(across(x[i])), y, 3.6, title))
    if pointed:
        parts.append(element("circle", cx=pointed[0], cy=pointed[1], r=9, class_="ring"))
    parts += _time_axis(across, base, timed, t, most=max(4, round((across.end - across.start) / 120)))
    return drawing(across.end + 12, height, t["h_trend"], *parts)


def sparkline(x: Array, score: Array, level: NDArray[np.int8], across: Scale, up: Scale) -> Svg:
    """The scores of one sensor over time, small enough for a table row."""
    good = np.isfinite(x) & np.isfinite(score) & (level != INVALID)
    centre, _, _, high = _course(x[good], score[good], 40)
    parts = [polyline(across(centre), up(high), "line")] if len(centre) > 1 else []
    odd = np.flatnonzero(good & (level == ALARM))
    for i in odd[np.argsort(-score[odd], kind="stable")][:12]:
        parts.append(mark("alarm", float(across(x[i])), float(up(score[i])), 2.4))
    return drawing(across.end + 4, up.start + 3, "", *parts, class_="spark")


def loss_curve(loss: Sequence[float | None]) -> Svg | None:
    """The loss of a training after each epoch, from the highest to the lowest; None with less than two."""
    values = np.array([np.nan if v is None else v for v in loss], dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    wide, high = 90.0, 22.0
    span = max(float(np.ptp(values)), 1e-12)
    y = 2 + (high - 4) * (values.max() - values) / span
    label = f"{values[0]:.3g} … {values.min():.3g} … {values[-1]:.3g}"
    line = polyline(np.linspace(1, wide - 1, len(values)), y, "line")
    return drawing(wide, high, label, element("title", label), line, class_="spark")


def meter(value: float | None, most: float, class_: str = "normal") -> Svg:
    """A small bar for a table cell."""
    part = 0.0 if value is None or value != value or most <= 0 else min(1.0, max(0.0, value / most))
    back = element("rect", x=0, y=0, width=48, height=8, rx=2, class_="meter-back")
    front = element("rect", x=0, y=0, width=48 * part, height=8, rx=2, class_=f"bar {class_}") if part > 0 else Svg()
    return drawing(48, 8, "", back, front, class_="meter")


def bar(row: Mapping[str, Any]) -> Svg:
    """A detector's z as a bar as long as its place, with its own cut; ``times`` and ``most`` are multiples of the cut."""
    times, most = row["times"] or 0.0, row["most"]
    level = "alarm" if times > 1 else "normal"
    cut = 100 / most
    parts = [
        element("rect", x=0, y=0, width=100, height=10, class_="meter-back"),
        element("rect", x=0, y=0, width=100 * times / most, height=10, class_=f"bar {level}"),
        element("line", x1=cut, x2=cut, y1=0, y2=10, class_="own-cut"),
    ]
    return element(
        "svg", join(*parts), viewBox="0 0 100 10", preserveAspectRatio="none", class_="long", aria_hidden="true"
    )


def strip(cells: Sequence[tuple[str, float, float | None, bool]]) -> Svg:
    """A cell per detector (name, z, own cut, whether it has a weight), darker nearer to its cut, orange above it."""
    size, parts = 12, []
    for i, (name, z, cut, counts) in enumerate(cells):
        title = element("title", f"{name}: z {_short(z)}{'' if cut is None else f' / {_short(cut)}'}")
        if not np.isfinite(z):
            class_ = "cell invalid"
        elif cut is not None and z > cut:
            class_ = "cell alarm"
        else:
            class_ = f"h{int(np.clip(z / cut * SHADES, 0, SHADES - 1)) if cut else 0}"
        class_ += "" if counts else " pale"
        parts.append(element("rect", title, x=i * size, y=0, width=size - 1, height=14, class_=class_))
    return drawing(max(1, len(cells)) * size, 14, "", *parts, natural=True)


def matrix(names: Sequence[str], values: Array, t: Texts) -> Svg:
    """Rank correlations between detectors."""
    cell, left = 34.0, 150.0
    top = 6.0
    parts = []
    for i, name in enumerate(names):
        y = top + i * cell
        parts.append(text(left - 8, y + cell / 2 + 4, _clip(name, 20), "label", "end"))
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
        parts.append(text(left - 10, y + 4, _clip(name, 24), f"label {group}", "end"))
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


def _course(x: Array, score: Array, bins: int) -> tuple[Array, Array, Array, Array]:
    """Centre, lowest, median and highest score of stretches of x; single records where there are few."""
    order = np.argsort(x, kind="stable")
    x, score = x[order], score[order]
    if len(x) <= 2 * bins:
        return x, score, score, score
    pieces = np.array_split(np.arange(len(x)), bins)
    each = [(x[p].mean(), score[p].min(), np.median(score[p]), score[p].max()) for p in pieces]
    centre, low, middle, high = np.array(each).T
    return centre, low, middle, high


def _zone(value: float, cuts: tuple[float | None, float | None]) -> str:
    attention, alarm = cuts
    if alarm is not None and value > alarm:
        return "alarm"
    return "attention" if attention is not None and value > attention else "normal"


def _upright_cuts(
    scale: Scale, cuts: tuple[float | None, float | None], top: float, base: float, t: Texts
) -> list[Svg]:
    """The cuts as lines with their names, placed so that they overlap neither the border nor each other."""
    parts = []
    for name, cut in zip(("attention", "alarm"), cuts, strict=True):
        if cut is None:
            continue
        x = float(scale(cut))
        near = x < 150  # no room left of it
        below = name == "attention" and cuts[1] is not None and (near or x > WIDTH - 240)
        left = (name == "attention" and not near) or x > WIDTH - 120
        place, anchor = (x - 6, "end") if left else (x + 6, "start")
        parts.append(element("line", x1=x, x2=x, y1=top - 10, y2=base, class_=f"cut {name}"))
        label = f"{t[name]} {_short(cut)}"
        parts.append(text(place, top if below else top - 14, label, f"cut-label {name}", anchor))
    return parts


def _count_ticks(most: int) -> list[int]:
    return [c for c in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000) if c <= most]


def _bottom_axis(scale: Scale, base: float, label: str, height: float) -> list[Svg]:
    parts = [element("line", x1=scale.start, x2=scale.end, y1=base, y2=base, class_="axis")]
    parts += [text(float(scale(v)), base + 16, _short(v), "tick", "middle") for v in scale.ticks()]
    return [*parts, text((scale.start + scale.end) / 2, height - 6, label, "axis-label", "middle")]


def _time_axis(scale: Scale, base: float, timed: bool, t: Texts, most: int = 9) -> list[Svg]:
    parts = [element("line", x1=scale.start, x2=scale.end, y1=base, y2=base, class_="axis")]
    if not timed:
        ends = [(scale.lo, f"{scale.lo:.0f}", "start"), (scale.hi, f"{scale.hi:.0f}", "end")]
        parts += [text(float(scale(v)), base + 16, label, "tick", anchor) for v, label, anchor in ends]
        return [*parts, text((scale.start + scale.end) / 2, base + 16, t["axis_order"], "axis-label", "middle")]
    free = -np.inf
    for value, label in time_ticks(scale.lo, scale.hi, most):
        x = float(scale(value))
        parts.append(element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis"))
        begin = min(x, scale.end) - LETTER * len(label) if x > scale.end - 36 else x - LETTER * len(label) / 2
        if begin < free:
            continue
        free = begin + LETTER * (len(label) + 1)
        parts.append(text(min(x, scale.end), base + 16, label, "tick", "end" if x > scale.end - 36 else "middle"))
    return parts


def _uneven_axis(bins: Array, left: float, end: float, base: float, timed: bool) -> list[Svg]:
    """The axis of columns that leave gaps out: where some of them begin."""
    parts = [element("line", x1=left, x2=end, y1=base, y2=base, class_="axis")]
    for j in range(0, len(bins) - 1, max(1, (len(bins) - 1) // 8)):
        x = left + (end - left) * j / (len(bins) - 1)
        parts.append(element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis"))
        parts.append(text(x, base + 16, _moment(bins[j], timed)[5:] if timed else f"{bins[j]:.0f}", "tick", "start"))
    return parts


def _moment(x: float, timed: bool) -> str:
    return f"{np.datetime64(int(x), 's')}"[:16].replace("T", " ") if timed else f"{x:.0f}"


def _short(value: Any) -> str:
    value = float(value)
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _clip(name: str, most: int) -> str:
    return name if len(name) <= most else "…" + name[1 - most :]
