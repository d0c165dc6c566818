"""Lines of a file or of a gzip stream, with caps on line length and on what an archive may grow to."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vibro.api import Rejected

MAX_LINE = 16 << 20  # bytes
MAX_RATIO = 100  # bytes out for a byte in
FREE = 1 << 20  # bytes of an archive that no ratio is asked of
MAX_UNPACKED = 64 << 30  # bytes
BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 18  # bytes read at a time
_BLANK = b" \t\r\n"


class ArchiveLimit(Exception):
    """An archive grows beyond what is allowed, or holds another archive."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end, ``text[start:stop]``; ``number`` from 1, ``offset`` in bytes of the stream (3 behind a BOM).

    ``text`` (uint8, read-only) is a buffer that the next line may overwrite.
    """

    buffer: bytearray
    text: NDArray[np.uint8]
    start: int
    stop: int
    number: int
    offset: int

    @property
    def data(self) -> bytes:
        """The line without its end, a copy."""
        return bytes(memoryview(self.buffer)[self.start : self.stop]).rstrip(b"\r\n")


class _Buffer:
    """Bytes of a stream, filled from behind and cut off in front; lines are looked for in place."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.start = self.stop = 0
        self._allot(_BLOCK)

    def _allot(self, size: int) -> None:
        held = bytes(memoryview(self.bytes)[self.start : self.stop]) if self.stop else b""
        self.bytes = bytearray(size)
        self.bytes[: len(held)] = held
        self.text = np.frombuffer(self.bytes, np.uint8)
        self.text.flags.writeable = False
        self.start, self.stop = 0, len(held)

    def fill(self) -> bool:
        """Reads on behind what is held; False at the end of the stream."""
        held = self.stop - self.start
        if self.start:
            view = memoryview(self.bytes)
            view[:held] = view[self.start : self.stop].tobytes()
            self.start, self.stop = 0, held
        elif held == len(self.bytes):
            self._allot(2 * held)
        count = self._stream.readinto(memoryview(self.bytes)[self.stop :])
        self.stop += count
        return count > 0

    def line(self) -> int:
        """Where the line that starts at ``start`` stops, its end included; a line beyond the cap stops early."""
        scanned = self.start
        while True:
            end = self.bytes.find(b"\n", scanned, self.stop)
            if end >= 0:
                return end + 1
            held = self.stop - self.start
            if held > MAX_LINE or not self.fill():
                return self.stop
            scanned = self.start + held


class _Unpacked(io.RawIOBase):
    """A gzip stream that stops when it has grown beyond the caps."""

    def __init__(self, path: Path) -> None:
        self._packed = path.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._packed, mode="rb")
        self._out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        data = self._stream.read1(len(buffer))  # what one step gives, so that damage costs nothing before it
        buffer[: len(data)] = data
        self._out += len(data)
        if self._out > MAX_UNPACKED:
            raise ArchiveLimit(f"the archive unpacks to more than {MAX_UNPACKED >> 30} GiB")
        if self._out > FREE and self._out > MAX_RATIO * self._packed.tell():
            raise ArchiveLimit(f"the archive unpacks to more than {MAX_RATIO} times its size")
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._packed.close()
        super().close()


def open_stream(path: Path) -> BinaryIO:
    """The bytes of a file, without a buffer, unpacked on the way if its name ends in ``.gz``."""
    return _Unpacked(path) if path.name.lower().endswith(".gz") else path.open("rb", buffering=0)


def lines(path: Path) -> Iterator[Line | Rejected]:
    """Every line that is not blank, in order; a line beyond the cap is a Rejected (Q009), and is never held in memory.

    A damaged archive, a second archive inside, or UTF-16 ends the file with a Rejected. ``row`` -1 there means that
    nothing of the file can be trusted, another row that only what follows is lost.
    """
    number, offset = 0, 0
    try:
        with open_stream(path) as stream:
            buffer = _Buffer(stream)
            while (stop := buffer.line()) > buffer.start:
                number += 1
                start, begun = buffer.start, offset
                if number == 1:
                    head = bytes(buffer.bytes[: min(4, buffer.stop)])
                    if verdict := foreign(head, packed=path.name.lower().endswith(".gz")):
                        yield verdict
                        return
                offset += stop - start
                buffer.start = stop
                if stop - start > MAX_LINE:
                    shown = excerpt(bytes(buffer.bytes[start : start + 200]))
                    offset += _skip(buffer, stop)
                    detail = f"the line is {offset - begun} bytes long, the limit is {MAX_LINE}"
                    yield Rejected("Q009", detail, number - 1, number, begun, excerpt=shown)
                    continue
                if number == 1 and head[:3] == BOM:
                    start, begun = start + 3, 3
                if start == stop or (buffer.bytes[start] in _BLANK and not buffer.bytes[start:stop].strip()):
                    continue
                yield Line(buffer.bytes, buffer.text, start, stop, number, begun)
    except ArchiveLimit as error:
        yield Rejected("Q019", str(error))
    except EOFError:
        detail = f"the gzip data end early; the {number} lines before are kept"
        yield Rejected("Q001", detail, row=number, line=number + 1, offset=offset)
    except (gzip.BadGzipFile, zlib.error) as error:
        yield Rejected("Q001", f"the gzip data are damaged ({error}): no line of the file can be trusted")


def _skip(buffer: _Buffer, stop: int) -> int:
    """Passes over the rest of a line that was cut at ``stop``; returns its bytes."""
    if buffer.bytes[stop - 1 : stop] == b"\n":
        return 0
    skipped = 0
    while True:
        end = buffer.bytes.find(b"\n", buffer.start, buffer.stop)
        if end >= 0:
            skipped += end + 1 - buffer.start
            buffer.start = end + 1
            return skipped
        skipped += buffer.stop - buffer.start
        buffer.start = buffer.stop
        if not buffer.fill():
            return skipped


def foreign(head: bytes, packed: bool) -> Rejected | None:
    """A Rejected for content that cannot be lines of UTF-8."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(head) >= 2 and b"\0" in head[:2] and head[:2] != b"\0\0"):
        return Rejected("Q001", "the text is UTF-16 or UTF-32; save it as UTF-8", excerpt=excerpt(head))
    if head[:2] == b"\x1f\x8b":
        where = "an archive inside the archive" if packed else "gzip data; name the file .gz"
        return Rejected("Q019", where, excerpt=excerpt(head))
    if head[:4] == b"PK\x03\x04":
        return Rejected("Q019", "a zip archive; unpack it first", excerpt=excerpt(head))
    return None


def excerpt(data: bytes | str, limit: int = 120) -> str:
    """The start of a line as it may be shown: at most 120 characters, whatever cannot be printed escaped."""
    text = data[:limit].decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data[:limit]
    text = text.rstrip("\r\n")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
