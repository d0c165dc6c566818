"""Columns of a table too long for memory: kept in a temporary file, looked at a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART = 1 << 18  # values of an array that are looked at together
_ENDS = 64  # values at either end that stay in memory
_MARK = "\0"  # between texts in the file
Part = Any  # an array, or a list of texts


class Spool:
    """The values of a column, appended in parts: float64, datetime64[ns], or texts (dtype object)."""

    def __init__(self) -> None:
        self.dtype = np.dtype(object)
        self.head: Part = []
        self.tail: Part = []
        self._file = TemporaryFile()  # noqa: SIM115  (closed with the column)
        self._parts: list[tuple[int, int]] = []  # bytes and values of each
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, part: Part) -> None:
        """More values."""
        if not len(part):
            return
        if isinstance(part, list):
            data = _MARK.join(part).encode("utf-8", "surrogatepass")
        else:
            self.dtype, data = part.dtype, part.tobytes()
        if not self._length:
            self.head = part[:_ENDS] if isinstance(part, list) else part[:_ENDS].copy()
        self.tail = part[-_ENDS:] if isinstance(part, list) else part[-_ENDS:].copy()
        self._file.seek(0, 2)
        self._file.write(data)
        self._parts.append((len(data), len(part)))
        self._length += len(part)

    def parts(self) -> Iterator[Part]:
        """The values again, in order."""
        at = 0
        for size, _ in self._parts:
            self._file.seek(at)
            data = self._file.read(size)
            at += size
            if self.dtype == object:
                yield data.decode("utf-8", "surrogatepass").split(_MARK)
            else:
                yield np.frombuffer(data, self.dtype)

    def as_float32(self) -> NDArray[np.float32]:
        """All values; what is too large becomes infinite."""
        found, at = np.empty(self._length, np.float32), 0
        with np.errstate(over="ignore"):
            for part in self.parts():
                found[at : at + len(part)] = part
                at += len(part)
        return found


Values = NDArray[Any] | list[str] | Spool


def is_text(values: Values) -> bool:
    """Whether a column holds texts."""
    return isinstance(values, list) or values.dtype == object


def parts_of(values: Values) -> Iterable[Part]:
    """A column in parts; texts in memory are one."""
    if isinstance(values, Spool):
        return values.parts()
    if isinstance(values, list):
        return (values,)
    return (values[start : start + PART] for start in range(0, len(values), PART))


def ends_of(values: Values) -> tuple[Part, Part]:
    """Up to 64 values from the start of a column, and as many from its end."""
    if isinstance(values, Spool):
        return values.head, values.tail
    return values[:_ENDS], values[-_ENDS:]


def mapped(function: Callable[..., Part], *columns: Values) -> Values:
    """What a function makes of the values of columns of one length; a Spool of what was one."""
    if not any(isinstance(column, Spool) for column in columns):
        return function(*columns)  # type: ignore[no-any-return]
    found = Spool()
    for parts in zip(*(_like(column, columns) for column in columns), strict=True):
        found.append(function(*parts))
    return found


def _like(column: Values, columns: Sequence[Values]) -> Iterator[Part]:
    """A column in the parts of the first Spool among them."""
    if isinstance(column, Spool):
        yield from column.parts()
        return
    at = 0
    for _, count in next(other for other in columns if isinstance(other, Spool))._parts:
        yield column[at : at + count]
        at += count
