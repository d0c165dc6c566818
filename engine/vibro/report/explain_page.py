"""The page of one record: verdict, detectors, what is unusual in words, waveform, spectrum, lines, neighbours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.diagnosis.hypothesis import NONE
from vibro.io import files
from vibro.report import cells, charts, indicators
from vibro.report.attribution import AttributionMap, legend, sentence
from vibro.report.axes import WIDTH
from vibro.report.evidence import COLUMNS, ROWS, evidence
from vibro.report.explain import Explanation, detectors
from vibro.report.marked_lines import envelope_spectrum, marked, spectrum_marks, with_envelope
from vibro.report.messages import translate
from vibro.report.packing import data_block
from vibro.report.page import fill, number
from vibro.report.scale import Scale, score_scale
from vibro.report.svg import Svg, drawing, element, polyline, text
from vibro.report.texts import Texts, texts
from vibro.scoring.verdict import LEVELS

ENVELOPE = 900  # columns of the waveform's envelope
CHANNELS = 4  # drawn
STRIKING = 3.0  # robust z from which an indicator is described in a sentence
_DECIMAL_TICKS = (1, 2, 5)


def render_explanation(found: Explanation, lang: str = "en") -> str:
    """The HTML page of an explained record; ``lang`` is ``en`` or ``zh``."""
    t = texts(lang)
    table = found.table
    zoomed = evidence_of(found)
    shown = [c for c in range(min(CHANNELS, found.signal.shape[0])) if zoomed and c != (zoomed["channel"] or 0)]
    drawn = len(found.baseline) >= 3
    seen = with_envelope(found)
    values = {
        "e": table,
        "time": files.iso_time(table["data_time"]),
        "notes": found.notes,
        "pooled": not found.baseline_of,
        "compared": len(found.baseline),
        "detectors": [{**d, "bar": _bar(d, table)} for d in table["detectors"]],
        "occlusion": table.get("occlusion"),
        "occluded": _occluded(table.get("occlusion")),
        "charts": zoomed,
        "attribution": attribution_words(found),
        "block": data_block(_for_script(found, zoomed, t, lang)),
        "named": [h.table for h in found.diagnosis.named],
        "unnamed": [h.name for h in found.diagnosis.hypotheses if h.grade == NONE],
        "envelope": envelope_spectrum(found, seen, t) if seen else None,
        "envelope_note": t["p_envelope"].format(low=number(seen.band[0]), high=number(seen.band[1]))
        if seen and seen.band
        else "",
        "words": words(table["features"], t),
        "features": [{**f, "label": label(f["name"], t)} for f in table["features"]],
        "waveforms": [waveform(found.signal[c], found.fs, unit(found), t) for c in shown],
        "spectra": [spectrum(found, c, t) for c in shown if drawn],
        "lines": line_bars(found, found.mains, t) if found.mains and table["lines"] else None,
        "risen": [] if found.mains else table["lines"],
        "trend": trend(found, t),
    }
    return fill("explain.html.j2", values, lang)


def evidence_of(found: Explanation) -> dict[str, Any] | None:
    """The charts of a record, in the image the map of one detector; None without samples."""
    if not found.signal.size:
        return None
    charts = evidence(found.signal, found.baseline, found.fs)
    if found.maps and "image" in charts:
        charts["image"]["attribution"] = by_weight(found)[0].picture(tuple(charts["image"]["hz"]), ROWS, COLUMNS)
    return charts


def by_weight(found: Explanation) -> list[AttributionMap]:
    """The maps of the detectors, those with a time first, of these the one with the highest z."""

    def key(one: AttributionMap) -> tuple[bool, float]:
        z = float(found.run.scores[f"z_{one.detector}"][found.row])
        return one.timed, z if np.isfinite(z) else -np.inf

    return sorted(found.maps, key=key, reverse=True)


def attribution_words(found: Explanation) -> list[str]:
    """Sentences on the lines in the image, on the map that they are from, and on those of detectors above their own cut."""
    exceeds = {d["id"]: bool(d["exceeds"]) for d in detectors(found.run, found.row)}
    first, others = by_weight(found)[:1], by_weight(found)[1:]
    told = [*first, *(one for one in others if exceeds[one.detector])]
    return [*map(legend, first), *(sentence(one, exceeds=exceeds[one.detector]) for one in told)]


def _for_script(found: Explanation, charts: Mapping[str, Any] | None, t: Texts, lang: str) -> dict[str, Any]:
    """What the scripts draw: the record as a case of its own, without trends."""
    channel = (charts or {}).get("channel") or 0
    marks = [
        {"hz": m.hz, "text": translate(m.text, lang), "where": m.where}
        for h in found.diagnosis.named
        if h.channel == channel
        for m in h.marks
    ]
    case = {"case": 1, "charts": charts, "lines": [], "marks": marks}
    return {
        "timed": found.run.timed,
        "unit": unit(found) or t["unit_unknown"],
        "cuts": {},
        "mains": found.mains,
        "trends": [],
        "cases": [case],
        "words": script_words(t),
    }


def script_words(t: Texts) -> dict[str, str]:
    """The words that charts say by themselves."""
    levels = ("normal", "attention", "alarm", "invalid", "indeterminate")
    names = (*levels, "reset", "chart_help", "sensor", "case", "score", "time")
    return {name: t[name] for name in names} | {"order": t["axis_order"]}


def write_explanation(found: Explanation, out: Path, lang: str = "en") -> None:
    """Writes the page to a file, atomically."""
    files.write_page(out, render_explanation(found, lang))


def label(name: str, t: Texts) -> str:
    """An indicator's name in words."""
    channel, rest = _channel(name)
    band = re.fullmatch(r"band_([0-9.]+)_([0-9.]+)_db", rest)
    plain = t["i_band"].format(low=band[1], high=band[2]) if band else t[f"i_{rest}"]
    return f"{channel}: {plain}" if channel else plain


