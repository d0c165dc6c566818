"""numba's compiler, for an installation that may be read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Any], Any]:
    """As ``numba.njit``. What is compiled is kept beside the module or in the user's cache; where neither can be written, each
    process compiles it anew.
    """

    def make(function: Any) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # numba: "cannot cache function: no locator available"
            return njit(**options)(function)

    return make
