"""What a reader gives, held against the contract of readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vibro.api import Reader
from vibro.data import Record, Rejected
from vibro.errors import ContractError


def checked(items: Iterable[Record | Rejected], reader: Reader, source: str) -> Iterator[Record | Rejected]:
    """The items of one file; ContractError for one that is none, is no float32 (C, T), or whose row does not rise."""
    last_row, name = -1, type(reader).name
    for item in items:
        if isinstance(item, Record):
            signal = item.signal
            if signal.dtype != np.float32 or signal.ndim != 2 or not signal.shape[0]:
                detail = f"a signal is {signal.dtype} {signal.shape}, not float32 (C, T)"
                raise ContractError(f"reader {name}: {detail}", plugin=name)
            if item.row <= last_row:
                raise ContractError(f"reader {name}: row {item.row} of {source} follows row {last_row}", plugin=name)
            last_row = item.row
        elif not isinstance(item, Rejected):
            raise ContractError(f"reader {name} gave a {type(item).__name__}, not a Record or Rejected", plugin=name)
        yield item