def words(features: list[Mapping[str, Any]], t: Texts) -> list[str]:
    """The unusual indicators as sentences."""
    said = []
    for f in features:
        if abs(f["z"]) < STRIKING:
            continue
        name, difference = label(f["name"], t), f["value"] - f["baseline_median"]
        if f["name"].endswith(indicators.DECIBEL):
            said.append(t["w_level"].format(name=name, db=f"{difference:+.1f}", z=f"{f['z']:+.1f}"))
        else:
            pair = {"value": number(f["value"]), "median": number(f["baseline_median"])}
            said.append(t["w_value"].format(name=name, **pair, z=f"{f['z']:+.1f}"))
    return said


def unit(found: Explanation) -> str:
    """The physical unit of the samples, empty if unknown."""
    given = found.run.summary["signal"].get("unit") or "unknown"
    return "" if given == "unknown" else str(given)


def waveform(x: NDArray[np.float32], fs: float, unit: str, t: Texts) -> Svg:
    """The samples over time; where they are many, the envelope from lowest to highest."""
    height, left, top, bottom = 190.0, 64.0, 22.0, 36.0
    seconds = len(x) / fs
    factor, name = (1000.0, "ms") if seconds < 2 else (1.0, "s")
    across = Scale(0.0, seconds * factor, left, WIDTH - 12)
    up = score_scale(np.array([x.min(), x.max()], np.float64), height - bottom, top)
    parts = _frame(across, up, height - bottom)
    if len(x) > 4 * ENVELOPE:
        starts = np.linspace(0, len(x), ENVELOPE, endpoint=False).astype(int)
        low, high = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
        place = across(starts / fs * factor)
        outline = np.concatenate([place, place[::-1]]), np.concatenate([low, high[::-1]])
        parts.append(polyline(outline[0], up(outline[1]), "envelope"))
    else:
        parts.append(polyline(across(np.arange(len(x)) / fs * factor), up(x.astype(np.float64)), "line"))
    parts.append(text((left + WIDTH) / 2, height - 4, f"{t['time']} ({name})", "axis-label", "middle"))
    parts.append(text(left - 8, 12, unit or t["unit_unknown"], "axis-label", "start"))
    return drawing(WIDTH, height, t["h_waveform"], *parts)


