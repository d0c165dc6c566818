"""Which record a user means: by its id, the beginning of its id, or its place in a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.errors import ConfigError

PREFIX = 6  # fewest digits of a record id that are accepted as its beginning


def find_record(scores: Mapping[str, NDArray[Any]], wanted: str, where: object) -> int:
    """Row of the record meant by an id, a unique prefix of an id, or ``SOURCE:ROW``.

    ``scores`` as ``vibro.store.tables.read_scores`` gives them; ``where`` names the run. ConfigError if no or more than
    one record is meant.
    """
    ids = scores["record_id"]
    source, _, number = wanted.rpartition(":")
    if source and number.isdecimal():
        hits = np.flatnonzero((scores["source"] == source) & (scores["row"] == int(number)))
    elif len(wanted) < PREFIX:
        raise ConfigError(
            f"{wanted!r} is too short", hint=f"give at least {PREFIX} digits of the record id, or SOURCE:ROW"
        )
    else:
        hits = np.flatnonzero(np.char.startswith(ids, wanted.lower()))
    if len(hits) == 1:
        return int(hits[0])
    if len(hits):
        raise ConfigError(f"{wanted!r} means {len(hits)} records", hint=f"give more digits: {', '.join(ids[hits[:5]])}")
    raise ConfigError(f"no record {wanted!r} in {where}", hint="scores.csv lists record_id, source and row")
