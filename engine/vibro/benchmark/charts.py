"""The two charts of a benchmark's report: critical-difference diagram and accuracy against seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from vibro.report.svg import Svg, drawing, element, text

WIDTH = 1080.0


def critical_difference(ranking: Mapping[str, Any]) -> Svg:
    """Mean ranks on a line, bars over groups within the critical difference (Demsar, JMLR 7, 2006)."""
    ranks = ranking["ranks"]
    k = len(ranks)
    left, right, top, step = 260.0, WIDTH - 260.0, 46.0, 20.0
    half = ceil(k / 2)
    bars = ranking["cliques"]
    base = top + 14 + 10 * len(bars)
    height = base + step * half + 20

    def at(rank: float) -> float:
        return left + (rank - 1) / max(k - 1, 1) * (right - left)

    parts = [element("line", x1=left, x2=right, y1=top, y2=top, class_="axis")]
    for tick in range(1, k + 1):
        parts += [element("line", x1=at(tick), x2=at(tick), y1=top - 5, y2=top, class_="axis")]
        parts += [text(at(tick), top - 9, str(tick), "tick", "middle")]
    cd = ranking["critical_difference"]
    stop = min(at(1 + cd), right)
    parts += [element("line", x1=left, x2=stop, y1=12.0, y2=12.0, class_="axis")]
    parts += [text(stop + 6, 16, f"critical difference {cd:.2f}", "tick", "start")]
    where = {r["name"]: r["rank"] for r in ranks}
    for i, clique in enumerate(bars):
        y = top + 10 + 10 * i
        ends = [at(where[name]) for name in clique]
        parts.append(element("line", x1=min(ends) - 4, x2=max(ends) + 4, y1=y, y2=y, class_="clique"))
    for i, r in enumerate(ranks):
        first = i < half
        y = base + step * (i if first else k - 1 - i) + 8
        x, edge = at(r["rank"]), (left - 10 if first else right + 10)
        parts.append(element("polyline", points=f"{x:.1f},{top} {x:.1f},{y:.1f} {edge:.1f},{y:.1f}", class_="lead"))
        label = f"{r['name']}  {r['rank']:.2f}" if first else f"{r['rank']:.2f}  {r['name']}"
        parts.append(text(edge + (-6 if first else 6), y + 4, label, "axis-label", "end" if first else "start"))
    return drawing(WIDTH, height, "mean ranks with critical difference", *parts)


def pareto_front(rows: Sequence[Mapping[str, Any]]) -> Svg | None:
    """Mean average precision over seconds on a logarithmic axis; None with fewer than two rows."""
    rows = [r for r in rows if r["seconds"] > 0]
    if len(rows) < 2:
        return None
    height, left, right, top, bottom = 280.0, 60.0, WIDTH - 220.0, 16.0, 236.0
    low = floor(log10(rows[0]["seconds"]))
    high = max(ceil(log10(rows[-1]["seconds"])), low + 1)
    gains = [float(r["average_precision"]) for r in rows]
    floor_gain, top_gain = (
        floor(min(gains) * 20) / 20,
        max(ceil(max(gains) * 20) / 20, floor(min(gains) * 20) / 20 + 0.05),
    )

    def x(seconds: float) -> float:
        return left + (log10(seconds) - low) / (high - low) * (right - left)

    def y(gain: float) -> float:
        return bottom - (gain - floor_gain) / (top_gain - floor_gain) * (bottom - top)

    parts = []
    for power in range(low, high + 1):
        parts += [element("line", x1=x(10.0**power), x2=x(10.0**power), y1=top, y2=bottom, class_="grid")]
        parts += [text(x(10.0**power), bottom + 18, f"{10.0**power:g} s", "tick", "middle")]
    for gain in (floor_gain, (floor_gain + top_gain) / 2, top_gain):
        parts += [element("line", x1=left, x2=right, y1=y(gain), y2=y(gain), class_="grid")]
        parts += [text(left - 8, y(gain) + 4, f"{gain:.3g}", "tick", "end")]
    points = " ".join(f"{x(r['seconds']):.1f},{y(r['average_precision']):.1f}" for r in rows)
    parts.append(element("polyline", points=points, class_="lead"))
    for r in rows:
        title = element("title", f"{r['set']} ({r['fuser']}): {r['average_precision']:.3f}, {r['seconds']:.3g} s")
        parts.append(
            element("circle", title, cx=x(r["seconds"]), cy=y(r["average_precision"]), r=5, class_="mark normal")
        )
    parts.append(text(left, height - 8, "seconds to fit and score", "axis-label", "start"))
    return drawing(WIDTH, height, "mean average precision against seconds", *parts)
