"""The cases of a run as cards: what, since when, how sure, what is unusual, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.diagnosis.diagnose import Diagnosis
from vibro.report import explain, explain_page
from vibro.report.attribution import AttributionMaps
from vibro.report.data import RunData, Signals
from vibro.report.explain import Explanation
from vibro.report.messages import translate
from vibro.report.page import number
from vibro.report.texts import Texts
from vibro.scoring.verdict import INVALID, LEVELS
from vibro.store.tables import printable

USUAL = 40  # baseline records of a card at most
USUAL_BYTES = 96 << 20  # samples of all cards together
OPEN = 3  # cards that are not folded
LISTED = 10  # cards that need no further click
NAMED = 4  # sensors named on a card
COURSE = 16  # records of a case whose level is followed
FEWEST, RISE = 8, 2.0  # records, and dB over all of them, from which a rise is told
FAST = 24.0  # dB a day, from which a rise is told by the hour


def cards(
    run: RunData, t: Texts, lang: str, signals: Signals | None, maps: AttributionMaps | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """A card for every case of the summary, and notes on signals that could not be read, or networks that could not be asked."""
    row_of = {ident: i for i, ident in enumerate(run.scores["record_id"].tolist())}
    cases = [case for case in (run.summary.get("cases") or {}).get("first", []) if case["record_id"] in row_of]
    rows = [row_of[case["record_id"]] for case in cases]
    courses = {row: _course(run, row, _span(case)) for case, row in zip(cases, rows, strict=True)}
    found, levels, notes = _explanations(run, rows, courses, signals)
    read = {row: one.signal for row, one in found.items() if one.signal.size}
    by_row, failed = maps(run, read) if maps else ({}, [])
    found = {row: replace(one, maps=by_row.get(row, ())) for row, one in found.items()}
    shown = []
    for case, row in zip(cases, rows, strict=True):
        grown = growth(run.x[courses[row]], np.array([levels.get(i, np.nan) for i in courses[row]]))
        told = [grows(*grown, moment(run.scores["data_time"][courses[row][0]]), t)] if grown else []
        shown.append({**card(case, found[row], t, lang), "growth": told})
    return shown, [*notes, *failed]


def growth(seconds: NDArray[np.float64], level: NDArray[np.float64]) -> tuple[float, int] | None:
    """Slope in dB a day (Theil and Sen) and number of records, None where the level does not clearly rise.

    Clearly: Kendall's test of the order below 1 % and at least ``RISE`` dB over the whole.
    """
    from scipy.stats import kendalltau, theilslopes

    known = np.isfinite(level) & np.isfinite(seconds)
    days, level = seconds[known] / 86_400, level[known]
    if len(days) < FEWEST or np.ptp(days) == 0:
        return None
    order, slope = kendalltau(days, level), float(theilslopes(level, days)[0])
    if not order.pvalue < 0.01 or slope * np.ptp(days) < RISE:
        return None
    return slope, len(days)


def grows(slope: float, records: int, since: str, t: Texts) -> str:
    """A rise in dB a day in words, by the hour where it is fast."""
    hourly = slope > FAST
    text = t["w_grows_hour" if hourly else "w_grows_day"]
    return text.format(db=number(slope / 24 if hourly else slope, 2), n=records, since=since)


def _course(run: RunData, row: int, span: Sequence[float] | None) -> list[int]:
    """Valid records of the row's sensor from one length of the case before it to its end, evenly chosen, in order of time."""
    if span is None or span[1] <= span[0]:
        return []
    near = (run.sensor == run.sensor[row]) & (run.x >= 2 * span[0] - span[1]) & (run.x <= span[1])
    mine = np.flatnonzero(near & (run.level < INVALID))
    mine = mine[np.argsort(run.x[mine], kind="stable")]
    return [int(i) for i in mine[np.unique(np.linspace(0, len(mine) - 1, min(COURSE, len(mine))).round().astype(int))]]


