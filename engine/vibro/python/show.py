"""How a run looks in a notebook: its verdicts as a table, its summary as a small page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vibro.report.data import load
from vibro.report.page import fill
from vibro.report.rows import worst_first
from vibro.report.sections import distribution, head, levels, say
from vibro.report.sensor_map import when
from vibro.report.texts import texts

HEIGHT = 640  # pixels of the frame


def table(columns: Mapping[str, NDArray[Any]]) -> Any:
    """The columns as a pandas DataFrame, or as a dict of arrays where pandas is not installed."""
    if find_spec("pandas") is None:
        return dict(columns)
    from pandas import DataFrame

    return DataFrame(columns)


def html(folder: Path, lang: str = "en") -> str:
    """A frame with the verdict in words, the levels, the pictures of the scores and the ten highest records."""
    run, t = load(folder), texts(lang)
    values = {
        "head": head(run, t),
        "say": say(run, t),
        "levels": levels(run),
        "warnings": run.summary.get("warnings", []),
        "when": when(run, worst_first(run), t),
        "histogram": distribution(run, t),
        "top": run.summary.get("top", []),
    }
    page = fill("notebook.html.j2", values, lang)
    return f'<iframe srcdoc="{escape(page)}" style="width:100%;height:{HEIGHT}px;border:0"></iframe>'
