"""The report of a run: one self-contained page that works offline, prints, and runs under a strict content policy."""

from __future__ import annotations

from pathlib import Path

__all__ = ["render", "write_report"]


def render(run: Path, lang: str = "en") -> str:
    """The HTML page of a run directory, from its summary, tables and manifest; ``lang`` is ``en`` or ``zh``.

    StateError if the summary or the scores are missing or damaged; a manifest that is not there yet is left out.
    """
    from vibro.report.data import load
    from vibro.report.page import fill
    from vibro.report.sections import sections

    data = load(run)
    return fill("report.html.j2", sections(data, lang), lang)


def write_report(run: Path, out: Path, lang: str = "en") -> None:
    """Writes the page of a run directory to a file, atomically."""
    from vibro.io.files import write_text

    write_text(out, render(run, lang))
