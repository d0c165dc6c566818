"""The report of a benchmark from ``benchmark.json``: conclusion, pictures, tables, as Markdown and as one page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from vibro.benchmark.conclusion import answer, basis
from vibro.benchmark.tables import sections, shown
from vibro.report.page import fill, number
from vibro.words import counted


def markdown(found: Mapping[str, Any]) -> str:
    """The report as Markdown; generated, never edited by hand."""
    lines = [f"# {found['name']}", "", found["summary"], ""] if found["summary"] else [f"# {found['name']}", ""]
    lines += ["## Conclusion", "", *(f"- {text}" for text in (*answer(found), *basis(found))), ""]
    lines += [f"{line}  " for line in head(found)] + [""]
    for s in sections(found):
        lines += [f"## {s.title}", ""]
        lines += [s.note, ""] if s.note else []
        if s.rows:
            lines += ["| " + " | ".join(s.headers) + " |", "|" + " --- |" * len(s.headers)]
            lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in s.rows] + [""]
    for title, texts in (("Warnings", _warnings(found)), ("Failures", failures(found))):
        if texts:
            lines += [f"## {title}", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(lines)


def html(found: Mapping[str, Any], lang: str = "en") -> str:
    """The report as one page without any external address."""
    values = {
        "title": found["name"],
        "summary": found["summary"],
        "conclusion": answer(found),
        "basis": basis(found),
        "head": head(found),
        "sections": sections(found, lang),
        "remarks": (("failures", failures(found)), ("warnings", _warnings(found))),
    }
    return fill("benchmark.html.j2", values, lang)


def head(found: Mapping[str, Any]) -> list[str]:
    """How it was measured, one line per fact."""
    seeds = len(found["seeds"])
    return [
        f"{counted(len(found['data']), 'data set')}, {counted(seeds, 'seed')}, {found['combinations']} rows of combinations",
        f"protocol {found['protocol']}",
        f"vibro {found['vibro']}, numpy {found['libraries'].get('numpy', '?')}, Python {found['libraries']['python']},"
        f" {found['machine']['cores']} cores",
        f"fits {number(found['timings']['fit'])} s, judging all combinations {number(found['timings']['judge'])} s",
    ]


def _warnings(found: Mapping[str, Any]) -> list[str]:
    return [*found["warnings"], *found["confound"]["warnings"]]


def failures(found: Mapping[str, Any]) -> list[str]:
    """Failures with count and reason: trials, and detectors without scores."""
    counted: dict[str, int] = defaultdict(int)
    for f in found["failures"]:
        counted[f"{f['trial'].rpartition('-seed')[0] or f['trial']}: {f['message']}"] += 1
    silent: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for d in found["lost"]:
        reason = d["reason"].removeprefix(f"{d['detector']} ")
        alike = d["data"], f"{d['ensemble']}{shown(d)}", f"in {d['trials']} of {d['of']} trials: {reason}"
        silent[alike][d["pool"]].append(d["detector"])
    detectors = []
    for (data, ensemble, told), pools in silent.items():
        names = defaultdict(list)
        for pool, lost in pools.items():
            names[", ".join(lost)].append(pool)
        detectors += [f"{data}/{'+'.join(at)}, {ensemble}: no scores of {who} {told}" for who, at in names.items()]
    return [f"{text} ({n} x)" for text, n in counted.items()] + detectors
