"""Fills the page templates: all values are escaped, nothing is fetched, only the inlined style and script may run."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from vibro import __version__
from vibro.io import files
from vibro.report.messages import translate
from vibro.report.svg import Svg
from vibro.report.texts import texts

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("chart.js", "page.js")


def fill(template: str, values: Mapping[str, Any], lang: str) -> str:
    """A page from a template and its values.

    The content security policy admits the two inlined blocks by their hash and nothing else: no inline attribute, no
    URL, no frame, no form.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    style, *scripts = ((TEMPLATES / name).read_text("utf-8") for name in ("style.css", *SCRIPTS))
    script = "\n".join(scripts)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"num": number, "count": count, "share": share, "z": score, "time": files.iso_time}
    environment.filters["said"] = lambda text: translate(text, lang)
    t = texts(lang)
    page = environment.get_template(template)
    return page.render(
        **values, t=t, lang=lang, policy=policy, style=Svg(style), script=Svg(script), version=__version__
    )


def number(value: Any, digits: int = 3) -> str:
    """A figure with so many significant digits; a dash where there is none."""
    if value is None or value != value:
        return "–"
    value = float(f"{float(value):.{digits}g}")
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def score(value: Any) -> str:
    """A score with two decimals, or in exponent form where it is very large; a dash where there is none."""
    if value is None or value != value or abs(value) >= 1000:
        return number(value)
    return f"{round(float(value), 2) + 0.0:.2f}"


def count(value: Any) -> str:
    """A whole number with separators; a dash where there is none."""
    return "–" if value is None or value == "" else f"{int(value):,}"


def share(value: Any) -> str:
    """0.0123 -> ``1.2 %``."""
    if value is None or value != value:
        return "–"
    percent = 100 * float(value)
    return f"{percent:.2g} %" if 0 < abs(percent) < 10 else f"{percent:.0f} %"


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
