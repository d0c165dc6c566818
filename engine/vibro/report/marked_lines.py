"""Pictures of an explained record with the lines that its hypotheses name: marks in a spectrum, and the envelope spectrum."""

from __future__ import annotations

import numpy as np

from vibro.diagnosis.envelope import envelope, log_level
from vibro.diagnosis.hypothesis import Hypothesis, Mark
from vibro.diagnosis.lines import PAD, find_lines
from vibro.report.axes import WIDTH
from vibro.report.explain import Explanation
from vibro.report.scale import Scale
from vibro.report.svg import Svg, drawing, element, polyline, text
from vibro.report.texts import Texts

LOWEST_DB = -10.0


def marked(marks: tuple[Mark, ...], across: Scale, top: float, base: float, *, log: bool = False) -> list[Svg]:
    """A dashed upright for each line within the axis, named for a pointer and a screen reader."""
    parts = []
    for mark in marks:
        place = np.log10(mark.hz) if log else mark.hz
        if across.lo <= place <= across.hi:
            x = float(across(place))
            title = element("title", f"{mark.text}: {mark.hz:.4g} Hz")
            parts.append(element("line", title, x1=x, x2=x, y1=top, y2=base, class_="named-line"))
    return parts


def spectrum_marks(found: Explanation, channel: int) -> tuple[Mark, ...]:
    """Lines of a channel's spectrum that hypotheses name."""
    return tuple(m for h in found.diagnosis.named if h.channel == channel for m in h.marks if m.where == "spectrum")


def with_envelope(found: Explanation) -> Hypothesis | None:
    """The strongest hypothesis that was seen in an envelope."""
    return next((h for h in found.diagnosis.named if h.band is not None), None)


def envelope_spectrum(found: Explanation, named: Hypothesis, t: Texts) -> Svg:
    """The envelope's lines in dB over the noise around each, up to a little above the highest one that is marked."""
    height, left, top, bottom = 240.0, 64.0, 22.0, 40.0
    assert named.band is not None
    x = found.signal[named.channel].astype(np.float64)
    a, rate = envelope(x, found.fs, *named.band)
    lines = find_lines(log_level(a), rate)
    marks = tuple(m for m in named.marks if m.where == "envelope")
    highest = min(lines.top, 1.3 * max(m.hz for m in marks))
    hz = np.arange(PAD, int(highest / lines.step)) * lines.step
    level = np.maximum(10 * np.log10(np.maximum(lines.ratio[PAD : PAD + len(hz)], 1e-3)), LOWEST_DB)
    across = Scale(0.0, highest, left, WIDTH - 12)
    up = Scale(LOWEST_DB, float(level.max()) + 3, height - bottom, top)
    base = height - bottom
    parts = [text(left - 6, float(up(v)) + 4, f"{v:g}", "tick", "end") for v in up.ticks()]
    parts += [element("line", x1=left, x2=WIDTH - 12, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    parts += marked(marks, across, top, base)
    parts.append(polyline(across(hz), up(level), "line record"))
    parts.append(element("line", x1=left, x2=WIDTH - 12, y1=base, y2=base, class_="axis"))
    parts += [text(float(across(v)), base + 16, f"{v:g}", "tick", "middle") for v in across.ticks()]
    parts.append(text((left + WIDTH) / 2, height - 4, "Hz", "axis-label", "middle"))
    parts.append(text(left - 8, 12, "dB", "axis-label", "start"))
    return drawing(WIDTH, height, t["h_envelope"], *parts)
