"""How vibro understands data: the first file of every kind, and what is refused, why, and what would take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from vibro.ingest.accounting import QUARANTINED, REASONS, Accounting
from vibro.ingest.files import Found
from vibro.ingest.index import Index
from vibro.ingest.ways import way_out
from vibro.io.files import iso_time

NAMED = 3  # sensors, files or endings that a sentence names


def first_of_kinds(files: Sequence[Found], index: Index) -> list[dict[str, Any]]:
    """The first file of every kind (reader and ending) that gave a record, else the first at all, as it is understood."""
    kinds: dict[tuple[str, str], list[Found]] = {}
    for found in files:
        kinds.setdefault((type(found.reader).name, ending(found.source)), []).append(found)
    code = {name: i for i, name in enumerate(index.names["source"])}
    return [_understood(_first(group, code), kind[1], len(group), index, code) for kind, group in kinds.items()]


def _first(group: Sequence[Found], code: dict[str, int]) -> Found:
    return next((found for found in group if found.source in code), group[0])


def _understood(found: Found, kind: str, count: int, index: Index, code: dict[str, int]) -> dict[str, Any]:
    """One row of the preview."""
    rows = np.flatnonzero(index.source == code.get(found.source, -1))
    lengths = index.samples[rows]
    times = index.time[rows][~np.isnat(index.time[rows])]
    return {
        "file": found.source,
        "kind": kind,
        "files": count,
        "looks_like": type(found.reader).summary,
        "records": len(rows),
        "channels": int(index.channels[rows].max()) if len(rows) else 0,
        "samples": [int(lengths.min()), int(lengths.max())] if len(rows) else [],
        "fs": sorted(set(index.fs[rows].tolist()) - {0.0}),
        "time": iso_time(times.min()) if len(times) else None,
        "sensors": _texts(index, "sensor", rows),
        "machines": _texts(index, "machine", rows),
        "units": _texts(index, "unit", rows),
    }


def _texts(index: Index, column: str, rows: np.ndarray[Any, Any]) -> list[str]:
    codes = dict.fromkeys(getattr(index, column)[rows].tolist())
    return [text for text in (index.names[column][i] for i in codes) if text]


def refusals(books: Accounting, window: int) -> list[dict[str, Any]]:
    """Every reason for which items were quarantined: how many, the first with its place, and the way out."""
    first: dict[str, Any] = {}
    for finding in books.findings():
        if finding.disposition == QUARANTINED:
            first.setdefault(finding.code, finding)
    counts = books.by_code
    return [
        {
            "code": code,
            "reason": REASONS[code],
            "count": counts[code],
            "first": f.source + (f" line {f.line}" if f.line > 0 else f" row {f.row}" if f.row >= 0 else ""),
            "detail": f.detail,
            "way": way_out(code, window),
        }
        for code, f in sorted(first.items(), key=lambda item: -counts[item[0]])
    ]


def ending(source: str) -> str:
    """The ending that tells a file's kind: ``.csv``, ``.jsonl.gz``; digits alone are none."""
    suffixes = [s.lower() for s in PurePosixPath(source).suffixes if not s[1:].isdigit()]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def unread(ignored: Sequence[tuple[str, str]]) -> str:
    """In words, the files that no reader takes: how many of each ending, and one of them."""
    kinds: dict[str, list[str]] = {}
    for source, _ in ignored:
        kinds.setdefault(ending(source) or "no ending", []).append(source)
    parts = [f"{len(names)} with {kind} ({names[0]})" for kind, names in list(kinds.items())[:NAMED]]
    more = sum(len(names) for names in list(kinds.values())[NAMED:])
    return ", ".join(parts) + (f" and {more} more" if more else "")