def spectrum(found: Explanation, channel: int, t: Texts) -> Svg:
    """Level by frequency of the record, over the band (5 % to 95 %) and the median of its baseline."""
    height, left, top, bottom = 300.0, 64.0, 22.0, 40.0
    hz = indicators.frequencies(found.signal.shape[1], found.fs)
    centre, mine = indicators.bands(indicators.power_spectrum(found.signal[channel][None]), hz)
    _, theirs = indicators.bands(indicators.power_spectrum(found.baseline[:, channel]), hz)
    low, middle, high = np.quantile(theirs, (0.05, 0.5, 0.95), axis=0)
    reach = np.concatenate([mine[0], low, high])
    floor = float(np.quantile(reach, 0.01))
    up = Scale(floor - 3, float(reach.max()) + 3, height - bottom, top)
    across = Scale(float(np.log10(centre[0])), float(np.log10(centre[-1])), left, WIDTH - 12)
    place = across(np.log10(centre))
    parts = [text(left - 6, float(up(v)) + 4, f"{v:g}", "tick", "end") for v in up.ticks()]
    parts += [element("line", x1=left, x2=WIDTH - 12, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    if found.mains:
        for n in range(1, int(min(20, centre[-1] // found.mains)) + 1):
            x = float(across(np.log10(n * found.mains)))
            parts.append(element("line", x1=x, x2=x, y1=top, y2=height - bottom, class_="comb"))
    parts += marked(spectrum_marks(found, channel), across, top, height - bottom, log=True)
    outline = np.concatenate([place, place[::-1]]), np.concatenate([up(low), up(high)[::-1]])
    parts += [
        polyline(*outline, "band"),
        polyline(place, up(middle), "line median"),
        polyline(place, up(mine[0]), "line record"),
    ]
    base = height - bottom
    parts.append(element("line", x1=left, x2=WIDTH - 12, y1=base, y2=base, class_="axis"))
    for value in _log_ticks(float(centre[0]), float(centre[-1])):
        parts.append(text(float(across(np.log10(value))), base + 16, f"{value:g}", "tick", "middle"))
    parts.append(text((left + WIDTH) / 2, height - 4, "Hz", "axis-label", "middle"))
    parts.append(text(left - 8, 12, f"dB re ({unit(found) or '1'})²", "axis-label", "start"))
    return drawing(WIDTH, height, t["h_spectrum"], *parts)


def line_bars(found: Explanation, mains: float, t: Texts) -> Svg:
    """Each multiple of the mains in dB over the baseline's median, with the range of 90 % of the baseline behind it."""
    height, left, top, bottom = 190.0, 64.0, 22.0, 40.0
    hz = indicators.frequencies(found.signal.shape[1], found.fs)
    _, level = indicators.mains_lines(indicators.power_spectrum(found.baseline[:, 0]), hz, mains)
    low, high = np.quantile(level - np.median(level, axis=0), (0.05, 0.95), axis=0)
    lines = found.table["lines"]
    over = np.array([line["db_over_baseline"] for line in lines])
    reach = np.concatenate([over, low, high, [-3.0, 6.0]])
    up = Scale(float(reach.min()), float(reach.max()), height - bottom, top)
    wide = (WIDTH - 12 - left) / len(lines)
    parts = [text(left - 6, float(up(v)) + 4, f"{v:+g}" if v else "0", "tick", "end") for v in up.ticks()]
    parts += [element("line", x1=left, x2=WIDTH - 12, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    zero = float(up(0))
    for i, line in enumerate(lines):
        x, y = left + i * wide, float(up(over[i]))
        title = element("title", f"{line['hz']:.1f} Hz: {over[i]:+.1f} dB")
        kind = "normal" if low[i] - 1 <= over[i] <= high[i] + 1 else "alarm"
        usual = {"width": wide - 1, "height": float(up(low[i]) - up(high[i]))}
        parts.append(element("rect", x=x + 0.5, y=float(up(high[i])), class_="band", **usual))
        size = {"width": max(1.0, wide / 2), "height": max(1.0, abs(zero - y))}
        parts.append(element("rect", title, x=x + wide / 4, y=min(y, zero), class_=f"bar {kind}", **size))
        if len(lines) <= 20 or line["multiple"] % 2 == 0:
            parts.append(text(x + wide / 2, height - bottom + 16, f"{line['hz']:.0f}", "tick", "middle"))
    parts.append(element("line", x1=left, x2=WIDTH - 12, y1=zero, y2=zero, class_="axis"))
    parts.append(text((left + WIDTH) / 2, height - 4, "Hz", "axis-label", "middle"))
    parts.append(text(left - 8, 12, "dB", "axis-label", "start"))
    return drawing(WIDTH, height, t["h_lines"], *parts)


def trend(found: Explanation, t: Texts) -> Svg | None:
    """The score of the sensor over time with this record pointed out, or None with less than three records."""
    run, row = found.run, found.row
    mine = np.flatnonzero((run.sensor == run.sensor[row]) & np.isfinite(run.x))
    if len(np.unique(run.x[mine])) < 3:
        return None
    across = Scale(float(run.x[mine].min()), float(run.x[mine].max()), 44.0, WIDTH - 12)
    up = score_scale(run.judged[mine][run.level[mine] < LEVELS.index("invalid")], 150.0, 14.0, *run.cuts)
    pointed = None
    if np.isfinite(run.x[row]) and np.isfinite(run.judged[row]):
        pointed = float(across(run.x[row])), float(up(run.judged[row]))
    return charts.panel(run.x[mine], run.judged[mine], run.level[mine], (across, up), run.cuts, run.timed, t, pointed)


def _channel(name: str) -> tuple[str, str]:
    """``ch1_rms_db`` -> ``ch1`` and ``rms_db``."""
    found = re.fullmatch(r"(ch[0-9]+)_(.*)", name)
    return (found[1], found[2]) if found else ("", name)


def _bar(detector: Mapping[str, Any], table: Mapping[str, Any]) -> Svg:
    return cells.meter(detector["share"], _most(table), "alarm" if detector["exceeds"] else "normal")


def _occluded(told: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The bands of an occlusion with a bar for how much the score falls."""
    bands = told["bands"] if told else []
    most = max((abs(b["fall"]) for b in bands), default=1.0) or 1.0
    return [{**b, "bar": cells.meter(b["fall"], most, "alarm" if b["fall"] > 0.25 * most else "normal")} for b in bands]


def _most(table: Mapping[str, Any]) -> float:
    return max((abs(d["share"]) for d in table["detectors"] if d["share"] is not None), default=1.0)


def _frame(across: Scale, up: Scale, base: float) -> list[Svg]:
    parts = [text(across.start - 6, float(up(v)) + 4, f"{v:.3g}", "tick", "end") for v in up.ticks()]
    parts += [element("line", x1=across.start, x2=across.end, y1=up(v), y2=up(v), class_="grid") for v in up.ticks()]
    parts.append(element("line", x1=across.start, x2=across.end, y1=base, y2=base, class_="axis"))
    return parts + [text(float(across(v)), base + 16, f"{v:g}", "tick", "middle") for v in across.ticks()]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return [m * 10.0**k for k in decades for m in _DECIMAL_TICKS if low <= m * 10.0**k <= high]
