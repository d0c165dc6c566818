"""When the compiled parser is worth loading, and how readers call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vibro_plugins.readers.text.numbers import BadNumber, Constant, parse_list, parse_text, shown

WORTH = 32 << 20  # bytes of text from which on loading the compiled parser pays
PADDING = 24  # bytes before the first number that the compiled parser may look at


class Numbers:
    """Parses comma-separated numbers: compiled where the text is plain and there is enough of it, else checked."""

    def __init__(self, worth: int = WORTH) -> None:
        self._worth = worth
        self._expected = 0
        self._room = 4096  # numbers, by the record before
        self._compiled: Any = None

    def expect(self, path: Path) -> None:
        """A file of this size comes next."""
        self._expected += path.stat().st_size * (4 if path.name.lower().endswith(".gz") else 1)
        if self._compiled is None and self._expected >= self._worth:
            from vibro_plugins.readers.text import digits

            self._compiled = digits

    def plain(
        self, text: NDArray[np.uint8], start: int, stop: int, *, as_json: bool = False
    ) -> NDArray[np.float32] | None:
        """The numbers of ``text[start:stop]`` (read-only); None where a closer look is needed, or nothing is compiled."""
        if self._compiled is None or start >= stop:
            return None
        if start < PADDING or stop >= len(text):
            return self.plain(*_padded(text[start:stop].tobytes()), as_json=as_json)
        for room in (self._room, (stop - start) // 2 + 1):
            out = np.empty(room, np.float32)
            count = self._compiled.parse(text, start, stop, as_json, out)
            if count != self._compiled.FULL:
                break
        if count < 0:
            return None
        self._room = count
        return out if count == len(out) else out[:count].copy()

    def table(self, data: bytes, width: int) -> Table | None:
        """Lines of ``width`` numbers parted by commas; None where a closer look is needed, or nothing is compiled."""
        if self._compiled is None:
            return None
        table = Table(self._compiled, data, width)
        return table if table.sure else None

    def text(self, text: str) -> NDArray[np.float32]:
        """The numbers of a text; BadNumber names the first that is none."""
        if self._compiled is not None and text.isascii():
            found = self.plain(*_padded(text.encode()))
            if found is not None:
                return found
        return parse_text(text)

    def value(self, value: Any) -> NDArray[np.float32]:
        """The numbers of a JSON value, a text or a list."""
        if isinstance(value, str) and not isinstance(value, Constant):
            return self.text(value)
        if isinstance(value, list):
            return parse_list(value)
        raise BadNumber("Q006", 0, f"signal_value is {shown(value)}, neither a text nor a list of numbers")


class Table:
    """The columns of a table of numbers: (rows, width) float32, and exact in float64 where asked for."""

    def __init__(self, compiled: Any, data: bytes, width: int) -> None:
        self._compiled = compiled
        text = np.full(PADDING + len(data) + 1, ord(" "), np.uint8)
        text[PADDING:-1] = np.frombuffer(data, np.uint8)
        place = PADDING, PADDING + len(data)
        rows = max(0, compiled.lines(text, *place, width))
        text.flags.writeable = False
        self._text = text, *place
        self.values = np.empty((rows, width), np.float32)
        self.sure = rows > 0 and compiled.parse(*self._text, False, self.values.reshape(-1)) == rows * width

    def exact(self, place: int) -> NDArray[np.float64] | None:
        """A column in float64; None where it is not certain."""
        out = np.empty(len(self.values))
        found = self._compiled.column(*self._text, self.values.shape[1], place, out)
        return out if found == len(out) else None


def _padded(data: bytes) -> tuple[NDArray[np.uint8], int, int]:
    """Text with room to look back and one character behind it, and where it starts and stops."""
    text = np.frombuffer(b"".join((b" " * PADDING, data, b" ")), np.uint8)
    return text, PADDING, PADDING + len(data)
