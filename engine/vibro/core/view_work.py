"""The making of a view: the guard on what an extractor returns, and the task that makes some chunks of it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro.api import FeatureExtractor, Params, State, ViewKey
from vibro.context import Context
from vibro.core.task import ArrayRef
from vibro.core.worker import said
from vibro.errors import ContractError, ResourceError, short_of_memory
from vibro.portable.lacks import filled, lacking


def check_view(values: object, rows: int, key: ViewKey | str) -> NDArray[np.float32]:
    """The guard at the border: float32, (rows, *item), finite, C order; ContractError says which clause failed.

    A row may be NaN throughout, which says that the view cannot be made for that record.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise ContractError(f"view {key} gave {getattr(values, 'dtype', type(values).__name__)}, not a float32 array")
    if values.ndim < 2 or len(values) != rows:
        raise ContractError(f"view {key} gave shape {values.shape} for {rows} rows")
    if not np.isfinite(values).all():
        flat = values.reshape(rows, -1)
        wrong = ~np.isfinite(flat).all(axis=1) & ~np.isnan(flat).all(axis=1)
        if wrong.any():
            raise ContractError(f"view {key} is not finite (first in row {int(np.flatnonzero(wrong)[0])})")
    return np.ascontiguousarray(values)


def view_rows(
    extractor: FeatureExtractor, inputs: Mapping[str, NDArray[Any]], key: ViewKey | str
) -> NDArray[np.float32]:
    """The checked rows of a view; NaN throughout where a view that it is made from is."""
    lacks = lacking(inputs)
    if not lacks.any():
        return check_view(extractor.transform(inputs), len(lacks), key)
    given = {name: read_only(a) for name, a in filled(inputs, lacks).items()}
    values = np.array(check_view(extractor.transform(given), len(lacks), key))
    values[lacks] = np.nan
    return values


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The array as one that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True)
class ViewTask:
    """An extractor with what it has learned, what it reads, and chunks of rows, (start, stop) each."""

    key: str
    cls: type[FeatureExtractor]
    params: Params
    ctx: Context
    inputs: Mapping[str, ArrayRef]
    state: State | None
    chunks: Sequence[Sequence[int]]


def view_task(task: ViewTask) -> NDArray[np.float32] | str:
    """The rows of the chunks, or why the extractor fails here: whoever handed out the task then makes them by itself.

    ResourceError where memory is short or the inputs cannot be opened.
    """
    try:
        inputs = {name: ref.open() for name, ref in task.inputs.items()}
    except OSError as error:
        raise ResourceError(
            f"a worker cannot read what view {task.key} is made from: {error.strerror or error}",
            hint="check that disk, or use --executor serial",
        ) from error
    try:
        extractor = task.cls(task.params, task.ctx)
        if task.state is not None:
            extractor.load_state(task.state)
        parts = []
        for start, stop in task.chunks:
            part = {name: read_only(a[start:stop]) for name, a in inputs.items()}
            parts.append(view_rows(extractor, part, task.key))
        return np.concatenate(parts)
    except (Exception, SystemExit) as error:
        if short_of_memory(error):
            raise ResourceError(
                f"memory ran out in view {task.key}", hint="use --executor serial, fewer records, or smaller views"
            ) from error
        return said(error)
