"""The one grammar of numbers in text, ``[+-]?digits(.digits)?([eE][+-]?digits)?`` in ASCII, and its values as float32.

Blanks may stand around a number; nothing else may. What Python's ``float`` takes beyond that (``1_000``, full-width
digits, ``nan``, ``.5``) is refused with the index of the token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ONE = r"[+-]?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_NUMBER = re.compile(_ONE)
_LIST = re.compile(rf" *+{_ONE} *+(?:, *+{_ONE} *+)*+")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE | re.ASCII)


class BadNumber(ValueError):
    """A token that is no number (Q006) or no finite one (Q007)."""

    def __init__(self, code: str, index: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.index = index
        self.detail = detail


def shown(token: object) -> str:
    """A token as a message shows it: at most 40 characters, escaped."""
    text = repr(token)
    return text if len(text) <= 40 else text[:37] + "..."


def parse_text(text: str) -> NDArray[np.float32]:
    """Comma-separated numbers as float32, each rounded from its nearest float64; BadNumber names the first bad token.

    A blank text holds no number at all: an empty array, whose length is then somebody else's concern.
    """
    if not text.strip(" "):
        return np.zeros(0, np.float32)
    tokens = text.split(",")
    if _LIST.fullmatch(text) is None:
        for i, token in enumerate(tokens):
            check_token(token.strip(" "), i)
    return narrowed(np.fromiter(map(float, tokens), np.float64, len(tokens)), tokens)


def check_token(token: str, index: int) -> None:
    """BadNumber unless the token follows the grammar."""
    if _NUMBER.fullmatch(token) is None:
        if _NOT_FINITE.fullmatch(token):
            raise BadNumber("Q007", index, f"token {index} is {shown(token)}, not a finite number")
        raise BadNumber("Q006", index, f"token {index} is {shown(token) if token else 'empty'}, not a number")


def parse_list(values: Sequence[Any]) -> NDArray[np.float32]:
    """A JSON list of numbers as float32; BadNumber names the first element that is none (a text, true, null, a list)."""
    if not set(map(type, values)) <= {float, int}:
        for i, value in enumerate(values):
            if type(value) not in (float, int):
                kind = "Q007" if isinstance(value, Constant) else "Q006"
                what = "a finite number" if kind == "Q007" else "a number"
                raise BadNumber(kind, i, f"token {i} is {shown(value)}, not {what}")
    try:
        wide = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond 1.8e308
        i = next(i for i, value in enumerate(values) if isinstance(value, int) and abs(value) >= 1 << 1023)
        raise BadNumber("Q007", i, f"token {i} is too large for float32") from None
    return narrowed(wide, values)


def narrowed(wide: NDArray[np.float64], tokens: Sequence[Any]) -> NDArray[np.float32]:
    """float64 to float32; BadNumber if a value is not finite there."""
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    finite = np.isfinite(narrow)
    if not finite.all():
        i = int(np.argmin(finite))
        raise BadNumber("Q007", i, f"token {i} is {shown(tokens[i])}, too large for float32")
    return narrow


class Constant(str):
    """``NaN``, ``Infinity`` or ``-Infinity``, which Python's JSON takes and JSON does not know."""

    __slots__ = ()