def card(case: Mapping[str, Any], found: Explanation, t: Texts, lang: str) -> dict[str, Any]:
    """All that the template shows of one case; ``charts`` is for the script."""
    run, row = found.run, found.row
    sensors = [printable(name) or "–" for name in case["sensors"]]
    features: list[Mapping[str, Any]] = [*explain.features(found)]
    words, looks = explain_page.words(features, t), case.get("hypothesis") or {}
    hypothesis = f"{translate(looks['name'], lang)}, {t['grade_' + looks['grade']]}" if looks else ""
    scores = run.scores
    charts = explain_page.evidence_of(found)
    return {
        **case,
        "ident": f"case-{case['case']}",
        "hypothesis": hypothesis,
        "evidence": looks.get("evidence", []),
        "against": looks.get("against", []),
        "marks": [{**mark, "text": translate(mark["text"], lang)} for mark in looks.get("marks", [])],
        "headline": hypothesis or "".join(words[:1]),
        "machine": printable(case["machine_id"]) or "–",
        "sensor": run.sensors[run.sensor[row]] or "–",
        "sensors": sensors[:NAMED],
        "sensors_more": max(0, len(sensors) - NAMED),
        "since": moment(case["since"]),
        "until": moment(case["until"]),
        "span": _span(case),
        "source": printable(str(scores["source"][row])),
        "row": int(scores["row"][row]),
        "time": moment(scores["data_time"][row]),
        "agreement": float(scores["agreement"][row]),
        "p": float(scores["p_value"][row]),
        "record_level": LEVELS[run.level[row]],
        "reason": str(scores["reason"][row]),
        "words": words,
        "features": [{**f, "label": explain_page.label(f["name"], t)} for f in features],
        "compared": len(found.baseline),
        "pooled": not found.baseline_of,
        "detectors": bars(explain.detectors(run, row)),
        "charts": charts,
        "attribution": explain_page.attribution_words(found)[:2],
        "lines": marked(explain.lines(found)),
        "code": int(run.sensor[row]),
        "x": float(run.x[row]) if np.isfinite(run.x[row]) else None,
    }


def bars(detectors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each detector's z in multiples of its own cut, so that all stand on one scale; those that count most first."""
    rows = []
    for d in detectors:
        known = d["cut"] is not None and d["cut"] > 0 and np.isfinite(d["z"])
        rows.append({**d, "times": max(0.0, d["z"] / d["cut"]) if known else None})
    most = max([1.5, *(row["times"] for row in rows if row["times"] is not None)])
    rows.sort(key=lambda row: (not row["weight"], -(row["times"] or 0.0)))
    return [{**row, "most": most} for row in rows]


def marked(lines: Sequence[Mapping[str, Any]], most: int = 4, least: float = 6.0) -> list[dict[str, Any]]:
    """The lines that rose most over the baseline, for the spectrum: Hz and dB."""
    risen = sorted((line for line in lines if line["db_over_baseline"] >= least), key=lambda r: -r["db_over_baseline"])
    return [{"hz": line["hz"], "db": line["db_over_baseline"]} for line in risen[:most]]


def moment(time: object) -> str:
    """``2024-01-02 03:30``, empty if not known."""
    text = "" if time is None or str(time) == "NaT" else str(time)
    return text[:16].replace("T", " ")


def _span(case: Mapping[str, Any]) -> list[float] | None:
    """Since and until in seconds since 1970, None without times."""
    if not moment(case["since"]):
        return None
    ends = (np.datetime64(str(case[name]).removesuffix("Z"), "ms") for name in ("since", "until"))
    return [float(end.astype(np.int64)) / 1000 for end in ends]


def _explanations(
    run: RunData, rows: Sequence[int], courses: Mapping[int, Sequence[int]], signals: Signals | None
) -> tuple[dict[int, Explanation], dict[int, float], list[str]]:
    """Each row with its samples and those of its sensor's baseline, and the level in dB of ``courses``, read in one go."""
    mates: dict[int, tuple[list[int], str]] = {}
    length = int(run.summary["signal"].get("length") or 1) * int(run.summary["signal"].get("channels") or 1)
    most = int(np.clip(USUAL_BYTES // (4 * length * max(1, len(rows))), 5, USUAL))
    for row in rows:
        found, name = explain.baseline_rows(run, row)
        place = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
        mates[row] = [found[i] for i in place], name
    followed = {i for row in rows for i in courses[row]} if len(rows) * COURSE * 4 * length <= USUAL_BYTES else set()
    wanted = sorted({*rows, *followed, *(mate for found, _ in mates.values() for mate in found)})
    ids = run.scores["record_id"]
    by_id, notes = signals([str(ids[row]) for row in wanted]) if signals and rows else ({}, [])
    read = {row: by_id[ids[row]] for row in wanted if ids[row] in by_id}
    nothing = np.zeros((0, 0), np.float32)
    explained = {}
    for row in rows:
        signal = read.get(row, nothing)
        usual = [read[mate] for mate in mates[row][0] if mate in read and read[mate].shape == signal.shape]
        baseline: NDArray[np.float32] = np.stack(usual) if usual else np.zeros((0, *signal.shape), np.float32)
        explained[row] = Explanation(run, row, {}, signal, baseline, mates[row][1], (), Diagnosis(()))
    levels = {i: 20 * float(np.log10(max(read[i].std(axis=1).max(), 1e-30))) for i in sorted(followed) if i in read}
    return explained, levels, notes
