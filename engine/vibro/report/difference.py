"""Two runs compared: what ``vibro diff`` found, and its page - the change in one sentence, scores of A against B, causes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.io import files
from vibro.report.page import count, fill, number, score
from vibro.report.scale import Scale, score_scale
from vibro.report.svg import Svg, drawing, element, mark, polyline, text
from vibro.report.texts import Texts, texts
from vibro.scoring.verdict import LEVELS
from vibro.store.tables import printable

PARTS = ("data", "view", "detector", "calibration", "weight", "cut")  # in the order in which a verdict comes about
JUDGED = LEVELS[:3]  # from low to high
ROWS = 500  # of the page's table
MARKS = 400  # changed records in the picture
SIDE = 470.0  # of a picture
CELL = 6  # pixels of a place where unchanged records are counted


@dataclass(frozen=True)
class Difference:
    """Two runs compared.

    ``runs``: their names; ``parts``: (part, what is different) in the order in which a verdict comes about; ``both``,
    ``only_a``, ``only_b``, ``other_samples``: records; ``changed``: one entry a record whose level changed; ``causes``: part ->
    such records. ``judged`` (2, both): the scores that the levels of A and B go by, of the records of both; ``moved``: the
    columns of the changed ones; ``cuts`` (2, 2): attention and alarm cut of A and B, NaN = none.
    """

    runs: tuple[str, str]
    parts: list[tuple[str, str]]
    both: int
    only_a: int
    only_b: int
    other_samples: int
    changed: list[dict[str, Any]]
    causes: Mapping[str, int]
    judged: NDArray[np.float64]
    moved: NDArray[np.intp]
    cuts: NDArray[np.float64]

    @property
    def table(self) -> dict[str, Any]:
        """The JSON object of ``vibro diff --json``."""
        return {
            "parts": [{"part": part, "what": what} for part, what in self.parts],
            **{key: getattr(self, key) for key in ("both", "only_a", "only_b", "other_samples", "changed", "causes")},
        }


def headline(found: Difference, t: Texts) -> str:
    """What changed, in one sentence."""
    if not found.both:
        return t["diff_nothing"]
    if found.changed:
        said = t["and"].join(f"{cause_words(cause, t)} {n:,}" for cause, n in found.causes.items())
        return t["diff_changed"].format(k=count(len(found.changed)), n=count(found.both), causes=said)
    a, b = found.judged
    if np.array_equal(a, b, equal_nan=True):
        return t["diff_equal"].format(n=count(found.both))
    apart = np.abs(a - b)
    known = apart[np.isfinite(apart)]
    return t["diff_equal_levels"].format(n=count(found.both), most=number(known.max() if len(known) else None))


def cause_words(cause: str, t: Texts) -> str:
    """``view or detector`` in the language of the reader."""
    return t["or"].join(t[f"part_{part}"] for part in cause.split(" or "))


def moves(found: Difference) -> list[tuple[str, str, int]]:
    """(level in A, level in B, records), the most frequent first."""
    counted = Counter((row["level_a"], row["level_b"]) for row in found.changed)
    return [(a, b, n) for (a, b), n in counted.most_common()]


def render_difference(found: Difference, lang: str = "en") -> str:
    """The HTML page of a comparison; ``lang`` is ``en`` or ``zh``."""
    t = texts(lang)
    rank = {level: i for i, level in enumerate(("normal", "indeterminate", "invalid", "attention", "alarm"))}
    worst = sorted(
        found.changed, key=lambda row: (-rank[row["level_b"]], -np.nan_to_num(row["persistent_score_b"], nan=-np.inf))
    )
    values = {
        "runs": [printable(name) for name in found.runs],
        "found": found,
        "headline": headline(found, t),
        "moves": moves(found),
        "parts": [(cause_words(part, t), printable(what)) for part, what in found.parts],
        "scatter": scatter(found, t) if found.both else None,
        "unseen": int((~np.isfinite(found.judged)).any(axis=0).sum()),
        "undrawn": max(0, int(np.isfinite(found.judged[:, found.moved]).all(axis=0).sum()) - MARKS),
        "bars": cause_bars(found, t) if found.changed else None,
        "rows": [
            {
                **row,
                **{key: printable(row[key]) for key in ("record_id", "sensor_id")},
                "cause": cause_words(row["cause"], t),
            }
            for row in worst[:ROWS]
        ],
        "signs": {level: drawing(14, 14, "", mark(level, 7, 7, 5)) for level in JUDGED},
    }
    return fill("difference.html.j2", values, lang)


def write_difference(found: Difference, out: Path, lang: str = "en") -> None:
    """Writes the page to a file, atomically."""
    files.write_page(out, render_difference(found, lang))


def scatter(found: Difference, t: Texts) -> Svg:
    """Scores of B over those of A: shades where unchanged records are, a mark for each changed one, the cuts as lines."""
    left, top, right, bottom = 58.0, 10.0, 12.0, 44.0
    a, b = found.judged
    across = score_scale(a, left, SIDE - right, *found.cuts[0])
    up = score_scale(b, SIDE - bottom, top, *found.cuts[1])
    parts = [*_axes(across, up, t)]
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(found.judged).all(axis=0))
    same = seen.copy()
    same[found.moved] = False
    parts += _shades(across(a[same]), up(b[same]))
    low, high = max(across.lo, up.lo), min(across.hi, up.hi)
    if low < high:
        line = up.inverse(np.linspace(up.transform(low), up.transform(high), 80))
        parts.append(polyline(across(line), up(line), "line other"))
    for name, cut_a, cut_b in zip(("attention", "alarm"), *found.cuts, strict=True):
        if np.isfinite(cut_a):
            label = element("title", f"A: {t[name]} {score(cut_a)}")
            parts.append(
                element("line", label, x1=across(cut_a), x2=across(cut_a), y1=up.end, y2=up.start, class_=f"cut {name}")
            )
        if np.isfinite(cut_b):
            label = element("title", f"B: {t[name]} {score(cut_b)}")
            parts.append(
                element("line", label, x1=across.start, x2=across.end, y1=up(cut_b), y2=up(cut_b), class_=f"cut {name}")
            )
    for i, row in [(i, row) for i, row in zip(found.moved, found.changed, strict=True) if seen[i]][:MARKS]:
        title = (
            f"{printable(row['record_id'])} · {printable(row['sensor_id'])} · {t[row['level_a']]} → {t[row['level_b']]} · "
            f"{score(a[i])} → {score(b[i])} · {cause_words(row['cause'], t)}"
        )
        parts.append(mark(row["level_b"], float(across(a[i])), float(up(b[i])), 5, title))
    return drawing(SIDE, SIDE, t["h_diff_scores"], *parts, natural=True)


def cause_bars(found: Difference, t: Texts) -> Svg:
    """A bar for each part: how many verdicts it changed, those to a higher level first."""
    left, line, top = 150.0, 30.0, 6.0
    names = [*PARTS, *(cause for cause in found.causes if cause not in PARTS)]
    stated = {part for part, _ in found.parts}
    wide = (SIDE - left - 60) / max(found.causes.values())
    parts = []
    for i, name in enumerate(names):
        y = top + i * line
        parts.append(text(left - 10, y + line / 2 + 4, cause_words(name, t), "label", "end"))
        x = left
        for direction, n in _directions(found, name).items():
            if n:
                title = element("title", f"{cause_words(name, t)}: {t[f'diff_{direction}']} {n:,}")
                kind = {"raised": "bar alarm", "lowered": "bar normal", "unjudged": "meter-back"}[direction]
                parts.append(element("rect", title, x=x, y=y + 5, width=n * wide, height=line - 10, class_=kind))
                x += n * wide
        told = f"{found.causes[name]:,}" if name in found.causes else "0" if name in stated else "–"
        parts.append(text(x + 8, y + line / 2 + 4, told, "tick", "start"))
    parts.append(element("line", x1=left, x2=left, y1=top, y2=top + line * len(names), class_="axis"))
    return drawing(SIDE, top + line * len(names) + 6, t["h_diff_causes"], *parts, natural=True)


def _directions(found: Difference, cause: str) -> dict[str, int]:
    """How many verdicts a cause raised, lowered, or changed from or to no judgement."""
    counted = {"raised": 0, "lowered": 0, "unjudged": 0}
    for row in found.changed:
        if row["cause"] == cause:
            known = row["level_a"] in JUDGED and row["level_b"] in JUDGED
            higher = known and JUDGED.index(row["level_b"]) > JUDGED.index(row["level_a"])
            counted["raised" if higher else "lowered" if known else "unjudged"] += 1
    return counted


def _axes(across: Scale, up: Scale, t: Texts) -> list[Svg]:
    parts = [element("line", x1=across.start, x2=across.end, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    parts += [
        element("line", x1=across(v), x2=across(v), y1=up.end, y2=up.start, class_="grid") for v in across.ticks()
    ]
    parts += [text(across.start - 6, float(up(v)) + 4, f"{v:.3g}", "tick", "end") for v in up.ticks()]
    parts += [text(float(across(v)), up.start + 16, f"{v:.3g}", "tick", "middle") for v in across.ticks()]
    parts.append(element("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="axis"))
    parts.append(element("line", x1=across.start, x2=across.start, y1=up.end, y2=up.start, class_="axis"))
    parts.append(
        text((across.start + across.end) / 2, up.start + 36, t["diff_axis"].format(run="A"), "axis-label", "middle")
    )
    middle = (up.start + up.end) / 2
    turned = f"rotate(-90 14 {middle:.0f})"
    label = element(
        "text",
        t["diff_axis"].format(run="B"),
        x=14.0,
        y=middle,
        class_="axis-label",
        text_anchor="middle",
        transform=turned,
    )
    return [*parts, label]


def _shades(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[Svg]:
    """Squares, darker where more records lie."""
    places, n = np.unique((np.stack([x, y]) // CELL).astype(int), axis=1, return_counts=True)
    shade = 2 + np.round(3 * np.log(n) / np.log(max(2, n.max(initial=2)))).astype(int)
    size = {"width": CELL, "height": CELL}
    return [
        element("rect", x=int(i) * CELL, y=int(j) * CELL, class_=f"h{s}", **size)
        for i, j, s in zip(*places, shade, strict=True)
    ]
