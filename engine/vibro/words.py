"""The number of something in a sentence."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """``1 record``, ``3 records``; ``many`` where it is not ``one`` and an s, as for ``sensor is`` and ``sensors are``."""
    return f"{n} {one if n == 1 else many or one + 's'}"
