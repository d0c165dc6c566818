"""What a reader raises over a field or a file that it cannot take, and what it agrees on with the compiled parser."""

from __future__ import annotations

UNSURE = -1  # the compiled parser's answer where it must be looked at more closely
FULL = -2  # and where there is no room for all numbers
PADDING = 24  # characters before the first number that it may look at


class BadField(ValueError):
    """A field that is missing or wrong, with its reason code."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail
