"""Lines of a file or of a gzip stream, with caps on line length and on what an archive may grow to."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vibro.api import Rejected

MAX_LINE = 16 << 20  # bytes
MAX_RATIO = 100  # bytes out for a byte in
FREE = 1 << 20  # bytes of an archive that no ratio is asked of
MAX_UNPACKED = 64 << 30  # bytes
BOM = b"\xef\xbb\xbf"


class ArchiveLimit(Exception):
    """An archive grows beyond what is allowed, or holds another archive."""


@dataclass(frozen=True)
class Line:
    """One line without its end; ``number`` from 1, ``offset`` in bytes of the unpacked stream (3 behind a BOM)."""

    data: bytes
    number: int
    offset: int


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
    """The bytes of a file, unpacked on the way if its name ends in ``.gz``."""
    raw = _Unpacked(path) if path.name.lower().endswith(".gz") else path.open("rb", buffering=0)
    return io.BufferedReader(raw, 1 << 20)


def lines(path: Path) -> Iterator[Line | Rejected]:
    """Every line that is not blank, in order; a line beyond the cap is a Rejected (Q009), and is never held in memory.

    A damaged archive, a second archive inside, or UTF-16 ends the file with a Rejected. ``row`` -1 there means that
    nothing of the file can be trusted, another row that only what follows is lost.
    """
    number, offset = 0, 0
    try:
        with open_stream(path) as stream:
            verdict = foreign(stream.peek(4)[:4], packed=path.name.lower().endswith(".gz"))
            if verdict:
                yield verdict
                return
            while data := stream.readline(MAX_LINE + 1):
                number += 1
                start, offset = offset, offset + len(data)
                if len(data) > MAX_LINE and not data.endswith(b"\n"):
                    head = data[:200]
                    while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
                        offset += len(rest)
                    offset += len(rest)
                    yield Rejected(
                        "Q009",
                        f"the line is {offset - start} bytes long, the limit is {MAX_LINE}",
                        row=number - 1,
                        line=number,
                        offset=start,
                        excerpt=excerpt(head),
                    )
                    continue
                data = data.rstrip(b"\r\n")
                if number == 1 and data.startswith(BOM):
                    data, start = data[3:], 3
                if data.strip(b" \t"):
                    yield Line(data, number, start)
    except ArchiveLimit as error:
        yield Rejected("Q019", str(error))
    except EOFError:
        detail = f"the gzip data end early; the {number} lines before are kept"
        yield Rejected("Q001", detail, row=number, line=number + 1, offset=offset)
    except (gzip.BadGzipFile, zlib.error) as error:
        yield Rejected("Q001", f"the gzip data are damaged ({error}): no line of the file can be trusted")


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
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
