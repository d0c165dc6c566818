"""Drawings small enough for a cell of a table, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.report.axes import Array, course, short
from vibro.report.scale import Scale
from vibro.report.svg import Svg, drawing, element, join, mark, polyline
from vibro.scoring.verdict import ALARM, INVALID

SHADES = 6  # classes h0..h5 of the style sheet


def sparkline(x: Array, score: Array, level: NDArray[np.int8], across: Scale, up: Scale) -> Svg:
    """The scores of one sensor over time, small enough for a table row."""
    good = np.isfinite(x) & np.isfinite(score) & (level != INVALID)
    centre, _, _, high = course(x[good], score[good], 40)
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
        title = element("title", f"{name}: z {short(z)}{'' if cut is None else f' / {short(cut)}'}")
        if not np.isfinite(z):
            class_ = "cell invalid"
        elif cut is not None and z > cut:
            class_ = "cell alarm"
        else:
            class_ = f"h{int(np.clip(z / cut * SHADES, 0, SHADES - 1)) if cut else 0}"
        class_ += "" if counts else " pale"
        parts.append(element("rect", title, x=i * size, y=0, width=size - 1, height=14, class_=class_))
    return drawing(max(1, len(cells)) * size, 14, "", *parts, natural=True)
