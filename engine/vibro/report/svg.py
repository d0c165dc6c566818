"""SVG as text: elements, escaping, and number formatting; colours come from the style sheet by class."""

from __future__ import annotations

from html import escape
from typing import Any


class Svg(str):
    """Text that is markup already: templates put it in as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def element(name: str, content: str = "", /, **attributes: Any) -> Svg:
    """``<name attributes>content</name>``; content must be Svg or plain text, which is escaped.

    An underscore in an attribute's name stands for a hyphen, ``class_`` for ``class``; None leaves an attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = content if isinstance(content, Svg) else escape(content)
    return Svg(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def join(*parts: Svg) -> Svg:
    """Elements one after the other."""
    return Svg("".join(parts))


def text(x: float, y: float, label: str, class_: str = "", anchor: str | None = None) -> Svg:
    """A line of text; ``anchor`` is ``start``, ``middle`` or ``end``."""
    return element("text", label, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def drawing(width: float, height: float, label: str, *parts: Svg, class_: str = "chart", natural: bool = False) -> Svg:
    """A picture as wide as its container, or of its ``natural`` size; ``label`` is what a screen reader says."""
    box = f"0 0 {_value(width)} {_value(height)}"
    size = {"width": width, "height": height} if natural else {}
    said = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true"}
    return element("svg", join(*parts), viewBox=box, class_=f"{class_} natural" if natural else class_, **size, **said)


def polyline(xs: Any, ys: Any, class_: str) -> Svg:
    """A line through points."""
    points = " ".join(f"{_value(x)},{_value(y)}" for x, y in zip(xs, ys, strict=True))
    return element("polyline", points=points, class_=class_)


def mark(level: str, x: float, y: float, size: float, title: str = "") -> Svg:
    """The mark of a level, told by its shape as well as its colour."""
    s = size
    shapes = {
        "alarm": f"M{_value(x)} {_value(y - s)}l{_value(s)} {_value(1.8 * s)}h{_value(-2 * s)}z",
        "attention": f"M{_value(x)} {_value(y - s)}l{_value(s)} {_value(s)}l{_value(-s)} {_value(s)}"
        f"l{_value(-s)} {_value(-s)}z",
        "invalid": f"M{_value(x - s)} {_value(y - s)}l{_value(2 * s)} {_value(2 * s)}"
        f"m{_value(-2 * s)} 0l{_value(2 * s)} {_value(-2 * s)}",
    }
    inside = element("title", title) if title else Svg()
    if level in shapes:
        return element("path", inside, d=shapes[level], class_=f"mark {level}")
    return element("circle", inside, cx=x, cy=y, r=0.7 * s, class_=f"mark {level}")


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value)
