"""What a reader raises over a field or a file that it cannot take."""

from __future__ import annotations


class BadField(ValueError):
    """A field that is missing or wrong, with its reason code."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail
