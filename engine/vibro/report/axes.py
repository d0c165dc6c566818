"""What charts share: axes, cuts, labels, and a series of scores in stretches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report.scale import Scale, time_ticks
from vibro.report.svg import Svg, element, text
from vibro.report.texts import Texts

Array = NDArray[np.float64]
WIDTH = 1080.0
LETTER = 7.6  # width of a letter of an axis at most


def course(x: Array, score: Array, bins: int) -> tuple[Array, Array, Array, Array]:
    """Centre, lowest, median and highest score of stretches of x; single records where there are few."""
    order = np.argsort(x, kind="stable")
    x, score = x[order], score[order]
    if len(x) <= 2 * bins:
        return x, score, score, score
    pieces = np.array_split(np.arange(len(x)), bins)
    each = [(x[p].mean(), score[p].min(), np.median(score[p]), score[p].max()) for p in pieces]
    centre, low, middle, high = np.array(each).T
    return centre, low, middle, high


def upright_cuts(scale: Scale, cuts: tuple[float | None, float | None], top: float, base: float, t: Texts) -> list[Svg]:
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
        label = f"{t[name]} {short(cut)}"
        parts.append(text(place, top if below else top - 14, label, f"cut-label {name}", anchor))
    return parts


def bottom_axis(scale: Scale, base: float, label: str, height: float) -> list[Svg]:
    """The axis of scores below a chart."""
    parts = [element("line", x1=scale.start, x2=scale.end, y1=base, y2=base, class_="axis")]
    parts += [text(float(scale(v)), base + 16, short(v), "tick", "middle") for v in scale.ticks()]
    return [*parts, text((scale.start + scale.end) / 2, height - 6, label, "axis-label", "middle")]


def time_axis(scale: Scale, base: float, timed: bool, t: Texts, most: int = 9) -> list[Svg]:
    """The axis of time, or of the order of records; labels that would overlap are left out."""
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


def uneven_axis(bins: Array, left: float, end: float, base: float, timed: bool) -> list[Svg]:
    """The axis of columns that leave gaps out: where some of them begin."""
    parts = [element("line", x1=left, x2=end, y1=base, y2=base, class_="axis")]
    for j in range(0, len(bins) - 1, max(1, (len(bins) - 1) // 8)):
        x = left + (end - left) * j / (len(bins) - 1)
        parts.append(element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis"))
        parts.append(text(x, base + 16, time_label(bins[j], timed)[5:] if timed else f"{bins[j]:.0f}", "tick", "start"))
    return parts


def time_label(x: float, timed: bool = True) -> str:
    """``2024-01-02 03:30`` of seconds since 1970, or the number of a record; a dash where it is not known."""
    if not np.isfinite(x):
        return "–"
    return f"{np.datetime64(int(x), 's')}"[:16].replace("T", " ") if timed else f"{x:.0f}"


def short(value: Any) -> str:
    """A figure with three significant digits, a dash where there is none."""
    value = float(value)
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def clip(name: str, most: int) -> str:
    """A name, its beginning cut off where it is longer than that."""
    return name if len(name) <= most else "…" + name[1 - most :]
