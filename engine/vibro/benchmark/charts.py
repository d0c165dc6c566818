"""The charts of a benchmark's report: paired differences, mean ranks, learning curve, accuracy against seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from vibro.benchmark.analysis import NO_SYSTEM
from vibro.benchmark.statistics import LEVEL
from vibro.report.messages import translate
from vibro.report.svg import Svg, drawing, element, text
from vibro.words import counted

WIDTH = 1080.0
MOST = 24  # rows of a chart: more cannot be read; the tables hold all
CURVES = 6


def forest(pairs: Sequence[Mapping[str, Any]], lead: str, lang: str = "en") -> Svg | None:
    """Difference of ``lead`` to each competitor with its 95 % interval, the strongest competitor first; right: lead is better."""
    pairs = sorted((p for p in pairs if p["diff"] is not None), key=lambda p: float(p["diff"]))[:MOST]
    if not pairs:
        return None
    left, right, top, step = 250.0, WIDTH - 210.0, 34.0, 22.0
    ends = [value for p in pairs for value in (p["diff"], p["lo"], p["hi"]) if value is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    unit = _step(high - low)
    low, high = floor(low / unit) * unit, max(ceil(high / unit) * unit, floor(low / unit) * unit + unit)
    bottom = top + step * len(pairs)

    def x(value: float) -> float:
        return float(left + (value - low) / (high - low) * (right - left))

    parts = []
    for i in range(round((high - low) / unit) + 1):
        value = low + i * unit
        parts += [element("line", x1=x(value), x2=x(value), y1=top, y2=bottom, class_="grid")]
        parts += [text(x(value), bottom + 17, "0" if abs(value) < unit / 2 else f"{value:+.3g}", "tick", "middle")]
    parts.append(element("line", x1=x(0), x2=x(0), y1=top - 4, y2=bottom, class_="axis"))
    parts.append(text(x(0) - 8, top - 12, translate("the other is better", lang), "tick", "end"))
    parts.append(text(x(0) + 8, top - 12, translate(f"{lead} is better", lang), "tick", "start"))
    for i, p in enumerate(pairs):
        y = top + step * (i + 0.5)
        sure = p["lo"] is not None and p["p"] is not None and p["p"] < LEVEL and p["lo"] * p["hi"] > 0
        side = "" if not sure else " better" if p["diff"] > 0 else " worse"
        parts.append(text(left - 12, y + 4, p["against"], "axis-label", "end"))
        told = f"{p['diff']:+.3f}"
        if p["lo"] is not None:
            parts.append(element("line", x1=x(p["lo"]), x2=x(p["hi"]), y1=y, y2=y, class_=f"whisker{side}"))
            told += f"  {p['lo']:+.3f} … {p['hi']:+.3f}"
        title = element("title", f"{p['against']}: {told}")
        parts.append(element("circle", title, cx=x(p["diff"]), cy=y, r=4.5, class_=f"point{side}"))
        parts.append(text(right + 14, y + 4, told, "tick", "start"))
    return drawing(WIDTH, bottom + 28, "paired differences with intervals", *parts)


def learning_curve(rows: Sequence[Mapping[str, Any]], first: Sequence[str], lang: str = "en") -> Svg | None:
    """Gain in mean average precision over the labels per class: of the ensembles in ``first``, then of those that gain most.

    Each point compares with and without labels on the same data sets; their number may differ along the axis and stands there.
    """
    counts = sorted({int(r["labelled_k"]) for r in rows})
    gains: dict[str, dict[int, float]] = {}
    for r in rows:
        gains.setdefault(r["name"], {})[int(r["labelled_k"])] = float(r["gain"])
    whole = [name for name, mine in gains.items() if len(mine) == len(counts) and not name.endswith(NO_SYSTEM)]
    names = sorted(whole, key=lambda n: (n not in first, -gains[n][counts[-1]]))[:CURVES]
    if not names:
        return None
    curves = {name: [0.0, *(gains[name][k] for k in counts)] for name in names}
    left, right, top, bottom = 60.0, WIDTH - 260.0, 16.0, 236.0
    values = [v for curve in curves.values() for v in curve]
    unit = _step(max(values) - min(values))
    low, high = floor(min(values) / unit) * unit, max(ceil(max(values) / unit), floor(min(values) / unit) + 1) * unit

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    def x(i: int) -> float:
        return left + i / len(counts) * (right - left)

    parts = _levels(low, high, left, right, y, "+.3g")
    sets = {int(r["labelled_k"]): r["data_sets"] for r in rows if r["name"] == names[0]}
    for i, k in enumerate((0, *counts)):
        parts += [element("line", x1=x(i), x2=x(i), y1=top, y2=bottom, class_="grid")]
        parts += [text(x(i), bottom + 18, str(k), "tick", "middle")]
        if k:
            told = counted(sets[k], "data set")
            parts += [text(x(i), bottom + 34, translate(told, lang), "tick", "middle")]
    below = top - 16.0
    for name, curve in sorted(curves.items(), key=lambda pair: -pair[1][-1]):
        points = " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(curve))
        parts.append(element("polyline", points=points, class_="line first" if name in first else "line other"))
        parts += [
            element("circle", element("title", f"{name}: {v:+.3f}"), cx=x(i), cy=y(v), r=3.5, class_="point")
            for i, v in enumerate(curve)
        ]
        below = max(below + 16, y(curve[-1]) + 4)
        parts.append(text(right + 12, below, f"{name}  {curve[-1]:+.3f}", "axis-label", "start"))
    parts.append(text(left, bottom + 34, translate("labels per class", lang), "axis-label", "start"))
    height = max(bottom + 44, below + 8)
    return drawing(WIDTH, height, "gain in mean average precision against labels per class", *parts)


def critical_difference(ranking: Mapping[str, Any], lang: str = "en") -> Svg:
    """Mean ranks on a line, bars over groups within the critical difference (Demsar, JMLR 7, 2006); the best ``MOST``."""
    every = [r["name"] for r in ranking["ranks"]]
    ranks = ranking["ranks"][:MOST]
    shown = {r["name"] for r in ranks}
    k, last = len(ranks), ceil(ranks[-1]["rank"])
    left, right, top, step = 260.0, WIDTH - 260.0, 46.0, 20.0
    half = ceil(k / 2)
    groups = [[name for name in clique if name in shown] for clique in ranking["cliques"]]
    bars = [group for group in groups if len(group) > 1]
    base = top + 14 + 10 * len(bars)
    height = base + step * half + 20

    def at(rank: float) -> float:
        return float(left + (rank - 1) / max(last - 1, 1) * (right - left))

    parts = [element("line", x1=left, x2=right, y1=top, y2=top, class_="axis")]
    every_nth = ceil(last / 16)
    for tick in range(1, last + 1, every_nth):
        parts += [element("line", x1=at(tick), x2=at(tick), y1=top - 5, y2=top, class_="axis")]
        parts += [text(at(tick), top - 9, str(tick), "tick", "middle")]
    cd = ranking["critical_difference"]
    stop = min(at(1 + cd), right)
    parts += [element("line", x1=left, x2=stop, y1=12.0, y2=12.0, class_="axis")]
    parts += [text(stop + 6, 16, translate(f"critical difference {cd:.2f}", lang), "tick", "start")]
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
    told = "mean ranks with critical difference" + (f", the best {k} of {len(every)}" if k < len(every) else "")
    return drawing(WIDTH, height, told, *parts)


def accuracy_against_seconds(
    front: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], lang: str = "en"
) -> Svg | None:
    """Mean average precision over seconds on a logarithmic axis: the front joined and named, others pale."""
    front, others = ([r for r in rows if r["seconds"] > 0] for rows in (front, others))
    rows = [*front, *others]
    if len(rows) < 2 or not front:
        return None
    left, right, top, bottom = 60.0, WIDTH - 220.0, 16.0, 256.0
    seconds, gains = [float(r["seconds"]) for r in rows], [float(r["average_precision"]) for r in rows]
    low = floor(log10(min(seconds)))
    high = max(ceil(log10(max(seconds))), low + 1)
    least, most = floor(min(gains) * 20) / 20, max(ceil(max(gains) * 20), floor(min(gains) * 20) + 1) / 20

    def x(seconds: float) -> float:
        return left + (log10(seconds) - low) / (high - low) * (right - left)

    def y(gain: float) -> float:
        return bottom - (gain - least) / (most - least) * (bottom - top)

    parts = [*_levels(least, most, left, right, y)]
    for power in range(low, high + 1):
        parts += [element("line", x1=x(10.0**power), x2=x(10.0**power), y1=top, y2=bottom, class_="grid")]
        parts += [text(x(10.0**power), bottom + 18, f"{10.0**power:g} s", "tick", "middle")]
    points = " ".join(f"{x(r['seconds']):.1f},{y(r['average_precision']):.1f}" for r in front)
    parts.append(element("polyline", points=points, class_="lead"))
    for r in [*others, *front]:
        title = element("title", f"{r['set']} ({r['fuser']}): {r['average_precision']:.3f}, {r['seconds']:.3g} s")
        kind = "point" if r in front else "point pale"
        parts.append(element("circle", title, cx=x(r["seconds"]), cy=y(r["average_precision"]), r=4.5, class_=kind))
    ends = [-1e9, -1e9]
    for r in reversed(front):  # the best first: where two would touch, the better one is named
        place = [x(r["seconds"]), y(r["average_precision"])]
        if abs(place[0] - ends[0]) > 120 or abs(place[1] - ends[1]) > 16:
            many = r["set"].count("+") + 1
            parts.append(
                text(
                    place[0] + 8,
                    place[1] - 7,
                    r["set"] if many == 1 else translate(f"{many} detectors", lang),
                    "tick",
                    "start",
                )
            )
            ends = place
    parts.append(text(left, bottom + 36, translate("seconds to fit and score", lang), "axis-label", "start"))
    return drawing(WIDTH, bottom + 46, "mean average precision against seconds", *parts)


def _levels(
    low: float, high: float, left: float, right: float, y: Callable[[float], float], form: str = ".3g"
) -> list[Svg]:
    """Lines of equal height with their values."""
    unit = _step(high - low)
    heights = [low + i * unit for i in range(floor((high - low) / unit + 1e-9) + 1)]
    lines = [element("line", x1=left, x2=right, y1=y(v), y2=y(v), class_="grid") for v in heights]
    return [
        *lines,
        *(text(left - 8, y(v) + 4, "0" if abs(v) < unit / 2 else format(v, form), "tick", "end") for v in heights),
    ]


def _step(span: float) -> float:
    """A round distance of ticks: about five of them over the span."""
    if span <= 0:
        return 0.1
    power = 10.0 ** floor(log10(span / 5))
    return next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 6)
