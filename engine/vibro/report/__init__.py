"""The report of a run: one self-contained page that works offline, prints, and runs under a strict content policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vibro.report.data import Signals

if TYPE_CHECKING:
    from vibro.host.manager import PluginHost
    from vibro.report.attribution import AttributionMaps

__all__ = ["Signals", "render", "source_signals", "write_report"]


def render(run: Path, lang: str = "en", signals: Signals | None = None, maps: AttributionMaps | None = None) -> str:
    """The HTML page of a run directory, from its summary, tables and manifest; ``lang`` is ``en`` or ``zh``.

    ``signals`` gives the samples for the evidence of its cases, ``maps`` where networks find them unlike what they
    learned; without, either is left out. StateError if the summary or
    the scores are missing or damaged; a manifest that is not there yet is left out.
    """
    from vibro.report.data import load
    from vibro.report.page import fill
    from vibro.report.sections import sections

    data = load(run)
    return fill("report.html.j2", sections(data, lang, signals, maps), lang)


def write_report(
    run: Path, out: Path, lang: str = "en", signals: Signals | None = None, maps: AttributionMaps | None = None
) -> None:
    """Writes the page of a run directory to a file, atomically."""
    from vibro.io.files import write_page

    write_page(out, render(run, lang, signals, maps), run)


def source_signals(host: PluginHost, run: Path) -> Signals:
    """The samples of a finished run, read again from its sources."""
    from vibro.report.data import load
    from vibro.report.explain import read_signals

    def read(ids: Sequence[str]) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
        data = load(run)
        wanted = np.flatnonzero(np.isin(data.scores["record_id"], list(ids)))
        found, notes = read_signals(host, data, wanted.tolist(), None)
        return {str(data.scores["record_id"][row]): signal for row, signal in found.items()}, notes

    return read
