"""Views that are made from views which lack rows, with numpy alone. A row that could not be made is NaN throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHOLE = ("raw", "covariates", "sensor", "group", "instant")  # no views: NaN in covariates is a value that was not given

Inputs = Mapping[str, NDArray[Any]]


def lacking(inputs: Inputs) -> NDArray[np.bool_]:
    """(n,) rows of which at least one of these views (n, *item) could not be made."""
    found = np.zeros(len(next(iter(inputs.values()))), np.bool_)
    for name, x in inputs.items():
        if name not in WHOLE and x.size:
            first: tuple[Any, ...] = (slice(None), *(0,) * (x.ndim - 1))
            found |= np.isnan(x[first])
    return found


def filled(inputs: Inputs, lacks: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The inputs with 0 in the rows that lack a view, which are then of no instant: they say nothing of other rows."""
    out = dict(inputs)
    for name, x in inputs.items():
        if name == "instant" or name not in WHOLE:
            out[name] = x.copy()
            out[name][lacks] = -1 if name == "instant" else 0
    return out
